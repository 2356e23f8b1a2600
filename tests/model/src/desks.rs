//! The desks to explore: small enough to reach every state, large enough for every fault.

use crate::desk::{Desk, Request};

/// Two attempts sell one key each. Two time-outs, so that a sale and its fence may both be held up.
#[must_use]
pub fn small() -> Desk {
    Desk { crashes: 1, timeouts: 3, releases: 1, ..Desk::new(2, [Request::of(1); 2]) }
}

/// Three buyers.
#[must_use]
pub fn three_small() -> Desk {
    Desk { crashes: 1, timeouts: 2, releases: 1, ..Desk::new(2, [Request::of(1); 3]) }
}

/// Orders of two keys and of one, each sold by one write.
#[must_use]
pub fn small_pair() -> Desk {
    let requests = [Request::of(2), Request::of(1)];
    Desk { small_max: 2, crashes: 1, timeouts: 2, releases: 1, ..Desk::new(3, requests) }
}

/// One buyer with an Idempotency-Key asks twice, possibly at the same time.
#[must_use]
pub fn small_with_header() -> Desk {
    let requests = [Request::of(1).with_header(0); 2];
    Desk { crashes: 1, timeouts: 3, releases: 1, ..Desk::new(2, requests) }
}

/// The same buyer asks three times.
#[must_use]
pub fn small_with_header_thrice() -> Desk {
    let requests = [Request::of(1).with_header(0); 3];
    Desk { crashes: 1, timeouts: 2, ..Desk::new(2, requests) }
}

/// Two buyers with an Idempotency-Key each, one of whom asks twice, and one key for both.
#[must_use]
pub fn small_with_two_headers() -> Desk {
    let [one, other] = [0, 1].map(|header| Request::of(1).with_header(header));
    Desk { crashes: 1, timeouts: 2, releases: 1, ..Desk::new(1, [one, one, other]) }
}

/// A large order of two keys, with two sweeps.
#[must_use]
pub fn large() -> Desk {
    Desk { sweeps: 2, crashes: 1, timeouts: 3, releases: 1, ..Desk::new(2, [Request::of(2)]) }
}

/// A large order of three keys: two parts, and a finish.
#[must_use]
pub fn large_of_two_parts() -> Desk {
    let desk = Desk::new(3, [Request::of(3)]);
    Desk { draws_max: 3, old_windows: false, sweeps: 2, crashes: 1, timeouts: 2, ..desk }
}

/// A large order of three keys: a part of two keys, and a finish.
#[must_use]
pub fn large_with_a_part_of_two() -> Desk {
    let desk = Desk::new(3, [Request::of(3)]);
    Desk { small_max: 2, sweeps: 2, crashes: 1, timeouts: 2, releases: 1, ..desk }
}

/// A large order with a key to spare, so that a missed key is replaced.
#[must_use]
pub fn large_with_spare() -> Desk {
    Desk { draws_max: 3, sweeps: 2, crashes: 1, timeouts: 2, ..Desk::new(3, [Request::of(2)]) }
}

/// A large order beside a small sale that wants one of the same two keys.
#[must_use]
pub fn large_beside_small() -> Desk {
    let requests = [Request::of(2), Request::of(1)];
    Desk { sweeps: 1, crashes: 1, timeouts: 2, releases: 1, ..Desk::new(2, requests) }
}

/// A large order that loses a key to a small sale, and draws another.
#[must_use]
pub fn large_that_misses() -> Desk {
    let requests = [Request::of(2), Request::of(1)];
    Desk { timeouts: 1, draws_max: 3, sweeps: 1, crashes: 1, ..Desk::new(3, requests) }
}

/// Two large orders for three keys.
#[must_use]
pub fn two_large() -> Desk {
    Desk { sweeps: 1, timeouts: 1, old_windows: false, ..Desk::new(3, [Request::of(2); 2]) }
}

/// One buyer with an Idempotency-Key asks twice for a large order.
#[must_use]
pub fn large_with_header() -> Desk {
    let requests = [Request::of(2).with_header(0); 2];
    Desk { old_windows: false, sweeps: 1, crashes: 1, timeouts: 1, ..Desk::new(2, requests) }
}

/// The same buyer asks three times. There is no sweep: later attempts settle the earlier ones.
#[must_use]
pub fn large_with_header_thrice() -> Desk {
    let requests = [Request::of(2).with_header(0); 3];
    Desk { old_windows: false, crashes: 1, ..Desk::new(2, requests) }
}

/// One Idempotency-Key for a large order and for a small sale.
#[must_use]
pub fn large_and_small_with_one_header() -> Desk {
    let requests = [2, 1].map(|quantity| Request::of(quantity).with_header(0));
    Desk { releases: 1, sweeps: 1, crashes: 1, timeouts: 2, ..Desk::new(2, requests) }
}

/// Small sales of fresh keys: one key by a single put, or two keys.
#[must_use]
pub fn fresh_small() -> Desk {
    let requests = [Request::of(1).fresh(), Request::of(2).fresh()];
    Desk { small_max: 2, crashes: 1, timeouts: 2, releases: 1, ..Desk::new(0, requests) }
}

/// A buyer with an Idempotency-Key asks twice for a fresh key.
#[must_use]
pub fn fresh_with_header() -> Desk {
    let requests = [Request::of(1).fresh().with_header(0); 2];
    Desk { crashes: 1, timeouts: 3, releases: 1, ..Desk::new(0, requests) }
}

/// A large order of fresh keys.
#[must_use]
pub fn fresh_large() -> Desk {
    Desk { sweeps: 2, crashes: 1, timeouts: 3, releases: 1, ..Desk::new(0, [Request::of(2).fresh()]) }
}

/// Two attempts replace one key, beside a small sale.
#[must_use]
pub fn replacement() -> Desk {
    let requests = [Request::of(1).replacing(), Request::of(1).replacing(), Request::of(1)];
    Desk { crashes: 1, timeouts: 2, ..Desk::new(2, requests) }
}

/// A buyer asks twice for a replacement with an Idempotency-Key, beside another replacement.
#[must_use]
pub fn replacement_with_header() -> Desk {
    let once = Request::of(1).replacing().with_header(0);
    Desk { crashes: 1, timeouts: 2, ..Desk::new(2, [once, once, Request::of(1).replacing()]) }
}

/// Two attempts replace one key by a fresh one each.
#[must_use]
pub fn replacement_by_fresh() -> Desk {
    Desk { crashes: 1, timeouts: 3, ..Desk::new(0, [Request::of(1).fresh().replacing(); 2]) }
}

/// All desks, with their names.
#[must_use]
pub fn all() -> [(&'static str, Desk); 22] {
    [
        ("small", small()),
        ("three small", three_small()),
        ("small pair", small_pair()),
        ("small with header", small_with_header()),
        ("small with header, thrice", small_with_header_thrice()),
        ("small with two headers", small_with_two_headers()),
        ("large", large()),
        ("large of two parts", large_of_two_parts()),
        ("large with a part of two", large_with_a_part_of_two()),
        ("large with spare", large_with_spare()),
        ("large beside small", large_beside_small()),
        ("large that misses", large_that_misses()),
        ("two large", two_large()),
        ("large with header", large_with_header()),
        ("large with header, thrice", large_with_header_thrice()),
        ("large and small with one header", large_and_small_with_one_header()),
        ("fresh small", fresh_small()),
        ("fresh with header", fresh_with_header()),
        ("fresh large", fresh_large()),
        ("replacement", replacement()),
        ("replacement with header", replacement_with_header()),
        ("replacement by fresh", replacement_by_fresh()),
    ]
}
