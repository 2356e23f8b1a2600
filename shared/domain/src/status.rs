use std::fmt;
use std::str::FromStr;

/// The status of a license key. Only `available` keys are in stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// In stock.
    Available,
    /// Given to an owner.
    Assigned,
    /// Set aside, not for sale.
    Reserved,
    /// Out of use.
    Blocked,
}

impl Status {
    /// The contract's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Assigned => "assigned",
            Self::Reserved => "reserved",
            Self::Blocked => "blocked",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is none of the four statuses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of available, assigned, reserved and blocked")]
pub struct InvalidStatus;

impl FromStr for Status {
    type Err = InvalidStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Available, Self::Assigned, Self::Reserved, Self::Blocked]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(InvalidStatus)
    }
}

/// The activity of a product, generator or API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// In use.
    Active,
    /// Out of use: callers see it as missing (an API key: code 101).
    Inactive,
}

impl Activity {
    /// `active` or `inactive`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is neither `active` nor `inactive`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be active or inactive")]
pub struct InvalidActivity;

impl FromStr for Activity {
    type Err = InvalidActivity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "active" => Ok(Self::Active),
            "inactive" => Ok(Self::Inactive),
            _ => Err(InvalidActivity),
        }
    }
}
