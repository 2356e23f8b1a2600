//! Times on the command line: durations and moments.

use std::str::FromStr;
use std::time::Duration;

use keypool_domain::{Clock as _, InvalidTimestamp, SystemClock, Timestamp};

/// A duration in whole seconds: `90s`, `30m`, `24h`, `7d`, `2w`, or `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(Duration);

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be a duration: a number with s, m, h, d or w, such as 90s, 24h or 7d; or 0";
        /// A hundred years; more is a typing error.
        const SECONDS_MAX: u64 = 100 * 366 * 24 * 60 * 60;
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(FORM)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            "w" => 7 * 24 * 60 * 60,
            _ => return Err(FORM),
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FORM);
        }
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
        let seconds = seconds.filter(|seconds| *seconds <= SECONDS_MAX);
        seconds.map(|seconds| Self(Duration::from_secs(seconds))).ok_or("must not be more than 100 years")
    }
}

impl Span {
    /// The duration.
    pub(crate) fn duration(self) -> Duration {
        self.0
    }

    /// The number of seconds.
    pub(crate) fn seconds(self) -> u64 {
        self.0.as_secs()
    }

    fn microseconds(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }

    /// The moment this long after `moment`.
    pub(crate) fn after(self, moment: Timestamp) -> Option<Timestamp> {
        Timestamp::from_unix_microseconds(moment.unix_microseconds().checked_add(self.microseconds())?)
    }

    /// The moment this long before `moment`.
    pub(crate) fn before(self, moment: Timestamp) -> Option<Timestamp> {
        Timestamp::from_unix_microseconds(moment.unix_microseconds().checked_sub(self.microseconds())?)
    }
}

/// Formats a duration as [`Span`] parses it, in whole seconds: `12h`, `7d`, `0`.
pub(crate) fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(24 * 60 * 60, 'd'), (60 * 60, 'h'), (60, 'm')];
    match units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)) {
        _ if seconds == 0 => "0".to_owned(),
        Some((unit, letter)) => format!("{}{letter}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// Parses a moment in the past: a duration before now, or a date or time in UTC.
pub(crate) fn since(text: &str) -> Result<Timestamp, &'static str> {
    before(SystemClock.now(), text)
}

fn before(now: Timestamp, text: &str) -> Result<Timestamp, &'static str> {
    let moment = Timestamp::from_date(text).ok().or_else(|| Timestamp::from_rfc3339(text));
    moment.or_else(|| text.parse::<Span>().ok()?.before(now)).ok_or(
        "must be a duration such as 24h or 7d, a date as YYYY-MM-DD, or a time as 2026-11-21T07:00:00Z",
    )
}

/// The end of a day, which must not be in the past.
pub(crate) fn end_of_day(text: &str) -> Result<Timestamp, &'static str> {
    const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
    const LAST: &str = "must not be later than 9999-12-29";
    let day = Timestamp::from_date(text).map_err(|error| match error {
        InvalidTimestamp::Form => "must be a date as YYYY-MM-DD",
        InvalidTimestamp::TooLate => LAST,
    })?;
    let end = Timestamp::from_unix_microseconds(day.unix_microseconds() + DAY_US).ok_or(LAST)?;
    if end <= SystemClock.now() { Err("must not be in the past") } else { Ok(end) }
}

/// Parses a moment in the past, in the form of RFC 3339.
pub(crate) fn past(text: &str) -> Result<Timestamp, &'static str> {
    match Timestamp::from_rfc3339(text) {
        None => Err("must be a time as 2026-11-24T16:00:00Z"),
        Some(moment) if moment > SystemClock.now() => Err("must not be in the future"),
        Some(moment) => Ok(moment),
    }
}

/// Formats a moment for people, in whole seconds.
pub(crate) fn to_the_second(moment: Timestamp) -> String {
    moment.to_whole_seconds_text().replace('T', " ").replace(".000000", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    #[test]
    fn durations_are_parsed() {
        let now = at("2026-11-21T07:00:00Z");
        for (text, later) in [
            ("0", "2026-11-21T07:00:00Z"),
            ("90s", "2026-11-21T07:01:30Z"),
            ("30m", "2026-11-21T07:30:00Z"),
            ("24h", "2026-11-22T07:00:00Z"),
            ("2w", "2026-12-05T07:00:00Z"),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().after(now), Some(at(later)), "{text}");
        }
        for text in [
            "",
            "h",
            "-1h",
            "1",
            "1.5h",
            "1 h",
            "1y",
            "+1h",
            "99999999999999999999d",
            "5000w1",
            "9999w",
            "1ü",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_is_formatted_as_it_is_parsed() {
        for text in ["0", "90s", "61m", "36h", "7d", "365d"] {
            assert_eq!(length(text.parse::<Span>().unwrap().duration()), text);
        }
        assert_eq!(length(Duration::from_hours(24)), "1d");
    }

    #[test]
    fn the_last_day_is_9999_12_29() {
        assert_eq!(end_of_day("9999-12-29"), Ok(at("9999-12-30T00:00:00Z")));
        for text in ["9999-12-30", "9999-12-31"] {
            assert_eq!(end_of_day(text), Err("must not be later than 9999-12-29"), "{text}");
        }
        assert_eq!(end_of_day("9999-12-32"), Err("must be a date as YYYY-MM-DD"));
        assert_eq!(end_of_day("2024-01-08"), Err("must not be in the past"));
    }

    #[test]
    fn a_moment_in_the_past_has_three_forms() {
        let now = at("2026-11-21T07:00:00Z");
        for (text, moment) in [
            ("7d", "2026-11-14T07:00:00Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T12:00:00Z", "2026-11-01T12:00:00Z"),
        ] {
            assert_eq!(before(now, text), Ok(at(moment)), "{text}");
        }
        assert!(before(now, "yesterday").is_err());
        assert_eq!(to_the_second(at("2026-11-01T12:00:00.123456Z")), "2026-11-01 12:00:00Z");
    }
}
