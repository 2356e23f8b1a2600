use futures_util::{StreamExt as _, TryStreamExt as _};
use keypool_aws::AdaptiveLimit;
use keypool_domain::{LicenseKey, LicenseKeyRecord};

use super::PARALLEL_MAX;
use crate::{ImportOutcome, Store, StoreError};

/// The result of storing new keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InsertCounts {
    /// The number of keys that are stored.
    pub created: usize,
    /// The keys that existed and stayed as they were.
    pub duplicates: Vec<LicenseKey>,
}

impl Store {
    /// Stores new keys, 25 to a call; those that exist stay as they were. 1 write unit for each key, and 1 of
    /// the index for each that is available; 1 read unit for each that exists.
    ///
    /// After an error some of the keys may be stored. Storing the same keys again reports those as
    /// duplicates, unless their id or their creation is the same.
    pub async fn insert(&self, keys: &[LicenseKeyRecord]) -> Result<InsertCounts, StoreError> {
        let limit = &AdaptiveLimit::default();
        let batches: Vec<&[LicenseKeyRecord]> = keys.chunks(Self::IMPORT_KEYS_MAX).collect();
        let calls: Vec<_> = batches.iter().map(|batch| self.import(batch, limit)).collect();
        let outcomes: Vec<Vec<ImportOutcome>> =
            futures_util::stream::iter(calls).buffered(PARALLEL_MAX).try_collect().await?;
        let mut counts = InsertCounts::default();
        for (key, outcome) in keys.iter().zip(outcomes.into_iter().flatten()) {
            match outcome {
                ImportOutcome::Created => counts.created += 1,
                _ => counts.duplicates.push(key.license_key.clone()),
            }
        }
        Ok(counts)
    }
}
