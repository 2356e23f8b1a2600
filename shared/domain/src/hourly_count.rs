use std::fmt;
use std::iter::once;
use std::str::FromStr;
use std::time::Duration;

use crate::{KeysPerHour, Timestamp};

const MINUTE_SECONDS: i64 = 60;
const DAY_MINUTES: i64 = 24 * 60;

/// The age in minutes up to which a minute counts. A key counts for 61 to 62 minutes. The extra minute covers
/// the time from the count to the sale, and clocks that differ.
const COUNTED_MINUTES: i64 = 61;

/// The number of days whose greatest count is kept.
const DAYS_KEPT: i64 = 7;

/// The keys that were counted at one time, which is an age in minutes or a day of Unix time. Its text is
/// `TIME:KEYS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The time.
    pub at: i64,
    /// The number of keys.
    pub keys: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.at, self.keys)
    }
}

/// A text that is not `TIME:KEYS`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be two numbers with a colon between them")]
pub struct InvalidTally;

impl FromStr for Tally {
    type Err = InvalidTally;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (at, keys) = text.split_once(':').ok_or(InvalidTally)?;
        let (Ok(at), Ok(keys)) = (at.parse(), keys.parse()) else { return Err(InvalidTally) };
        Ok(Self { at, keys })
    }
}

/// The keys that an API key has handed out in the last hour, minute by minute.
///
/// Within a minute, a count only adds to `sum`, so that counts of several environments need no order. The
/// first count of a later minute replaces the whole value: [`HourlyCount::at`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourlyCount {
    /// The minute of the latest count, in minutes of Unix time.
    pub minute: i64,
    /// The keys of `minute` and of `earlier`.
    pub sum: u64,
    /// The minutes before that still count, by their age at `minute`, the latest first.
    pub earlier: Vec<Tally>,
    /// The greatest sum of each of the last days, the latest first. That of `minute` is not yet among them.
    pub peaks: Vec<Tally>,
}

impl HourlyCount {
    /// The wait that a refusal names if a request asks for more keys than a limit ever allows.
    pub const WAIT_OF_TOO_LARGE: Duration = Duration::from_hours(1);

    /// The count of an API key that has handed out nothing.
    #[must_use]
    pub fn none(now: Timestamp) -> Self {
        Self { minute: minute_of(now), sum: 0, earlier: Vec::new(), peaks: Vec::new() }
    }

    /// The count at `now`, without the minutes that no longer count. A clock behind the latest count changes
    /// nothing.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        let minute = minute_of(now);
        let passed = minute.saturating_sub(self.minute);
        if passed <= 0 {
            return self.clone();
        }
        let aged = self.minutes().map(|tally| Tally { at: tally.at.saturating_add(passed), ..tally });
        let earlier: Vec<Tally> =
            aged.filter(|tally| tally.at <= COUNTED_MINUTES && tally.keys > 0).collect();
        let today = minute.div_euclid(DAY_MINUTES);
        let latest = self.latest_peak();
        let before = self.peaks.iter().copied().filter(|peak| peak.at != latest.at);
        let peaks = once(latest).chain(before).filter(|peak| peak.at > today - DAYS_KEPT).collect();
        Self { minute, sum: earlier.iter().map(|tally| tally.keys).sum(), earlier, peaks }
    }

    /// The same count with `keys` more keys in its latest minute.
    #[must_use]
    pub fn with(self, keys: u64) -> Self {
        Self { sum: self.sum.saturating_add(keys), ..self }
    }

    /// Checks that `keys` more keys are within the limit. Else returns the time until enough of the count has
    /// aged, in whole seconds.
    pub fn admit(&self, keys: u64, limit: KeysPerHour, now: Timestamp) -> Result<(), Duration> {
        let limit = u64::from(limit.get());
        let beyond = self.sum.saturating_add(keys).saturating_sub(limit);
        if beyond == 0 {
            return Ok(());
        }
        if keys > limit {
            return Err(Self::WAIT_OF_TOO_LARGE);
        }
        let mut freed = 0;
        let minutes: Vec<Tally> = self.minutes().collect();
        let enough = minutes.iter().rev().find(|tally| {
            freed += tally.keys;
            freed >= beyond
        });
        let age = enough.map_or(0, |tally| tally.at);
        let free_at = (self.minute - age + COUNTED_MINUTES + 1).saturating_mul(MINUTE_SECONDS);
        let seconds = u64::try_from(free_at.saturating_sub(now.unix_seconds())).unwrap_or(0);
        Err(Duration::from_secs(seconds.max(1)))
    }

    /// The most keys of any hour in the last week.
    #[must_use]
    pub fn peak(&self, now: Timestamp) -> u64 {
        let today = minute_of(now).div_euclid(DAY_MINUTES);
        let peaks = once(self.latest_peak()).chain(self.peaks.iter().copied());
        let kept = peaks.filter(|peak| peak.at > today - DAYS_KEPT);
        kept.map(|peak| peak.keys).max().unwrap_or(0)
    }

    /// The minutes that count, by their age at `minute`, the latest first.
    fn minutes(&self) -> impl Iterator<Item = Tally> {
        let before = self.earlier.iter().map(|tally| tally.keys).sum();
        let latest = Tally { at: 0, keys: self.sum.saturating_sub(before) };
        once(latest).chain(self.earlier.iter().copied())
    }

    /// The greatest sum of the day of `minute`.
    fn latest_peak(&self) -> Tally {
        let day = self.minute.div_euclid(DAY_MINUTES);
        let before = self.peaks.iter().filter(|peak| peak.at == day).map(|peak| peak.keys).max();
        Tally { at: day, keys: before.unwrap_or(0).max(self.sum) }
    }
}

fn minute_of(now: Timestamp) -> i64 {
    now.unix_seconds().div_euclid(MINUTE_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_microseconds(seconds * 1_000_000).unwrap()
    }

    fn limit(keys: u64) -> KeysPerHour {
        keys.try_into().unwrap()
    }

    /// Counts keys at the given seconds, without a limit.
    fn counted(counts: &[(i64, u64)]) -> HourlyCount {
        let none = HourlyCount::none(at(counts[0].0));
        counts.iter().fold(none, |count, (seconds, keys)| count.at(at(*seconds)).with(*keys))
    }

    #[test]
    fn a_key_counts_for_61_to_62_minutes() {
        for second in [0, 1, 59, 60, 61, 119] {
            let count = counted(&[(second, 1)]);
            let last = (0..10_000).rev().find(|passed| count.at(at(second + passed)).sum == 1).unwrap();
            assert!((61 * 60..62 * 60).contains(&last), "{second}: {last}");
        }
    }

    #[test]
    fn minutes_age_one_by_one() {
        let count = counted(&[(0, 5), (30, 1), (60, 7), (600, 2)]);
        assert_eq!((count.minute, count.sum), (10, 15));
        assert_eq!(count.earlier, [Tally { at: 9, keys: 7 }, Tally { at: 10, keys: 6 }]);
        for (minute, sum) in [(10, 15), (61, 15), (62, 9), (63, 2), (71, 2), (72, 0), (500, 0)] {
            assert_eq!(count.at(at(minute * 60)).sum, sum, "{minute}");
        }
        assert_eq!(count.at(at(0)), count, "a clock that is behind");
    }

    /// Ages a count minute by minute, and in one step.
    #[test]
    fn a_count_that_is_read_late_is_the_same() {
        let count = counted(&[(0, 5), (60, 7), (3_000, 2)]);
        let slowly = (50..=90).fold(count.clone(), |count, minute| count.at(at(minute * 60)));
        assert_eq!(slowly, count.at(at(90 * 60)));
    }

    #[test]
    fn a_refusal_names_the_time_until_enough_has_aged() {
        let count = counted(&[(0, 5), (60, 3), (120, 2)]);
        let now = at(130);
        let admit = |keys, most| count.admit(keys, limit(most), now).map_err(|wait| wait.as_secs());
        assert_eq!(admit(1, 11), Ok(()));
        assert_eq!(admit(0, 10), Ok(()));
        assert_eq!(admit(1, 10), Err(62 * 60 - 130));
        assert_eq!(admit(5, 10), Err(62 * 60 - 130));
        assert_eq!(admit(6, 10), Err(63 * 60 - 130));
        assert_eq!(admit(9, 10), Err(64 * 60 - 130));
        assert_eq!(admit(11, 10), Err(3_600), "never");
        // The wait that is named suffices.
        for keys in 1..=10 {
            let Err(wait) = count.admit(keys, limit(10), now) else { panic!("{keys}") };
            let later = now.after(wait);
            assert_eq!(count.at(later).admit(keys, limit(10), later), Ok(()), "{keys}");
            let sooner = now.after(wait.saturating_sub(Duration::from_secs(1)));
            assert!(count.at(sooner).admit(keys, limit(10), sooner).is_err(), "{keys}");
        }
    }

    /// Buyers ask all the time. They never get more than the limit in any hour, and not much less.
    #[test]
    fn no_60_minutes_hand_out_more_than_the_limit() {
        const LIMIT: u64 = 100;
        let mut count = HourlyCount::none(at(0));
        let mut sold: Vec<(i64, u64)> = Vec::new();
        for second in 0..4 * 3_600_i64 {
            // Single keys, with seven at once every seven seconds; at the end, seven each second.
            let keys = if second < 9_000 && second % 7 != 0 { 1 } else { 7 };
            let now = count.at(at(second));
            if now.admit(keys, limit(LIMIT), at(second)).is_ok() {
                count = now.with(keys);
                sold.push((second, keys));
            }
        }
        for (start, _) in &sold {
            let hour = sold.iter().filter(|(second, _)| (*start..start + 3_600).contains(second));
            assert!(hour.map(|(_, keys)| keys).sum::<u64>() <= LIMIT, "from {start}");
        }
        let total: u64 = sold.iter().map(|(_, keys)| keys).sum();
        assert!(total > 3 * LIMIT, "{total}");
    }

    #[test]
    fn the_greatest_hour_of_a_week_is_known() {
        let day = 24 * 3_600;
        let count = counted(&[(0, 50), (60, 40), (day, 20), (3 * day, 30), (3 * day + 7_200, 10)]);
        assert_eq!(count.peaks.len(), 3, "one for each day");
        assert_eq!(count.peak(at(3 * day + 7_200)), 90);
        assert_eq!(count.peak(at(6 * day)), 90);
        assert_eq!(count.peak(at(7 * day)), 30, "the first day is over");
        let week_later = count.at(at(9 * day + 1));
        assert_eq!((week_later.sum, week_later.peak(at(9 * day + 1))), (0, 30));
        assert_eq!(count.at(at(20 * day)).peaks, []);
    }

    #[test]
    fn a_tally_reads_back() {
        let tally = Tally { at: -7, keys: 12 };
        assert_eq!(tally.to_string().parse(), Ok(tally));
        for text in ["", "1", ":", "1:", ":1", "1:-1", "1:2:3", "a:1"] {
            assert_eq!(text.parse::<Tally>(), Err(InvalidTally), "{text:?}");
        }
    }
}
