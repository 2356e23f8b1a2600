use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    BatchStatementErrorCodeEnum as Code, BatchStatementRequest, BatchStatementResponse,
};
use keypool_aws::{AdaptiveLimit, AwsErrorKind};
use keypool_domain::{CreationId, LicenseKey, LicenseKeyRecord, Status};

use crate::dynamo::unbuilt;
use crate::record::{Item, Key, Record as _};
use crate::{Backoff, Store, StoreError};

const OPERATION: &str = "BatchExecuteStatement";

/// The most retries in a row of a batch without progress, with half a minute of waits in total. By then
/// DynamoDB has split the table's partitions, so the table's own limit is the reason.
const SENT_IN_VAIN_MAX: usize = 18;

/// A longer call counts as throttled: it waits in a queue, or the SDK has repeated it. A call takes 50 ms and
/// times out after 5 s. If calls piled up until then, all work would be done twice.
const SLOW: Duration = Duration::from_secs(1);

/// The most retries in a row of a batch without an answer, beside the retries of the SDK.
const UNANSWERED_MAX: usize = 3;

/// The outcome for a key that was to be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It is stored, by this line of this import.
    Created,
    /// This import has stored it, from another line.
    DuplicateOfLine(u64),
    /// It existed before, with this status, and stayed as it was.
    Duplicate(Status),
}

/// DynamoDB's result of one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inserted {
    Stored,
    Exists,
    /// Nothing was written; the table, or a part of it, is at its limit.
    Throttled,
    /// Nothing was written, for another reason that passes.
    NotYet,
}

impl Store {
    /// The most keys that one call imports.
    pub const IMPORT_KEYS_MAX: usize = 25;
    /// The most keys that one call looks for.
    pub const REHEARSE_KEYS_MAX: usize = 100;

    /// Stores new keys (1 to [`Store::IMPORT_KEYS_MAX`], each once) in one call. Existing keys stay as they
    /// were. Each key carries [`CreationId::of_line`], which identifies it if an earlier attempt stored it. 1
    /// write unit a key, and 1 of the index for each that is available; 1 read unit for each that exists.
    ///
    /// A `PartiQL` INSERT fails if the item exists, so it can never overwrite a key. Only throttled keys are
    /// sent again, and `limit` adapts. After an error, some keys may be stored, or may still arrive: a
    /// repeated import of the same lines reports them.
    pub async fn import(
        &self,
        keys: &[LicenseKeyRecord],
        limit: &AdaptiveLimit,
    ) -> Result<Vec<ImportOutcome>, StoreError> {
        let mut outcomes = HashMap::new();
        let (mut backoff, mut in_vain, mut unanswered) = (Backoff::long(), 0, 0);
        loop {
            let open = keys.iter().filter(|key| !outcomes.contains_key(&key.license_key));
            match self.import_once(&open.collect::<Vec<_>>(), limit).await {
                Ok(settled) if !settled.is_empty() => {
                    outcomes.extend(settled);
                    (backoff, in_vain, unanswered) = (Backoff::long(), 0, 0);
                }
                Ok(_) if in_vain < SENT_IN_VAIN_MAX => in_vain += 1,
                Ok(_) => return Err(failed(AwsErrorKind::Throttled, "nothing of a batch was taken")),
                // The next call recognizes the keys that this one has stored.
                Err(error)
                    if error.kind() == Some(AwsErrorKind::Unavailable) && unanswered < UNANSWERED_MAX =>
                {
                    unanswered += 1;
                }
                Err(error) => return Err(error),
            }
            let all = keys.iter().map(|key| outcomes.get(&key.license_key).copied());
            if let Some(all) = all.collect() {
                return Ok(all);
            }
            backoff.wait(self.randomness()).await;
        }
    }

    /// Reads the status of keys (1 to [`Store::REHEARSE_KEYS_MAX`], each once) as [`Store::import`] would
    /// find them; `None` for a key that does not exist. Half a read unit a key.
    pub async fn rehearse_import(
        &self,
        keys: &[LicenseKey],
        limit: &AdaptiveLimit,
    ) -> Result<Vec<Option<Status>>, StoreError> {
        let permit = limit.acquire(keys.len()).await;
        let items =
            self.get_many(keys.iter().map(|key| Key::license_key(key).into_item()).collect(), false).await?;
        permit.succeeded();
        let found = by_key(&items)?;
        Ok(keys.iter().map(|key| found.get(key).map(|stored| stored.status)).collect())
    }

    /// Sends keys once, and returns the outcomes of those that need not be sent again.
    async fn import_once<'a>(
        &self,
        keys: &[&'a LicenseKeyRecord],
        limit: &AdaptiveLimit,
    ) -> Result<Vec<(&'a LicenseKey, ImportOutcome)>, StoreError> {
        let inserted = self.insert_batch(keys, limit).await?;
        let results = || keys.iter().zip(&inserted);
        let existing = results().filter(|(_, inserted)| **inserted == Inserted::Exists);
        let existing = existing.map(|(key, _)| Key::license_key(&key.license_key).into_item());
        let existing = by_key(&self.get_many(existing.collect(), true).await?)?;
        let outcomes = results().map(|(key, inserted)| {
            let outcome = match inserted {
                Inserted::Stored => Some(ImportOutcome::Created),
                // A key that was deleted in the meantime is sent again.
                Inserted::Exists => existing.get(&key.license_key).map(|stored| outcome(key, stored)),
                Inserted::Throttled | Inserted::NotYet => None,
            };
            outcome.map(|outcome| (&key.license_key, outcome))
        });
        Ok(outcomes.flatten().collect())
    }

    async fn insert_batch(
        &self,
        keys: &[&LicenseKeyRecord],
        limit: &AdaptiveLimit,
    ) -> Result<Vec<Inserted>, StoreError> {
        let statements = keys.iter().map(|key| insertion(&self.table, key.item()));
        let statements = statements.collect::<Result<Vec<_>, _>>()?;
        let permit = limit.acquire(keys.len()).await;
        let begun = Instant::now();
        let sent = self.client.batch_execute_statement().set_statements(Some(statements)).send().await;
        let inserted = match sent.map_err(|error| StoreError::from_sdk(OPERATION, &error)) {
            Ok(output) => output.responses().iter().map(inserted).collect::<Result<Vec<_>, _>>()?,
            Err(error) if error.is_transient() => vec![Inserted::Throttled; keys.len()],
            Err(error) => {
                permit.throttled();
                return Err(error);
            }
        };
        if inserted.len() != keys.len() {
            return Err(failed(AwsErrorKind::Rejected, "answers are missing"));
        }
        if inserted.contains(&Inserted::Throttled) || begun.elapsed() > SLOW {
            permit.throttled();
        } else {
            permit.succeeded();
        }
        Ok(inserted)
    }
}

fn by_key(items: &[Item]) -> Result<HashMap<LicenseKey, LicenseKeyRecord>, StoreError> {
    let keys = items.iter().map(LicenseKeyRecord::read);
    keys.map(|key| key.map(|key| (key.license_key.clone(), key))).collect()
}

/// Compares a key that exists with the one that was to be stored.
fn outcome(new: &LicenseKeyRecord, stored: &LicenseKeyRecord) -> ImportOutcome {
    let line_of = |key: &LicenseKeyRecord| key.creation_id.as_ref().and_then(CreationId::import_line);
    let is_same_creation = new.creation_id.is_some() && new.creation_id == stored.creation_id;
    match (line_of(new), line_of(stored)) {
        (Some((ours, line)), Some((theirs, stored_line))) if ours == theirs => {
            if line == stored_line {
                ImportOutcome::Created
            } else {
                ImportOutcome::DuplicateOfLine(stored_line)
            }
        }
        // Not an import: an earlier attempt of this call, or of this request, has stored the key.
        (None, _) if new.id == stored.id || is_same_creation => ImportOutcome::Created,
        _ => ImportOutcome::Duplicate(stored.status),
    }
}

/// A statement that stores an item, which must be new. All values are parameters, so none can become a part
/// of the statement.
fn insertion(table: &str, item: Item) -> Result<BatchStatementRequest, StoreError> {
    let (names, values): (Vec<String>, Vec<_>) =
        item.into_iter().map(|(name, value)| (format!("'{name}': ?"), value)).unzip();
    BatchStatementRequest::builder()
        .statement(format!("INSERT INTO \"{table}\" VALUE {{{}}}", names.join(", ")))
        .set_parameters(Some(values))
        .build()
        .map_err(|_| unbuilt(OPERATION))
}

fn inserted(response: &BatchStatementResponse) -> Result<Inserted, StoreError> {
    let Some(error) = response.error() else { return Ok(Inserted::Stored) };
    match error.code() {
        Some(Code::DuplicateItem) => Ok(Inserted::Exists),
        Some(Code::ThrottlingError | Code::ProvisionedThroughputExceeded | Code::RequestLimitExceeded) => {
            Ok(Inserted::Throttled)
        }
        Some(Code::TransactionConflict | Code::InternalServerError) => Ok(Inserted::NotYet),
        // In a batch, these codes are shorter than elsewhere.
        Some(code @ (Code::AccessDenied | Code::ResourceNotFound)) => {
            Err(failed(AwsErrorKind::Misconfigured, &format!("{}Exception", code.as_str())))
        }
        code => Err(failed(AwsErrorKind::Rejected, code.map_or("no code", Code::as_str))),
    }
}

fn failed(kind: AwsErrorKind, code: &str) -> StoreError {
    StoreError::aws(kind, OPERATION, code)
}
