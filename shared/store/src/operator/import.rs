use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{BatchStatementErrorCodeEnum, BatchStatementRequest, BatchStatementResponse};
use keypool_aws::AdaptiveLimit;
use keypool_domain::{CreationId, LicenseKey, LicenseKeyRecord, Status};

use crate::dynamo::unbuilt;
use crate::record::{Item, Key, license_key_item, read_license_key};
use crate::{Backoff, Store, StoreError};

const OPERATION: &str = "BatchExecuteStatement";

/// How often in a row a batch is sent of which nothing is taken, with half a minute of waiting in all: by
/// then a table would have split its partitions, so its own limit is the reason.
const SENT_IN_VAIN_MAX: usize = 18;

/// A call that takes longer waits in a queue somewhere, or the SDK has repeated it: the table is as good as
/// throttled. It takes 50 ms, and is given up after 5 s; were calls to pile up until then, all work would be
/// done twice.
const SLOW: Duration = Duration::from_secs(1);

/// How often in a row a batch is sent again that got no answer: the SDK has repeated each already.
const UNANSWERED_MAX: usize = 3;

/// What became of a key that was to be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It is stored, by this line of this import.
    Created,
    /// This import has stored it, from another line.
    DuplicateOfLine(u64),
    /// It was there before, and has this status. It stayed as it was.
    Duplicate(Status),
}

/// What DynamoDB did with one statement.
enum Taken {
    Stored,
    Exists,
    /// Send it again.
    NotYet {
        throttled: bool,
    },
}

impl Store {
    /// How many keys one call imports.
    pub const IMPORT_KEYS_MAX: usize = 25;
    /// How many keys one call looks for.
    pub const REHEARSE_KEYS_MAX: usize = 100;

    /// Stores new keys (1 to [`Store::IMPORT_KEYS_MAX`], each once) in one call: those that exist stay as
    /// they were. Each key carries [`CreationId::of_line`], by which it is recognised if an earlier attempt
    /// stored it. 1 write unit a key, and 1 of the index for each that is available; 1 read unit for each
    /// that exists.
    ///
    /// A `PartiQL` INSERT fails if the item exists, so it can never overwrite a key. What DynamoDB has no
    /// room for is sent again, and that alone; `limit` learns from it. After an error some of the keys may be
    /// stored, or may yet be: importing the same lines again tells which.
    pub async fn import(
        &self,
        keys: &[LicenseKeyRecord],
        limit: &AdaptiveLimit,
    ) -> Result<Vec<ImportOutcome>, StoreError> {
        let mut outcomes: Vec<Option<ImportOutcome>> = vec![None; keys.len()];
        let (mut backoff, mut in_vain, mut unanswered) = (Backoff::long(), 0, 0);
        loop {
            let open: Vec<usize> = (0..keys.len()).filter(|at| outcomes[*at].is_none()).collect();
            if open.is_empty() {
                return Ok(outcomes.into_iter().flatten().collect());
            }
            let sent: Vec<&LicenseKeyRecord> = open.iter().filter_map(|at| keys.get(*at)).collect();
            let mut existing = Vec::new();
            let taken = match self.import_once(&sent, limit).await {
                // What of it was done is recognised when it is sent again.
                Err(StoreError::Unavailable { .. }) if unanswered < UNANSWERED_MAX => {
                    unanswered += 1;
                    tokio::time::sleep(backoff.next_wait(self.randomness())).await;
                    continue;
                }
                taken => taken?,
            };
            for (at, taken) in open.iter().zip(taken) {
                match taken {
                    Taken::Stored => outcomes[*at] = Some(ImportOutcome::Created),
                    Taken::Exists => existing.push(*at),
                    Taken::NotYet { .. } => {}
                }
            }
            let stored: Vec<Item> = existing
                .iter()
                .filter_map(|at| keys.get(*at))
                .map(|key| Key::license_key(&key.license_key).into_item())
                .collect();
            let found = by_key(&self.get_many(stored, true).await?)?;
            for at in existing {
                // One that is gone since it stood in the way is sent again.
                outcomes[at] = keys.get(at).and_then(|key| Some(outcome(key, found.get(&key.license_key)?)));
            }
            let settled = open.iter().any(|at| outcomes[*at].is_some());
            if settled {
                (backoff, in_vain, unanswered) = (Backoff::long(), 0, 0);
            }
            if outcomes.iter().any(Option::is_none) {
                in_vain += 1;
                if in_vain > SENT_IN_VAIN_MAX {
                    let code = "nothing of a batch was taken".to_owned();
                    return Err(StoreError::Throttled { operation: OPERATION, code });
                }
                tokio::time::sleep(backoff.next_wait(self.randomness())).await;
            }
        }
    }

    /// What [`Store::import`] would meet with these keys (1 to [`Store::REHEARSE_KEYS_MAX`], each once), by
    /// reading: the status of each that exists. Half a read unit a key.
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

    async fn import_once(
        &self,
        keys: &[&LicenseKeyRecord],
        limit: &AdaptiveLimit,
    ) -> Result<Vec<Taken>, StoreError> {
        let statements = keys.iter().map(|key| insertion(&self.table, license_key_item(key)));
        let statements = statements.collect::<Result<Vec<_>, _>>()?;
        let permit = limit.acquire(keys.len()).await;
        let begun = Instant::now();
        let sent = self.client.batch_execute_statement().set_statements(Some(statements)).send().await;
        let taken = match sent.map_err(|error| StoreError::from_sdk(OPERATION, &error)) {
            Ok(output) => output.responses().iter().map(taken).collect::<Result<Vec<_>, _>>()?,
            Err(error) if error.is_transient() => {
                keys.iter().map(|_| Taken::NotYet { throttled: true }).collect()
            }
            Err(error) => {
                permit.throttled();
                return Err(error);
            }
        };
        if taken.len() != keys.len() {
            return Err(StoreError::Rejected {
                operation: OPERATION,
                code: "answers are missing".to_owned(),
            });
        }
        let throttled = taken.iter().any(|taken| matches!(taken, Taken::NotYet { throttled: true }));
        if throttled || begun.elapsed() > SLOW {
            permit.throttled();
        } else {
            permit.succeeded();
        }
        Ok(taken)
    }
}

fn by_key(items: &[Item]) -> Result<HashMap<LicenseKey, LicenseKeyRecord>, StoreError> {
    let keys = items.iter().map(read_license_key);
    keys.map(|key| key.map(|key| (key.license_key.clone(), key))).collect()
}

/// What a key that exists is to the one that was to be stored.
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

/// The storing of an item that must be new, as a statement. All values are parameters, so none can be read as
/// a part of the statement.
fn insertion(table: &str, item: Item) -> Result<BatchStatementRequest, StoreError> {
    let (names, values): (Vec<String>, Vec<_>) =
        item.into_iter().map(|(name, value)| (format!("'{name}': ?"), value)).unzip();
    BatchStatementRequest::builder()
        .statement(format!("INSERT INTO \"{table}\" VALUE {{{}}}", names.join(", ")))
        .set_parameters(Some(values))
        .build()
        .map_err(|_| unbuilt(OPERATION))
}

fn taken(response: &BatchStatementResponse) -> Result<Taken, StoreError> {
    let Some(error) = response.error() else { return Ok(Taken::Stored) };
    Ok(match error.code() {
        Some(BatchStatementErrorCodeEnum::DuplicateItem) => Taken::Exists,
        Some(
            BatchStatementErrorCodeEnum::ThrottlingError
            | BatchStatementErrorCodeEnum::ProvisionedThroughputExceeded
            | BatchStatementErrorCodeEnum::RequestLimitExceeded,
        ) => Taken::NotYet { throttled: true },
        Some(
            BatchStatementErrorCodeEnum::TransactionConflict
            | BatchStatementErrorCodeEnum::InternalServerError,
        ) => Taken::NotYet { throttled: false },
        code => {
            let code = code.map_or("no code", BatchStatementErrorCodeEnum::as_str).to_owned();
            return Err(match code.as_str() {
                // In a batch these have shorter names than by themselves.
                "AccessDenied" | "ResourceNotFound" => {
                    StoreError::Misconfigured { operation: OPERATION, code: format!("{code}Exception") }
                }
                _ => StoreError::Rejected { operation: OPERATION, code },
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::BatchStatementError;

    use super::*;

    #[test]
    fn a_statement_carries_its_values_as_parameters() {
        let item = Key::license_key(&"A'; B".parse().unwrap()).into_item();
        let statement = insertion("keypool", item).unwrap();
        assert_eq!(statement.parameters().len(), 2);
        let text = statement.statement();
        assert!(text.starts_with("INSERT INTO \"keypool\" VALUE {'") && !text.contains("A'"), "{text}");
    }

    #[test]
    fn errors_of_a_statement_are_sorted() {
        let of = |code: BatchStatementErrorCodeEnum| {
            let error = BatchStatementError::builder().code(code).build();
            taken(&BatchStatementResponse::builder().error(error).build())
        };
        assert!(matches!(of(BatchStatementErrorCodeEnum::DuplicateItem), Ok(Taken::Exists)));
        let throttle = of(BatchStatementErrorCodeEnum::ProvisionedThroughputExceeded);
        assert!(matches!(throttle, Ok(Taken::NotYet { throttled: true })));
        let conflict = of(BatchStatementErrorCodeEnum::TransactionConflict);
        assert!(matches!(conflict, Ok(Taken::NotYet { throttled: false })));
        assert!(matches!(
            of(BatchStatementErrorCodeEnum::AccessDenied),
            Err(StoreError::Misconfigured { code, .. }) if code == "AccessDeniedException"
        ));
        assert!(matches!(of(BatchStatementErrorCodeEnum::ValidationError), Err(StoreError::Rejected { .. })));
    }
}
