//! The desks that are explored: small enough to meet every state, large enough for what can go wrong.

use crate::desk::{Desk, Request};

/// Two attempts to buy one key each. Two time-outs, so that a sale and its fence may both be held up.
#[must_use]
pub fn small() -> Desk {
    Desk { crashes: 1, timeouts: 2, ..Desk::new(2, [Request::of(1), Request::of(1)]) }
}

/// The same with three buyers.
#[must_use]
pub fn three_small() -> Desk {
    Desk { crashes: 1, timeouts: 1, ..Desk::new(2, [Request::of(1); 3]) }
}

/// Orders of two keys and of one, each sold by one transaction.
#[must_use]
pub fn small_pair() -> Desk {
    Desk { small_max: 2, crashes: 1, timeouts: 2, ..Desk::new(3, [Request::of(2), Request::of(1)]) }
}

/// One buyer with an Idempotency-Key asks twice, maybe at the same time.
#[must_use]
pub fn claimed() -> Desk {
    Desk { crashes: 1, timeouts: 2, ..Desk::new(2, [Request::of(1).claiming(0); 2]) }
}

/// The same three times.
#[must_use]
pub fn claimed_thrice() -> Desk {
    Desk { crashes: 1, timeouts: 1, ..Desk::new(2, [Request::of(1).claiming(0); 3]) }
}

/// Two with different Idempotency-Keys, one of whom asks twice, and one key for both.
#[must_use]
pub fn claimed_by_two() -> Desk {
    let [one, other] = [0, 1].map(|claim| Request::of(1).claiming(claim));
    Desk { crashes: 1, timeouts: 2, ..Desk::new(1, [one, one, other]) }
}

/// A big order of two keys with two sweeps at it. Time-outs: a late write to the order, and one to a key.
#[must_use]
pub fn big() -> Desk {
    Desk { sweeps: 2, crashes: 1, timeouts: 2, ..Desk::new(2, [Request::of(2)]) }
}

/// A big order with a key to spare, so that misses are replaced.
#[must_use]
pub fn big_with_spare() -> Desk {
    Desk { sweeps: 2, crashes: 1, timeouts: 1, ..Desk::new(3, [Request::of(2)]) }
}

/// A big order beside a small one that wants one of the same two keys.
#[must_use]
pub fn big_beside_small() -> Desk {
    Desk { sweeps: 1, crashes: 1, timeouts: 1, ..Desk::new(2, [Request::of(2), Request::of(1)]) }
}

/// A big order that loses a key to a small one, and replaces it, or puts the others back and draws again.
#[must_use]
pub fn big_that_misses() -> Desk {
    Desk { sweeps: 1, crashes: 1, steps_back: true, ..Desk::new(3, [Request::of(2), Request::of(1)]) }
}

/// Two big orders that cannot both be met.
#[must_use]
pub fn two_big() -> Desk {
    Desk { sweeps: 1, stale_index: false, ..Desk::new(3, [Request::of(2), Request::of(2)]) }
}

/// The same. One may put its keys back and draw others.
#[must_use]
pub fn two_big_stepping_back() -> Desk {
    Desk { sweeps: 0, timeouts: 1, steps_back: true, ..two_big() }
}

/// A buyer with an Idempotency-Key asks twice for a big order. (It is of one key: how several are reserved is
/// explored elsewhere.)
#[must_use]
pub fn claimed_big() -> Desk {
    let requests = [Request::of(1).claiming(0); 2];
    Desk { small_max: 0, draws_max: 1, stale_index: false, sweeps: 1, timeouts: 1, ..Desk::new(2, requests) }
}

/// The same for two keys, with a crash.
#[must_use]
pub fn claimed_big_pair() -> Desk {
    let requests = [Request::of(2).claiming(0); 2];
    Desk { draws_max: 1, stale_index: false, sweeps: 1, crashes: 1, ..Desk::new(2, requests) }
}

/// A big order of fresh keys.
#[must_use]
pub fn fresh() -> Desk {
    Desk { sweeps: 2, crashes: 1, timeouts: 1, ..Desk::new(0, [Request::of(2).fresh()]) }
}

/// All of them, with their names.
#[must_use]
pub fn all() -> [(&'static str, Desk); 15] {
    [
        ("small", small()),
        ("three small", three_small()),
        ("small pair", small_pair()),
        ("claimed", claimed()),
        ("claimed thrice", claimed_thrice()),
        ("claimed by two", claimed_by_two()),
        ("big", big()),
        ("big with spare", big_with_spare()),
        ("big beside small", big_beside_small()),
        ("big that misses", big_that_misses()),
        ("two big", two_big()),
        ("two big stepping back", two_big_stepping_back()),
        ("claimed big", claimed_big()),
        ("claimed big pair", claimed_big_pair()),
        ("fresh", fresh()),
    ]
}
