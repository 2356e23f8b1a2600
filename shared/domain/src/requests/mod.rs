//! What a client may ask of each endpoint, read from [`Parameters`](crate::Parameters). All faults of a
//! request are reported at once.

mod assign_license_key;
mod create_license_keys;
mod generate;
mod random_assign_license_keys;
mod random_assign_license_keys_queued;

pub use assign_license_key::AssignLicenseKey;
pub use create_license_keys::CreateLicenseKeys;
pub use generate::Generate;
pub use random_assign_license_keys::RandomAssignLicenseKeys;
pub use random_assign_license_keys_queued::RandomAssignLicenseKeysQueued;
