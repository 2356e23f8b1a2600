//! The scenarios to explore: small enough to reach every state, large enough for every fault.

use crate::scenario::{Request, Scenario};

/// Two attempts sell one key each. The time-outs hold up a sale and its repetitions.
#[must_use]
pub fn small() -> Scenario {
    Scenario { crashes: 2, timeouts: 4, releases: 1, ..Scenario::new(2, [Request::of(1); 2]) }
}

/// Three buyers.
#[must_use]
pub fn three_small() -> Scenario {
    Scenario { crashes: 1, timeouts: 3, releases: 1, ..Scenario::new(2, [Request::of(1); 3]) }
}

/// Orders of two keys and of one, each sold by one write.
#[must_use]
pub fn small_pair() -> Scenario {
    let requests = [Request::of(2), Request::of(1)];
    Scenario { small_max: 2, crashes: 1, timeouts: 3, releases: 1, ..Scenario::new(3, requests) }
}

/// One buyer with an Idempotency-Key asks twice, possibly at the same time.
#[must_use]
pub fn small_with_header() -> Scenario {
    let requests = [Request::of(1).with_header(0); 2];
    Scenario { crashes: 2, timeouts: 5, releases: 2, ..Scenario::new(3, requests) }
}

/// The same buyer asks three times.
#[must_use]
pub fn small_with_header_thrice() -> Scenario {
    let requests = [Request::of(1).with_header(0); 3];
    Scenario { crashes: 1, timeouts: 3, releases: 1, ..Scenario::new(2, requests) }
}

/// Two buyers with an Idempotency-Key each, one of whom asks twice, and one key for both.
#[must_use]
pub fn small_with_two_headers() -> Scenario {
    let [one, other] = [0, 1].map(|header| Request::of(1).with_header(header));
    Scenario { crashes: 1, timeouts: 3, releases: 1, ..Scenario::new(1, [one, one, other]) }
}

/// A large order of two keys, with two sweeps.
#[must_use]
pub fn large() -> Scenario {
    Scenario { sweeps: 2, crashes: 1, timeouts: 3, releases: 1, ..Scenario::new(2, [Request::of(2)]) }
}

/// A large order of three keys: two parts, and a finish.
#[must_use]
pub fn large_of_two_parts() -> Scenario {
    let scenario = Scenario::new(3, [Request::of(3)]);
    Scenario { draws_max: 3, old_windows: false, sweeps: 2, crashes: 1, timeouts: 2, ..scenario }
}

/// A large order of three keys: a part of two keys, and a finish.
#[must_use]
pub fn large_with_a_part_of_two() -> Scenario {
    let scenario = Scenario::new(3, [Request::of(3)]);
    Scenario { small_max: 2, sweeps: 2, crashes: 1, timeouts: 2, releases: 1, ..scenario }
}

/// A large order with a key to spare, so that a missed key is replaced.
#[must_use]
pub fn large_with_spare() -> Scenario {
    Scenario { draws_max: 3, sweeps: 2, crashes: 1, timeouts: 2, ..Scenario::new(3, [Request::of(2)]) }
}

/// A large order beside a small sale that wants one of the same two keys.
#[must_use]
pub fn large_beside_small() -> Scenario {
    let requests = [Request::of(2), Request::of(1)];
    Scenario { sweeps: 1, crashes: 1, timeouts: 2, releases: 2, ..Scenario::new(2, requests) }
}

/// A large order that loses a key to a small sale, and draws another.
#[must_use]
pub fn large_that_misses() -> Scenario {
    let requests = [Request::of(2), Request::of(1)];
    Scenario { timeouts: 2, draws_max: 3, sweeps: 1, crashes: 1, ..Scenario::new(3, requests) }
}

/// Two large orders for three keys.
#[must_use]
pub fn two_large() -> Scenario {
    Scenario { sweeps: 1, timeouts: 1, old_windows: false, ..Scenario::new(3, [Request::of(2); 2]) }
}

/// One buyer with an Idempotency-Key asks twice for a large order.
#[must_use]
pub fn large_with_header() -> Scenario {
    let requests = [Request::of(2).with_header(0); 2];
    Scenario { old_windows: false, sweeps: 1, crashes: 1, timeouts: 1, ..Scenario::new(2, requests) }
}

/// The same buyer asks three times. There is no sweep: later attempts settle the earlier ones.
#[must_use]
pub fn large_with_header_thrice() -> Scenario {
    let requests = [Request::of(2).with_header(0); 3];
    Scenario { old_windows: false, crashes: 1, ..Scenario::new(2, requests) }
}

/// One Idempotency-Key for a large order and for a small sale.
#[must_use]
pub fn large_and_small_with_one_header() -> Scenario {
    let requests = [2, 1].map(|quantity| Request::of(quantity).with_header(0));
    Scenario { releases: 2, sweeps: 1, crashes: 1, timeouts: 2, ..Scenario::new(2, requests) }
}

/// Small sales of fresh keys: one key by a single put, or two keys.
#[must_use]
pub fn fresh_small() -> Scenario {
    let requests = [Request::of(1).fresh(), Request::of(2).fresh()];
    Scenario { small_max: 2, crashes: 1, timeouts: 2, releases: 1, ..Scenario::new(0, requests) }
}

/// A buyer with an Idempotency-Key asks twice for a fresh key.
#[must_use]
pub fn fresh_with_header() -> Scenario {
    let requests = [Request::of(1).fresh().with_header(0); 2];
    Scenario { crashes: 2, timeouts: 4, releases: 1, ..Scenario::new(0, requests) }
}

/// A large order of fresh keys.
#[must_use]
pub fn fresh_large() -> Scenario {
    Scenario { sweeps: 2, crashes: 1, timeouts: 3, releases: 1, ..Scenario::new(0, [Request::of(2).fresh()]) }
}

/// Two attempts replace one key, beside a small sale.
#[must_use]
pub fn replacement() -> Scenario {
    let requests = [Request::of(1).replacing(), Request::of(1).replacing(), Request::of(1)];
    Scenario { crashes: 2, timeouts: 3, ..Scenario::new(2, requests) }
}

/// A buyer asks twice for a replacement with an Idempotency-Key, beside another replacement.
#[must_use]
pub fn replacement_with_header() -> Scenario {
    let once = Request::of(1).replacing().with_header(0);
    Scenario { crashes: 2, timeouts: 4, ..Scenario::new(2, [once, once, Request::of(1).replacing()]) }
}

/// Two attempts replace one key by a fresh one each.
#[must_use]
pub fn replacement_by_fresh() -> Scenario {
    Scenario { crashes: 2, timeouts: 4, ..Scenario::new(0, [Request::of(1).fresh().replacing(); 2]) }
}

/// All scenarios, with their names.
#[must_use]
pub fn all() -> [(&'static str, Scenario); 22] {
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
