//! The requests of each endpoint, read from [`Parameters`](crate::Parameters). All faults of a request are
//! reported at once.

mod assign_license_key;
mod create_license_keys;
mod generate;
mod get_available_license_keys_count;
mod get_license_keys;
mod random_assign_license_keys;
mod random_assign_license_keys_queued;
mod replace_license_key;
mod update_license_key;

use std::str::FromStr;

use crate::{Fingerprint, IdempotencyKey};

pub use assign_license_key::AssignLicenseKey;
pub use create_license_keys::CreateLicenseKeys;
pub use generate::Generate;
pub use get_available_license_keys_count::GetAvailableLicenseKeysCount;
pub use get_license_keys::GetLicenseKeys;
pub use random_assign_license_keys::RandomAssignLicenseKeys;
pub use random_assign_license_keys_queued::RandomAssignLicenseKeysQueued;
pub use replace_license_key::ReplaceLicenseKey;
pub use update_license_key::UpdateLicenseKey;

/// A request whose repetitions keypool recognizes.
pub trait Repeatable {
    /// The hash of the parameters. A repetition has the same.
    fn fingerprint(&self) -> Fingerprint;

    /// The `Idempotency-Key` of a request that has no other, if its API key sets `once_per_identifier`. It
    /// identifies the line of an order. `None` if the request names no order.
    fn key_of_order(&self) -> Option<IdempotencyKey> {
        None
    }
}

/// A parameter that is `0` or `1`. The default is 0.
#[derive(Default)]
struct Switch(bool);

/// A text that is neither `0` nor `1`.
#[derive(Debug, thiserror::Error)]
#[error("must be 0 or 1")]
struct InvalidSwitch;

impl FromStr for Switch {
    type Err = InvalidSwitch;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "0" => Ok(Self(false)),
            "1" => Ok(Self(true)),
            _ => Err(InvalidSwitch),
        }
    }
}
