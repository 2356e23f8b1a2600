use keypool_domain::{AuditEntry, LicenseKey, StockedKey};

use crate::dynamo::transact::{Transacted, put_if};
use crate::record::{Item, Key, license_key_item, number, read_license_key};
use crate::{Store, StoreError};

/// What became of a change of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    /// It is made, and noted in the audit trail.
    Done,
    /// The key is not as it was seen any more; nothing was written.
    ChangedMeanwhile,
}

impl Store {
    /// Reads a key with all that was written to it before. 1 read unit.
    pub async fn key_as_it_is(&self, license_key: &LicenseKey) -> Result<Option<StockedKey>, StoreError> {
        let item = self.read_one(Key::license_key(license_key)).await?;
        item.as_ref().map(read_license_key).transpose()
    }

    /// Makes a key that was `seen` what it is to be `next`, and notes it: both or neither. Every change of a key moves its
    /// version on, so the version tells whether it is still what was seen. 4 write units, and 2 of the index where it
    /// enters or leaves the stock.
    pub async fn change_key(
        &self,
        seen: &StockedKey,
        next: &StockedKey,
        entry: &AuditEntry,
    ) -> Result<KeyChange, StoreError> {
        let values = Item::from([(":seen".to_owned(), number(seen.version))]);
        let write = put_if(&self.table, license_key_item(next), Some("#version = :seen"), Some(values))?;
        Ok(match self.transact_audited(vec![write], entry).await? {
            Transacted::Committed => KeyChange::Done,
            Transacted::Refused(_) => KeyChange::ChangedMeanwhile,
        })
    }
}
