use futures_util::StreamExt as _;
use keypool_domain::{LicenseKey, StockedKey};

use crate::dynamo::{IS_NEW, Obstacle, Transacted, Write, Written};
use crate::record::{Item, license_key_item, read_license_key};
use crate::selling::claim::Recording;
use crate::{Store, StoreError};

/// How many keys are stored at the same time. DynamoDB has no conditional batch write, so each key is a write
/// of its own; 1,000 keys are 21 rounds of a few milliseconds.
pub(crate) const PARALLEL_MAX: usize = 48;

/// How many of the keys to be stored were new.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InsertCounts {
    /// Those now stored.
    pub created: usize,
    /// Those that existed and stayed as they were.
    pub duplicates: Vec<LicenseKey>,
}

/// What became of an attempt to store keys, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertOutcome {
    /// All are stored.
    Inserted,
    /// Nothing was written, because these exist.
    Collided(Vec<LicenseKey>),
    /// Nothing was written, because another attempt at the same request has taken over.
    Superseded,
}

impl Store {
    /// Stores new keys, each for itself: those that exist stay as they were. 1 write unit a key, and 1 of the
    /// index for each that is available.
    ///
    /// After an error some of them may be stored; storing the same keys again reports those as duplicates.
    pub async fn insert(&self, keys: Vec<StockedKey>) -> Result<InsertCounts, StoreError> {
        let mut writes = futures_util::stream::iter(keys)
            .map(|key| async move { self.insert_one(&key).await.map(|created| (key.license_key, created)) })
            .buffer_unordered(PARALLEL_MAX);
        let mut counts = InsertCounts::default();
        while let Some(result) = writes.next().await {
            match result? {
                (_, true) => counts.created += 1,
                (duplicate, false) => counts.duplicates.push(duplicate),
            }
        }
        Ok(counts)
    }

    /// Whether the key was new.
    async fn insert_one(&self, key: &StockedKey) -> Result<bool, StoreError> {
        Ok(match self.write(Write::put(license_key_item(key)).when(IS_NEW, [])).await? {
            Written::Done => true,
            Written::Refused(item) => item.is_some_and(|item| is_ours(&item, key)),
        })
    }

    /// Stores keys (1 to [`Store::transaction_keys_max`]) that are given away as they are made: all or none. With a
    /// `recording`, the claim is finished by the same write. For one key 1 write unit; for n keys, or with a
    /// recording, in one transaction, 2n and 2 for each KB of the record. When the last word is an error, one of the
    /// keys is read to see whether they were stored after all.
    pub async fn insert_assigned(
        &self,
        keys: &[StockedKey],
        recording: Option<Recording<'_>>,
    ) -> Result<InsertOutcome, StoreError> {
        let Some(first) = keys.first() else { return Ok(InsertOutcome::Inserted) };
        let write = async {
            match (keys, recording) {
                ([key], None) if self.insert_one(key).await? => Ok(InsertOutcome::Inserted),
                ([key], None) => Ok(InsertOutcome::Collided(vec![key.license_key.clone()])),
                _ => self.insert_all(keys, recording).await,
            }
        };
        // One that comes to be there later is a key that nobody was told of, and that never was in stock: no loss.
        let find_out = async {
            let stored = self.license_key(&first.license_key).await?;
            Ok(stored.filter(|stored| stored.id == first.id).map(|_| InsertOutcome::Inserted))
        };
        self.settled(Box::pin(write), Box::pin(find_out)).await
    }

    async fn insert_all(
        &self,
        keys: &[StockedKey],
        recording: Option<Recording<'_>>,
    ) -> Result<InsertOutcome, StoreError> {
        let recorded = recording.map(Recording::writes).unwrap_or_default();
        let writes = insertions(keys).chain(recorded);
        let obstacles = match self.transact(writes).await? {
            Transacted::Committed => return Ok(InsertOutcome::Inserted),
            Transacted::Refused(obstacles) => obstacles,
        };
        let (of_keys, of_recording) = obstacles.split_at(keys.len());
        if let Some(recording) = recording
            && let Some(finished) = recording.obstructed(of_recording)
        {
            let ours = if finished { InsertOutcome::Inserted } else { InsertOutcome::Superseded };
            return Ok(ours);
        }
        Ok(collisions(keys, of_keys))
    }
}

/// The writes that store new keys.
pub(crate) fn insertions(keys: &[StockedKey]) -> impl Iterator<Item = Write> + use<'_> {
    keys.iter().map(|key| Write::put(license_key_item(key)).when(IS_NEW, []))
}

/// What stood in the way of keys that must be new.
pub(crate) fn collisions(keys: &[StockedKey], obstacles: &[Obstacle]) -> InsertOutcome {
    let mut collided = Vec::new();
    for (key, obstacle) in keys.iter().zip(obstacles) {
        if !obstacle.is_condition() {
            continue;
        }
        if obstacle.item().is_some_and(|item| is_ours(item, key)) {
            // Transactions are all or none: one key of ours means that all of them are.
            return InsertOutcome::Inserted;
        }
        collided.push(key.license_key.clone());
    }
    InsertOutcome::Collided(collided)
}

/// Whether the item is what an earlier attempt of this very write stored: numeric ids are never given twice. Or what an
/// earlier attempt at the same request stored: then the creation is the same.
fn is_ours(item: &Item, key: &StockedKey) -> bool {
    read_license_key(item).is_ok_and(|stored| {
        stored.id == key.id || (key.creation_id.is_some() && stored.creation_id == key.creation_id)
    })
}
