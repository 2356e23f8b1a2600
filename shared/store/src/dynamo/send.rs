use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};
use keypool_aws::AwsErrorKind;
use keypool_domain::AttemptId;

use super::write::{Action, Write, conditional};
use super::{Backoff, contention, unbuilt};
use crate::record::Item;
use crate::{Store, StoreError};

/// The most retries of a call after contention or a throttle.
const RETRIES_MAX: usize = 5;

const OPERATION: &str = "TransactWriteItems";

/// The result of a write, or of several in one transaction.
#[derive(Debug)]
pub(crate) enum Written {
    /// DynamoDB wrote every item.
    Done,
    /// DynamoDB wrote nothing, because a condition failed. Carries an obstacle for each write, in their
    /// order.
    Refused(Vec<Obstacle>),
}

/// The obstacle of one write.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// None, or one that proves nothing: a conflict with another transaction.
    None,
    /// Its condition failed. Carries the item as it is, or `None` if there is no item.
    Condition(Option<Item>),
}

/// A write, or a transaction of several, that is built once, so that each retry is the same, byte for byte.
/// The token makes the retry of a transaction harmless: for 10 minutes, DynamoDB answers the retry of a
/// committed one with success and writes nothing.
#[derive(Debug)]
pub(crate) enum Prepared {
    One(Write),
    Many { token: String, parts: Vec<TransactWriteItem> },
}

impl Obstacle {
    /// The item whose condition failed.
    pub(crate) fn item(&self) -> Option<&Item> {
        match self {
            Self::Condition(item) => item.as_ref(),
            Self::None => None,
        }
    }
}

impl Written {
    /// The item of a single write whose condition failed.
    pub(crate) fn into_refused_item(self) -> Option<Item> {
        match self {
            Self::Done => None,
            Self::Refused(obstacles) => match obstacles.into_iter().next() {
                Some(Obstacle::Condition(item)) => item,
                _ => None,
            },
        }
    }

    /// Returns true if every item is written.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

/// Sends a single write, and reads an error of the given type.
macro_rules! send {
    ($builder:expr, $store:expr, $write:expr, $error:ident, $operation:literal) => {{
        let Err(error) = conditional!($builder, &$store.table, $write).send().await else {
            return Ok(Written::Done);
        };
        match error.as_service_error() {
            Some($error::ConditionalCheckFailedException(failed)) => {
                Ok(Written::Refused(vec![Obstacle::Condition(failed.item().cloned())]))
            }
            _ => Err(StoreError::from_sdk($operation, &error)),
        }
    }};
}

impl Store {
    /// Does `work`, and repeats it after contention or a throttle, up to five times, each after a wait. The
    /// SDK itself retries neither kind of transaction conflict.
    pub(crate) async fn with_retries<T, F>(&self, work: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut backoff = Backoff::new();
        for _ in 0..RETRIES_MAX {
            match work().await {
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, "trying again");
                    backoff.wait(self.randomness()).await;
                }
                settled => return settled,
            }
        }
        work().await
    }

    /// Builds 1 to 100 writes to be sent together, all or none.
    pub(crate) fn prepare(&self, writes: impl IntoIterator<Item = Write>) -> Result<Prepared, StoreError> {
        let writes: Vec<Write> = writes.into_iter().collect();
        match <[Write; 1]>::try_from(writes) {
            Ok([write]) => Ok(Prepared::One(write)),
            Err(writes) => {
                let token = AttemptId::random(self.randomness()).to_string();
                let parts = writes.into_iter().map(|write| write.into_part(&self.table));
                Ok(Prepared::Many { token, parts: parts.collect::<Result<_, _>>()? })
            }
        }
    }

    /// Writes all items or none, and retries after contention or a throttle. Write units for each item of a
    /// KB: 1, or 2 if there are several.
    pub(crate) async fn write(&self, writes: impl IntoIterator<Item = Write>) -> Result<Written, StoreError> {
        let prepared = self.prepare(writes)?;
        self.with_retries(|| self.send(&self.client, &prepared)).await
    }

    /// Sends a write, or a transaction, in one call of `client`.
    pub(crate) async fn send(&self, client: &Client, prepared: &Prepared) -> Result<Written, StoreError> {
        match prepared {
            Prepared::One(write) => self.send_one(client, write).await,
            Prepared::Many { token, parts } => Self::send_many(client, token, parts).await,
        }
    }

    async fn send_one(&self, client: &Client, write: &Write) -> Result<Written, StoreError> {
        match &write.action {
            Action::Put(item) => {
                let put = client.put_item().set_item(Some(item.clone()));
                send!(put, self, write, PutItemError, "PutItem")
            }
            Action::Update { key, .. } => {
                let update = client.update_item().set_key(Some(key.clone().into_item()));
                let update = update.update_expression(write.update_expression());
                send!(update, self, write, UpdateItemError, "UpdateItem")
            }
            Action::Delete(key) => {
                let delete = client.delete_item().set_key(Some(key.clone().into_item()));
                send!(delete, self, write, DeleteItemError, "DeleteItem")
            }
            Action::Check(_) => Err(unbuilt(OPERATION)),
        }
    }

    /// Sends a transaction.
    ///
    /// Fails with contention if DynamoDB cancelled it for conflicts alone. An earlier attempt of
    /// the same transaction, whose response was lost, may be the one it conflicts with.
    async fn send_many(
        client: &Client,
        token: &str,
        parts: &[TransactWriteItem],
    ) -> Result<Written, StoreError> {
        let sent = client
            .transact_write_items()
            .client_request_token(token)
            .set_transact_items(Some(parts.to_vec()))
            .send();
        let Err(error) = sent.await else { return Ok(Written::Done) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
        else {
            return Err(StoreError::from_sdk(OPERATION, &error));
        };
        let reasons = cancelled.cancellation_reasons();
        let first = |codes: &[&str]| {
            reasons.iter().filter_map(CancellationReason::code).find(|code| codes.contains(code))
        };
        // A failed condition is an answer, even beside other obstacles.
        if first(&["ConditionalCheckFailed"]).is_some() {
            let obstacle = |reason: &CancellationReason| match reason.code() {
                Some("ConditionalCheckFailed") => Obstacle::Condition(reason.item().cloned()),
                _ => Obstacle::None,
            };
            Ok(Written::Refused(reasons.iter().map(obstacle).collect()))
        } else if first(&["TransactionConflict"]).is_some() {
            Err(contention(OPERATION))
        } else if let Some(code) = first(&["ValidationError", "ItemCollectionSizeLimitExceeded"]) {
            Err(StoreError::aws(AwsErrorKind::Rejected, OPERATION, code))
        } else {
            // ThrottlingError, ProvisionedThroughputExceeded and codes that AWS may add.
            let code = reasons.iter().filter_map(CancellationReason::code).find(|code| *code != "None");
            Err(StoreError::aws(AwsErrorKind::Throttled, OPERATION, code.unwrap_or("no reason")))
        }
    }
}
