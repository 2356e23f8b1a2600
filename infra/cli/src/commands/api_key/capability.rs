use std::str::FromStr;

use keypool_domain::{ApiKeyRecord, Endpoint, GET_ALL_LICENSE_KEYS, UnknownEndpoint};

/// A capability, as an option names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capability {
    /// Opens an endpoint.
    Endpoint(Endpoint),
    /// Shows the orders of all API keys.
    GetAllLicenseKeys,
}

impl Capability {
    /// Gives an API key these capabilities, and no others.
    pub(super) fn grant(capabilities: &[Self], api_key: &mut ApiKeyRecord) {
        let endpoint = |capability: &Self| match capability {
            Self::Endpoint(endpoint) => Some(*endpoint),
            Self::GetAllLicenseKeys => None,
        };
        api_key.capabilities = capabilities.iter().filter_map(endpoint).collect();
        api_key.settings.sees_all_orders = capabilities.contains(&Self::GetAllLicenseKeys);
    }
}

/// The error for a text that names no capability.
#[derive(Debug, thiserror::Error)]
#[error("{UnknownEndpoint} and {GET_ALL_LICENSE_KEYS}")]
pub(super) struct UnknownCapability;

impl FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            GET_ALL_LICENSE_KEYS => Ok(Self::GetAllLicenseKeys),
            name => name.parse().map(Self::Endpoint).map_err(|_| UnknownCapability),
        }
    }
}
