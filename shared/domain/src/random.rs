use std::fmt;
use std::str::FromStr;

/// A source of random bytes, passed in so that tests can repeat a run.
pub trait Randomness: Send + Sync {
    /// Fills `bytes` with random bytes fit for secrets.
    fn fill(&self, bytes: &mut [u8]);

    /// Draws a number below `bound`, each equally likely; 0 if `bound` is 0.
    fn below(&self, bound: usize) -> usize {
        let Some(bound) = u64::try_from(bound).ok().filter(|bound| *bound > 0) else { return 0 };
        // The last, incomplete run of `bound` numbers would favor the small ones: draw again there.
        let incomplete_from = u64::MAX - u64::MAX % bound;
        loop {
            let mut bytes = [0; 8];
            self.fill(&mut bytes);
            let number = u64::from_le_bytes(bytes);
            if number < incomplete_from {
                return usize::try_from(number % bound).unwrap_or(0);
            }
        }
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OperatingSystemRandomness;

impl Randomness for OperatingSystemRandomness {
    /// # Panics
    /// If the operating system has no randomness. No key may be made or drawn then.
    #[expect(clippy::expect_used, reason = "nothing is safe without randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}

/// A place in the stock: 128 random bits, drawn when a key enters the stock and again as the start of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StockPosition(u128);

impl StockPosition {
    /// The place before every other.
    pub const FIRST: Self = Self(0);

    /// A random place.
    pub fn random(randomness: &(impl Randomness + ?Sized)) -> Self {
        let mut bytes = [0; 16];
        randomness.fill(&mut bytes);
        Self(u128::from_be_bytes(bytes))
    }

    /// Splits the circle from here to its end into 1 to `most` ranges of equal size, both ends of each
    /// included. If possible, each is at least as large as the part before this place.
    #[must_use]
    pub fn ranges_to_the_end(self, most: usize) -> Vec<(Self, Self)> {
        let most = u128::try_from(most).unwrap_or(1);
        let rest = u128::MAX - self.0;
        let count = rest.checked_div(self.0).unwrap_or(most).clamp(1, most);
        let step = rest / count;
        let end = |range| if range == count { u128::MAX } else { self.0 + step * range };
        (0..count)
            .map(|range| (Self(if range == 0 { self.0 } else { end(range) + 1 }), Self(end(range + 1))))
            .collect()
    }

    /// The distance from here up to `other`, past the end if necessary, as a fraction of all positions.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs a few digits")]
    pub fn fraction_to(self, other: Self) -> f64 {
        other.0.wrapping_sub(self.0) as f64 / u128::MAX as f64
    }
}

impl fmt::Display for StockPosition {
    /// 32 hexadecimal digits, so that text order is the order of the numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A text that is not 32 hexadecimal digits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 hexadecimal digits")]
pub struct InvalidPosition;

impl FromStr for StockPosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidPosition);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| InvalidPosition)
    }
}

/// Takes up to `count` of `candidates`, each equally likely, in random order. The rest stays in `candidates`.
pub fn pick<T>(candidates: &mut Vec<T>, count: usize, randomness: &(impl Randomness + ?Sized)) -> Vec<T> {
    let count = count.min(candidates.len());
    (0..count).map(|_| candidates.swap_remove(randomness.below(candidates.len()))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_below_a_bound_is_uniform() {
        const BOUND: usize = 7;
        const DRAWS: usize = 70_000;
        let mut seen = [0_f64; BOUND];
        for _ in 0..DRAWS {
            seen[OperatingSystemRandomness.below(BOUND)] += 1.0;
        }
        let expected = 10_000.0;
        let chi_square: f64 = seen.iter().map(|count| (count - expected).powi(2) / expected).sum();
        // 6 degrees of freedom: beyond 50 once in 2 * 10^8 runs.
        assert!(chi_square < 50.0, "chi-square {chi_square}, counts {seen:?}");
    }

    #[test]
    fn the_incomplete_run_of_numbers_is_drawn_again() {
        struct Script(std::sync::Mutex<Vec<u64>>);
        impl Randomness for Script {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.0.lock().unwrap().pop().unwrap().to_le_bytes());
            }
        }
        // u64::MAX is in the incomplete run of every bound that is not a power of two.
        let script = Script(vec![11, u64::MAX].into());
        assert_eq!(script.below(10), 1);
    }

    #[test]
    fn a_number_below_zero_or_one_is_zero() {
        assert_eq!(OperatingSystemRandomness.below(0), 0);
        assert_eq!(OperatingSystemRandomness.below(1), 0);
    }

    proptest! {
        #[test]
        fn picking_takes_each_candidate_at_most_once(size in 0_usize..60, count in 0_usize..80) {
            let mut rest: Vec<usize> = (0..size).collect();
            let picked = pick(&mut rest, count, &OperatingSystemRandomness);
            prop_assert_eq!(picked.len(), count.min(size));
            let mut all = [picked, rest].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..size).collect::<Vec<_>>());
        }

        #[test]
        fn a_place_reads_back_and_sorts_as_text(a: u128, b: u128) {
            let (a, b) = (StockPosition(a), StockPosition(b));
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
