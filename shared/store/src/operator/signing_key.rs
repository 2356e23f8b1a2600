//! Retired signing keys. Their public halves are kept, so that their signatures can be checked as long as the
//! table exists, even if KMS deletes the keys. No sale reads them.

use keypool_domain::{AuditEntry, ProductId, RetiredKey, Timestamp};

use crate::dynamo::{IS_NEW, Write, Written, contention};
use crate::record::{Key, Record as _, kind};
use crate::{Store, StoreError};

impl Store {
    /// Keeps the public half of a key that nothing in the table names: a global one. 6 write units.
    pub async fn retire(&self, key: &RetiredKey, audit: &AuditEntry) -> Result<(), StoreError> {
        match self.transact_audited(Self::retirement(key), Some(audit)).await? {
            Written::Done => Ok(()),
            // Another global key was retired in the same microsecond.
            Written::Refused(_) => Err(contention("TransactWriteItems")),
        }
    }

    /// The writes that keep a retired key.
    pub(super) fn retirement(key: &RetiredKey) -> [Write; 2] {
        let entry = Key::catalogue(kind::SIGNING_KEY, catalogue_entry(key));
        [Write::put(key.item()).when(IS_NEW, []), Write::put(entry.into_item())]
    }

    /// All retired signing keys: the global ones, then those of products by id, each the oldest first. 1 read
    /// unit for 4 KB of entries, and 1 for each key.
    pub async fn retired_keys(&self) -> Result<Vec<RetiredKey>, StoreError> {
        let items = self.listed(kind::SIGNING_KEY, read_catalogue_entry).await?;
        let mut keys = items.iter().map(RetiredKey::read).collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| (key.product_id, key.retired_at));
        Ok(keys)
    }
}

/// The text `42#2026-11-21T07:00:00.000000Z`; 0, which is no product's id, for a global key.
fn catalogue_entry(key: &RetiredKey) -> String {
    format!("{}#{}", key.product_id.map_or(0, ProductId::get), key.retired_at.to_microseconds_text())
}

fn read_catalogue_entry(entry: &str) -> Option<Key> {
    let (product_id, retired_at) = entry.split_once('#')?;
    let product_id = if product_id == "0" { None } else { Some(product_id.parse().ok()?) };
    Some(Key::retired_key(product_id, Timestamp::from_rfc3339(retired_at)?))
}
