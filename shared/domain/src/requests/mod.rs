//! What a client may ask of each endpoint, read from [`Parameters`](crate::Parameters). All faults of a
//! request are reported at once.

mod assign_license_key;
mod create_license_keys;
mod generate;
mod random_assign_license_keys;
mod random_assign_license_keys_queued;

use crate::{Fingerprint, IdempotencyKey};

pub use assign_license_key::AssignLicenseKey;
pub use create_license_keys::CreateLicenseKeys;
pub use generate::Generate;
pub use random_assign_license_keys::RandomAssignLicenseKeys;
pub use random_assign_license_keys_queued::RandomAssignLicenseKeysQueued;

/// A request that may be sent again, and is then recognised.
pub trait Repeatable {
    /// The hash of the parameters. A repetition has the same.
    fn fingerprint(&self) -> Fingerprint;

    /// The `Idempotency-Key` that the request has if it has no other and its API key says so: it stands for
    /// the line of an order. `None` if the request names no order.
    fn key_of_order(&self) -> Option<IdempotencyKey> {
        None
    }
}
