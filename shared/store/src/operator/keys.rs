use keypool_domain::{AuditEntry, LicenseKeyRecord};

use crate::dynamo::{Write, Written};
use crate::record::{license_key_item, number};
use crate::{Store, StoreError};

/// The result of changing a license key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    /// The key and the audit entry are written.
    Done,
    /// Nothing was written: the key has changed since it was read.
    ChangedMeanwhile,
}

impl Store {
    /// Changes a key from `seen` to `next` and writes the audit entry, in one transaction. Its condition is
    /// the version, which rises with every change of a key. 4 write units, and 2 of the index if the key
    /// enters or leaves the stock.
    pub async fn change_key(
        &self,
        seen: &LicenseKeyRecord,
        next: &LicenseKeyRecord,
        entry: &AuditEntry,
    ) -> Result<KeyChange, StoreError> {
        let write =
            Write::put(license_key_item(next)).when("#version = :seen", [(":seen", number(seen.version))]);
        Ok(match self.transact_audited([write], Some(entry)).await? {
            Written::Done => KeyChange::Done,
            Written::Refused(_) => KeyChange::ChangedMeanwhile,
        })
    }
}
