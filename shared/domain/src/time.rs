use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A moment in UTC, to the microsecond (the precision of `assigned_at` in the contract).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The moment `microseconds` after 1970-01-01T00:00:00Z; `None` after 9999-12-30T22:00:00Z.
    #[must_use]
    pub fn from_unix_microseconds(microseconds: i64) -> Option<Self> {
        jiff::Timestamp::from_microsecond(microseconds).ok().map(Self)
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_microseconds(self) -> i64 {
        self.0.as_microsecond()
    }

    /// The moment `wait` later, or the last moment that can be written.
    #[must_use]
    pub fn after(self, wait: std::time::Duration) -> Self {
        self.0.checked_add(wait).map_or(Self(jiff::Timestamp::MAX), Self)
    }

    /// The time from `earlier` until this moment; zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        let microseconds = self.unix_microseconds().saturating_sub(earlier.unix_microseconds());
        std::time::Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
    }

    /// `2024-11-23T19:02:08.829115Z`.
    #[must_use]
    pub fn to_microseconds_text(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    }

    /// `2024-11-23T19:02:08.000000Z`: whole seconds, written as the contract writes them.
    #[must_use]
    pub fn to_whole_seconds_text(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string()
    }

    /// Reads RFC 3339, the form that the other two methods write.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        Self::from_unix_microseconds(timestamp.as_microsecond())
    }

    /// Reads `YYYY-MM-DD`: that day's first moment.
    pub fn from_date(text: &str) -> Result<Self, InvalidTimestamp> {
        format!("{text} 00:00:00").parse()
    }
}

/// A text that cannot be read as a date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimestamp {
    /// It is not `YYYY-MM-DD HH:MM:SS`, or names no real moment.
    #[error("must be a date and time as YYYY-MM-DD HH:MM:SS")]
    Form,
    /// It is beyond what [`jiff::Timestamp`] holds, which leaves room for every time zone within the year
    /// 9999.
    #[error("must not be later than 9999-12-30 22:00:00")]
    TooLate,
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads `YYYY-MM-DD HH:MM:SS` in UTC, the contract's form for parameters.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &[u8; 19] = b"0000-00-00 00:00:00";
        // `strptime` accepts shorter numbers and signs too; the contract does not.
        let in_form = text.len() == FORM.len()
            && text
                .bytes()
                .zip(FORM)
                .all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form });
        // `strptime` reads a leap second as the second before it.
        if !in_form || text.ends_with("60") {
            return Err(InvalidTimestamp::Form);
        }
        let civil = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).map_err(|_| InvalidTimestamp::Form)?;
        let zoned = civil.to_zoned(TimeZone::UTC).map_err(|_| InvalidTimestamp::TooLate)?;
        Ok(Self(zoned.timestamp()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_microseconds_text())
    }
}

/// The source of the present time, passed in so that tests can set it.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = jiff::Timestamp::now();
        Timestamp::from_unix_microseconds(now.as_microsecond()).unwrap_or(Timestamp(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_contract_writes_them() {
        let moment = Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap();
        assert_eq!(moment.to_microseconds_text(), "2024-11-23T19:02:08.829115Z");
        assert_eq!(moment.to_whole_seconds_text(), "2024-11-23T19:02:08.000000Z");
        assert_eq!(moment.unix_seconds(), 1_732_388_528);
        assert_eq!(Timestamp::from_rfc3339("2024-11-23T19:02:08.829115Z"), Some(moment));
    }

    #[test]
    fn small_microseconds_keep_their_zeros() {
        let moment = Timestamp::from_unix_microseconds(1_732_388_528_000_042).unwrap();
        assert_eq!(moment.to_microseconds_text(), "2024-11-23T19:02:08.000042Z");
    }

    #[test]
    fn only_the_contracts_form_of_a_parameter_is_read() {
        let read = |text: &str| text.parse::<Timestamp>().map(Timestamp::to_whole_seconds_text);
        assert_eq!(read("2024-01-08 00:00:00"), Ok("2024-01-08T00:00:00.000000Z".to_owned()));
        assert_eq!(read("2024-02-29 23:59:59"), Ok("2024-02-29T23:59:59.000000Z".to_owned()));
        for text in [
            "",
            "2024-01-08",
            "2024-1-8 00:00:00",
            "2024-01-08T00:00:00",
            "2024-01-08 00:00:00Z",
            "2024-02-30 00:00:00",
            "2023-02-29 00:00:00",
            "2024-01-08 24:00:00",
            "2024-01-08 23:59:60",
            "2024-13-01 00:00:00",
            " 2024-01-08 00:00:00",
            "+024-01-08 00:00:00",
            "2024-01-08 0:00:000",
            "２０２４-01-08 00:00",
        ] {
            assert_eq!(read(text), Err(InvalidTimestamp::Form), "{text:?}");
        }
    }

    #[test]
    fn the_last_moment_is_named() {
        let read = |text: &str| text.parse::<Timestamp>().map(Timestamp::to_whole_seconds_text);
        assert_eq!(read("0000-01-01 00:00:00"), Ok("0000-01-01T00:00:00.000000Z".to_owned()));
        assert_eq!(read("9999-12-30 22:00:00"), Ok("9999-12-30T22:00:00.000000Z".to_owned()));
        for text in ["9999-12-30 22:00:01", "9999-12-31 23:59:59"] {
            assert_eq!(read(text), Err(InvalidTimestamp::TooLate), "{text:?}");
        }
        assert!(InvalidTimestamp::TooLate.to_string().ends_with("9999-12-30 22:00:00"));
        assert_eq!(Timestamp::from_date("9999-12-31"), Err(InvalidTimestamp::TooLate));
        assert_eq!(Timestamp::from_date("9999-12-32"), Err(InvalidTimestamp::Form));
    }
}
