use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the endpoints; also the name of the capability an API key needs to call it.
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
    /// Accepts an order of keys at once, and calls the shop back when it is filled.
    RandomAssignLicenseKeysQueued,
    /// Changes the owner, limits or status of one key.
    UpdateLicenseKey,
    /// Blocks one sold key, and gives its owner another one.
    ReplaceLicenseKey,
    /// Counts a product's stock.
    GetAvailableLicenseKeysCount,
    /// Finds the keys of an order.
    GetLicenseKeys,
}

impl Endpoint {
    /// All endpoints, in the order the documentation lists them.
    pub const ALL: [Self; 9] = [
        Self::CreateLicenseKeys,
        Self::Generate,
        Self::AssignLicenseKey,
        Self::RandomAssignLicenseKeys,
        Self::RandomAssignLicenseKeysQueued,
        Self::UpdateLicenseKey,
        Self::ReplaceLicenseKey,
        Self::GetAvailableLicenseKeysCount,
        Self::GetLicenseKeys,
    ];

    /// The last segment of the path, which is also the function's and the capability's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateLicenseKeys => "create-license-keys",
            Self::Generate => "generate",
            Self::AssignLicenseKey => "assign-license-key",
            Self::RandomAssignLicenseKeys => "random-assign-license-keys",
            Self::RandomAssignLicenseKeysQueued => "random-assign-license-keys-queued",
            Self::UpdateLicenseKey => "update-license-key",
            Self::ReplaceLicenseKey => "replace-license-key",
            Self::GetAvailableLicenseKeysCount => "get-available-license-keys-count",
            Self::GetLicenseKeys => "get-license-keys",
        }
    }

    /// The path below the API's origin: `/api/v1/NAME`.
    #[must_use]
    pub fn path(self) -> String {
        format!("/api/v1/{}", self.name())
    }

    /// The other path of the endpoint, which some clients of this API call: `/v1/NAME`.
    #[must_use]
    pub fn short_path(self) -> String {
        format!("/v1/{}", self.name())
    }

    /// Returns true if the endpoint changes nothing. Such an endpoint accepts `GET` beside `POST`.
    #[must_use]
    pub const fn only_reads(self) -> bool {
        matches!(self, Self::GetAvailableLicenseKeysCount | Self::GetLicenseKeys)
    }

    /// The methods that the endpoint accepts, as the header `Allow` lists them.
    #[must_use]
    pub const fn methods(self) -> &'static str {
        if self.only_reads() { "GET, POST" } else { "POST" }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that belongs to no endpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", Endpoint::ALL.map(Endpoint::name).join(", "))]
pub struct UnknownEndpoint;

impl FromStr for Endpoint {
    type Err = UnknownEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|endpoint| endpoint.name() == text).ok_or(UnknownEndpoint)
    }
}
