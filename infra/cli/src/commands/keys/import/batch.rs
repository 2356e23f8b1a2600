//! Turns a batch of lines into outcomes.

use std::sync::Arc;

use keypool_aws::AdaptiveLimit;
use keypool_domain::LicenseKeyRecord;
use keypool_store::{Store, StoreError};

use super::outcome::{Outcome, ReceiptLine};

/// Lines of the file whose keys one call writes or, in a dry run, looks up.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<BatchLine>,
    /// The keys of the lines without an outcome.
    pub(super) keys: Vec<LicenseKeyRecord>,
}

/// A line of the file, and its outcome if that is known without the call.
#[derive(Debug)]
pub(super) struct BatchLine {
    pub(super) line: u64,
    pub(super) key: Option<String>,
    pub(super) outcome: Option<Outcome>,
}

impl Batch {
    /// Writes or looks up the keys, and returns the outcomes of all lines, in order.
    pub(super) async fn run(
        self,
        store: Store,
        limit: Arc<AdaptiveLimit>,
        is_dry_run: bool,
    ) -> Result<Vec<ReceiptLine>, StoreError> {
        let outcomes: Vec<Outcome> = if self.keys.is_empty() {
            Vec::new()
        } else if is_dry_run {
            let keys: Vec<_> = self.keys.into_iter().map(|key| key.license_key).collect();
            let found = store.rehearse_import(&keys, &limit).await?.into_iter();
            found.map(|status| status.map_or(Outcome::WouldBeCreated, Outcome::duplicate)).collect()
        } else {
            store.import(&self.keys, &limit).await?.into_iter().map(Outcome::from).collect()
        };
        let mut outcomes = outcomes.into_iter();
        let lines = self.lines.into_iter().filter_map(|BatchLine { line, key, outcome }| {
            Some(ReceiptLine { line, key, outcome: outcome.or_else(|| outcomes.next())? })
        });
        Ok(lines.collect())
    }
}
