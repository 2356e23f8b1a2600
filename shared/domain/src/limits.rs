use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A text that is not a whole number in the range of the type it was read for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNumber {
    /// Not written in decimal digits only.
    #[error("must be an integer")]
    NotAnInteger,
    /// Below the least.
    #[error("must be at least {0}")]
    TooSmall(u64),
    /// Above the most.
    #[error("must not be greater than {0}")]
    TooLarge(u64),
}

/// Reads a whole number from decimal digits. White space around them is allowed.
pub(crate) fn integer_within(text: &str, least: u64, most: u64) -> Result<u64, InvalidNumber> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidNumber::NotAnInteger);
    }
    // The text has digits only, so parsing fails only beyond u64.
    let Ok(number) = digits.parse::<u64>() else {
        return Err(if negative { InvalidNumber::TooSmall(least) } else { InvalidNumber::TooLarge(most) });
    };
    match number {
        _ if negative && number > 0 => Err(InvalidNumber::TooSmall(least)),
        _ if number < least => Err(InvalidNumber::TooSmall(least)),
        _ if number > most => Err(InvalidNumber::TooLarge(most)),
        _ => Ok(number),
    }
}

/// A whole number of the contract, within limits of its own, read from decimal digits.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $number:ty, $least:expr, $most:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name($number);

        impl $name {
            /// The least value.
            pub const MIN: Self = Self($least);
            /// The greatest value.
            pub const MAX: Self = Self($most);

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> $number {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidNumber;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let number = integer_within(text, u64::from(Self::MIN.0), u64::from(Self::MAX.0))?;
                Ok(Self(<$number>::try_from(number).unwrap_or(Self::MAX.0)))
            }
        }

        impl TryFrom<u64> for $name {
            type Error = InvalidNumber;

            fn try_from(number: u64) -> Result<Self, Self::Error> {
                number.to_string().parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
pub(crate) use number;

number! {
    /// The number of times that a key may be activated; 0 is unlimited.
    ActivationLimit, u32, 0, u32::MAX
}

number! {
    /// The number of days for which a key is valid; 0 is unlimited.
    Validity, u32, 0, u32::MAX
}

number! {
    /// The number of keys to generate or to order: 1 to 1,000.
    Quantity, u16, 1, 1_000
}

number! {
    /// The most keys that an API key hands out in any 60 minutes: 1 to 1,000,000.
    KeysPerHour, u32, 1, 1_000_000
}

number! {
    /// The numeric `id` of a license key: unique and rising, with gaps.
    RowId, u64, 1, u64::MAX
}

number! {
    /// A page of a list, counted from 1. Its cost includes that of all pages before it.
    PageNumber, u16, 1, 10_000
}

number! {
    /// The number of entries on a page of a list: 1 to 100.
    ItemsPerPage, u16, 1, 100
}

impl Default for PageNumber {
    fn default() -> Self {
        Self::MIN
    }
}

impl Default for ItemsPerPage {
    fn default() -> Self {
        Self(25)
    }
}

impl RowId {
    /// `count` ids of which `last` is the greatest, in rising order; `None` if there is no room below `last`.
    #[must_use]
    pub fn block_ending_at(last: u64, count: usize) -> Option<Vec<Self>> {
        let first = (last + 1).checked_sub(u64::try_from(count).ok()?).filter(|first| *first > 0)?;
        Some((first..=last).map(Self).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_whole_numbers_within_their_limits() {
        for (text, expected) in [
            ("1", Ok(1)),
            (" 7 ", Ok(7)),
            ("01000", Ok(1_000)),
            ("0", Err(InvalidNumber::TooSmall(1))),
            ("-0", Err(InvalidNumber::TooSmall(1))),
            ("-3", Err(InvalidNumber::TooSmall(1))),
            ("1001", Err(InvalidNumber::TooLarge(1_000))),
            ("99999999999999999999999999", Err(InvalidNumber::TooLarge(1_000))),
            ("", Err(InvalidNumber::NotAnInteger)),
            ("-", Err(InvalidNumber::NotAnInteger)),
            ("+5", Err(InvalidNumber::NotAnInteger)),
            ("7.0", Err(InvalidNumber::NotAnInteger)),
            ("1e1", Err(InvalidNumber::NotAnInteger)),
            ("٧", Err(InvalidNumber::NotAnInteger)),
            ("seven", Err(InvalidNumber::NotAnInteger)),
        ] {
            assert_eq!(text.parse::<Quantity>().map(Quantity::get), expected, "{text:?}");
        }
    }

    #[test]
    fn a_block_of_ids_ends_at_the_counter() {
        let ids = RowId::block_ending_at(12, 3).unwrap();
        assert_eq!(ids.iter().map(|id| id.get()).collect::<Vec<_>>(), [10, 11, 12]);
        assert_eq!(RowId::block_ending_at(2, 3), None);
        assert_eq!(RowId::block_ending_at(2, 0), Some(vec![]));
    }
}
