use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A license key: 1 to 255 characters, without control characters and without white space around them.
///
/// keypool sells it, so its `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LicenseKey(String);

impl LicenseKey {
    /// The most characters a license key may have.
    pub const CHARACTERS_MAX: usize = 255;

    /// The key in plain text: for the table and for the buyer, never for a log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LicenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LicenseKey(…)")
    }
}

impl Serialize for LicenseKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A text that cannot be a license key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLicenseKey {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// More than 255 characters.
    #[error("must not be longer than {} characters", LicenseKey::CHARACTERS_MAX)]
    TooLong,
    /// A line break, a tab, a zero byte or the like.
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl FromStr for LicenseKey {
    type Err = InvalidLicenseKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match text.chars().count() {
            0 => Err(InvalidLicenseKey::Empty),
            _ if text.chars().any(char::is_control) => Err(InvalidLicenseKey::ControlCharacter),
            1..=Self::CHARACTERS_MAX => Ok(Self(text.to_owned())),
            _ => Err(InvalidLicenseKey::TooLong),
        }
    }
}

/// The license keys of one creation: 1 to 1,000, read from a JSON array of text.
#[derive(Debug, Clone)]
pub struct LicenseKeys {
    distinct: Vec<LicenseKey>,
    sent: usize,
}

impl LicenseKeys {
    /// The most keys one request may send.
    pub const COUNT_MAX: usize = 1_000;

    /// The keys, each once, in the order of the request.
    #[must_use]
    pub fn distinct(&self) -> &[LicenseKey] {
        &self.distinct
    }

    /// The number of keys that were sent, repetitions included.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent
    }
}

/// One fault of a list of license keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    /// Not a JSON array.
    #[error("must be a JSON array of text")]
    NotAnArray,
    /// An empty array.
    #[error("must contain at least one license key")]
    None,
    /// More than 1,000 keys.
    #[error("must not contain more than {} license keys", LicenseKeys::COUNT_MAX)]
    TooMany,
    /// An element that is a number, an array or the like. Numbers are refused because a key that starts
    /// with a zero, or has more digits than a number holds, would be sold as another text.
    #[error("must contain text only, but its element {position} is not text")]
    NotText {
        /// The position of the element, counted from 1.
        position: usize,
    },
    /// An element that is text but no license key.
    #[error("must contain valid license keys, but its element {position} {reason}")]
    Invalid {
        /// The position of the element, counted from 1.
        position: usize,
        /// The fault of the element.
        reason: InvalidLicenseKey,
    },
    /// More faults than anyone would read.
    #[error("must contain valid license keys, but {count} more of its elements are not")]
    More {
        /// The number of faulty elements that are not listed.
        count: usize,
    },
}

/// All faults of a list of license keys.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidLicenseKeys(Vec<ListFault>);

impl InvalidLicenseKeys {
    /// The most faulty elements that are listed one by one.
    const TOLD_MAX: usize = 20;
}

impl From<ListFault> for InvalidLicenseKeys {
    fn from(fault: ListFault) -> Self {
        Self(vec![fault])
    }
}

impl IntoIterator for InvalidLicenseKeys {
    type Item = ListFault;
    type IntoIter = std::vec::IntoIter<ListFault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromStr for LicenseKeys {
    type Err = InvalidLicenseKeys;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| ListFault::NotAnArray)?;
        match elements.len() {
            0 => return Err(ListFault::None.into()),
            1..=Self::COUNT_MAX => {}
            _ => return Err(ListFault::TooMany.into()),
        }
        let (mut keys, mut faults): (Vec<LicenseKey>, Vec<ListFault>) = (Vec::new(), Vec::new());
        for (position, element) in (1..).zip(&elements) {
            match serde_json::from_str::<String>(element.get()).map(|text| text.parse()) {
                Ok(Ok(key)) => keys.push(key),
                Ok(Err(reason)) => faults.push(ListFault::Invalid { position, reason }),
                Err(_) => faults.push(ListFault::NotText { position }),
            }
        }
        if !faults.is_empty() {
            let count = faults.len().saturating_sub(InvalidLicenseKeys::TOLD_MAX);
            faults.truncate(InvalidLicenseKeys::TOLD_MAX);
            faults.extend((count > 0).then_some(ListFault::More { count }));
            return Err(InvalidLicenseKeys(faults));
        }
        let mut seen = HashSet::new();
        let distinct = keys.iter().filter(|key| seen.insert(*key)).cloned().collect();
        Ok(Self { distinct, sent: keys.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_license_key_is_trimmed_and_limited() {
        assert_eq!("  AB-12 ".parse::<LicenseKey>().unwrap().as_str(), "AB-12");
        assert_eq!("ключ-🔑".parse::<LicenseKey>().unwrap().as_str(), "ключ-🔑");
        assert!("é".repeat(255).parse::<LicenseKey>().is_ok());
        for (text, expected) in [
            (String::new(), InvalidLicenseKey::Empty),
            (" \t ".to_owned(), InvalidLicenseKey::Empty),
            ("é".repeat(256), InvalidLicenseKey::TooLong),
            ("a\nb".to_owned(), InvalidLicenseKey::ControlCharacter),
            ("a\0b".to_owned(), InvalidLicenseKey::ControlCharacter),
            ("a\u{85}b".to_owned(), InvalidLicenseKey::ControlCharacter),
        ] {
            assert_eq!(text.parse::<LicenseKey>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn debug_output_hides_the_key() {
        let key: LicenseKey = "bb7ffb6f".parse().unwrap();
        assert_eq!(format!("{key:?}"), "LicenseKey(…)");
    }

    #[test]
    fn a_list_counts_the_keys_sent_and_keeps_each_once() {
        let keys: LicenseKeys = r#"["a", " b", "a ", "b", "c"]"#.parse().unwrap();
        assert_eq!(keys.sent(), 5);
        assert_eq!(keys.distinct().iter().map(LicenseKey::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_faulty_list_reports_the_position_of_the_fault() {
        let many = serde_json::to_string(&vec!["x"; 1_001]).unwrap();
        for (json, expected) in [
            ("a,b", ListFault::NotAnArray),
            (r#"{"a":"b"}"#, ListFault::NotAnArray),
            (r#""a""#, ListFault::NotAnArray),
            (r#"["a""#, ListFault::NotAnArray),
            ("[]", ListFault::None),
            (&many, ListFault::TooMany),
            (r#"["a", 12]"#, ListFault::NotText { position: 2 }),
            (r#"["a", null]"#, ListFault::NotText { position: 2 }),
            (r#"["a", ["b"]]"#, ListFault::NotText { position: 2 }),
            (r#"["a", "b", " "]"#, ListFault::Invalid { position: 3, reason: InvalidLicenseKey::Empty }),
        ] {
            assert_eq!(json.parse::<LicenseKeys>().unwrap_err(), expected.into(), "{json}");
        }
    }

    #[test]
    fn faulty_elements_are_reported_up_to_a_bound() {
        let faults = r#"["a", " ", 7, "b\u0000"]"#.parse::<LicenseKeys>().unwrap_err();
        let told: Vec<String> = faults.into_iter().map(|fault| fault.to_string()).collect();
        assert_eq!(
            told,
            [
                "must contain valid license keys, but its element 2 must not be empty",
                "must contain text only, but its element 3 is not text",
                "must contain valid license keys, but its element 4 must not contain control characters",
            ]
        );
        let many = serde_json::to_string(&vec![""; 1_000]).unwrap();
        let faults: Vec<ListFault> = many.parse::<LicenseKeys>().unwrap_err().into_iter().collect();
        assert_eq!((faults.len(), &faults[20]), (21, &ListFault::More { count: 980 }));
    }
}
