//! Turns a batch of lines into outcomes.

use std::sync::Arc;

use keypool_aws::AdaptiveLimit;
use keypool_domain::LicenseKeyRecord;
use keypool_store::{ImportOutcome, Store, StoreError};

use super::told::{Outcome, Told};

/// A line in a batch.
pub(super) struct Entry {
    pub(super) line: u64,
    pub(super) key: Option<String>,
    pub(super) state: EntryState,
}

pub(super) enum EntryState {
    Known(Outcome),
    /// A key to write or, in a dry run, to look up.
    Open(Box<LicenseKeyRecord>),
}

/// Writes or looks up the keys of a batch, and returns the outcomes of all its lines.
pub(super) async fn run(
    store: Store,
    limit: Arc<AdaptiveLimit>,
    rehearses: bool,
    batch: Vec<Entry>,
) -> Result<Vec<Told>, StoreError> {
    let open = batch.iter().filter_map(|entry| match &entry.state {
        EntryState::Open(key) => Some((**key).clone()),
        EntryState::Known(_) => None,
    });
    let open: Vec<LicenseKeyRecord> = open.collect();
    let outcomes = match (open.is_empty(), rehearses) {
        (true, _) => Vec::new(),
        (false, true) => rehearsed(&store, &open, &limit).await?,
        (false, false) => imported(&store, &open, &limit).await?,
    };
    Ok(told(batch, outcomes))
}

async fn imported(
    store: &Store,
    keys: &[LicenseKeyRecord],
    limit: &AdaptiveLimit,
) -> Result<Vec<Outcome>, StoreError> {
    let outcomes = store.import(keys, limit).await?.into_iter();
    Ok(outcomes
        .map(|outcome| match outcome {
            ImportOutcome::Created => Outcome::Created,
            ImportOutcome::DuplicateOfLine(line) => Outcome::DuplicateOfLine(line),
            ImportOutcome::Duplicate(status) => Outcome::Duplicate(status),
        })
        .collect())
}

async fn rehearsed(
    store: &Store,
    keys: &[LicenseKeyRecord],
    limit: &AdaptiveLimit,
) -> Result<Vec<Outcome>, StoreError> {
    let keys: Vec<_> = keys.iter().map(|key| key.license_key.clone()).collect();
    let found = store.rehearse_import(&keys, limit).await?.into_iter();
    Ok(found.map(|status| status.map_or(Outcome::WouldBeCreated, Outcome::Duplicate)).collect())
}

/// The lines of a batch with their outcomes, in order.
fn told(batch: Vec<Entry>, outcomes: Vec<Outcome>) -> Vec<Told> {
    let mut outcomes = outcomes.into_iter();
    let told = batch.into_iter().filter_map(|Entry { line, key, state }| {
        let outcome = match state {
            EntryState::Known(outcome) => outcome,
            EntryState::Open(_) => outcomes.next()?,
        };
        Some(Told { line, key, outcome })
    });
    told.collect()
}
