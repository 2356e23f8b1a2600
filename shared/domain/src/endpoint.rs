use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the four endpoints; also the name of the capability an API key needs to call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// Puts keys into stock.
    CreateLicenseKeys,
    /// Makes new keys and puts them into stock.
    Generate,
    /// Gives one named key to an owner.
    AssignLicenseKey,
    /// Gives a number of keys, drawn at random, to an owner.
    RandomAssignLicenseKeys,
}

impl Endpoint {
    /// All endpoints, in the order the documentation lists them.
    pub const ALL: [Self; 4] =
        [Self::CreateLicenseKeys, Self::Generate, Self::AssignLicenseKey, Self::RandomAssignLicenseKeys];

    /// The last segment of the path, which is also the function's and the capability's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateLicenseKeys => "create-license-keys",
            Self::Generate => "generate",
            Self::AssignLicenseKey => "assign-license-key",
            Self::RandomAssignLicenseKeys => "random-assign-license-keys",
        }
    }

    /// The path below the API's origin: `/api/v1/NAME`.
    #[must_use]
    pub fn path(self) -> String {
        format!("/api/v1/{}", self.name())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of the four endpoints'.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of create-license-keys, generate, assign-license-key and random-assign-license-keys")]
pub struct UnknownEndpoint;

impl FromStr for Endpoint {
    type Err = UnknownEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|endpoint| endpoint.name() == text).ok_or(UnknownEndpoint)
    }
}
