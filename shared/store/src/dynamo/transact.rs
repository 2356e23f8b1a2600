use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};
use keypool_domain::AttemptId;

use super::write::Write;
use crate::record::Item;
use crate::{Store, StoreError};

const OPERATION: &str = "TransactWriteItems";

/// The result of a transaction.
#[derive(Debug)]
pub(crate) enum Transacted {
    /// DynamoDB wrote every item.
    Committed,
    /// DynamoDB wrote nothing, because a condition failed. Carries an obstacle for each write, in their
    /// order.
    Refused(Vec<Obstacle>),
}

/// The obstacle of one write of a refused transaction.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// None: the condition of another write failed.
    None,
    /// A conflict with another transaction.
    Conflict,
    /// Its condition failed. Carries the item as it is, or `None` if there is no item.
    Condition(Option<Item>),
}

impl Obstacle {
    /// The item whose condition failed.
    pub(crate) fn item(&self) -> Option<&Item> {
        match self {
            Self::None | Self::Conflict => None,
            Self::Condition(item) => item.as_ref(),
        }
    }
}

/// A transaction that is built once, so that each repetition is the same, byte for byte. Its token makes a
/// repetition harmless: for 10 minutes, DynamoDB answers the repetition of a committed transaction with
/// success and writes nothing.
#[derive(Debug)]
pub(crate) struct Transaction {
    token: String,
    parts: Vec<TransactWriteItem>,
}

impl Store {
    /// Builds a transaction of up to 100 writes.
    pub(crate) fn transaction(
        &self,
        writes: impl IntoIterator<Item = Write>,
    ) -> Result<Transaction, StoreError> {
        let parts = writes.into_iter().map(|write| write.into_part(&self.table)).collect::<Result<_, _>>()?;
        Ok(Transaction { token: AttemptId::random(self.randomness()).to_string(), parts })
    }

    /// Sends a transaction, and again after contention or a throttle. 2 write units for each item of a KB.
    pub(crate) async fn transact(
        &self,
        writes: impl IntoIterator<Item = Write>,
    ) -> Result<Transacted, StoreError> {
        let transaction = self.transaction(writes)?;
        self.with_retries(|| self.transact_once(&transaction)).await
    }

    /// Sends a transaction once.
    ///
    /// Returns [`StoreError::Contention`] if DynamoDB cancelled it for conflicts alone. An earlier attempt of
    /// the same transaction, whose response was lost, may be the one it conflicts with.
    pub(crate) async fn transact_once(&self, transaction: &Transaction) -> Result<Transacted, StoreError> {
        let sent = self
            .client
            .transact_write_items()
            .client_request_token(&transaction.token)
            .set_transact_items(Some(transaction.parts.clone()))
            .send();
        let Err(error) = sent.await else { return Ok(Transacted::Committed) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
        else {
            return Err(StoreError::from_sdk(OPERATION, &error));
        };
        let reasons = cancelled.cancellation_reasons();
        let first = |codes: &[&str]| {
            reasons.iter().filter_map(CancellationReason::code).find(|code| codes.contains(code))
        };
        // A failed condition is an answer, whatever else stood in the way.
        if first(&["ConditionalCheckFailed"]).is_some() {
            let obstacle = |reason: &CancellationReason| match reason.code() {
                Some("ConditionalCheckFailed") => Obstacle::Condition(reason.item().cloned()),
                Some("TransactionConflict") => Obstacle::Conflict,
                _ => Obstacle::None,
            };
            Ok(Transacted::Refused(reasons.iter().map(obstacle).collect()))
        } else if first(&["TransactionConflict"]).is_some() {
            Err(StoreError::Contention { operation: OPERATION })
        } else if let Some(code) = first(&["ValidationError", "ItemCollectionSizeLimitExceeded"]) {
            Err(StoreError::Rejected { operation: OPERATION, code: code.to_owned() })
        } else {
            // ThrottlingError, ProvisionedThroughputExceeded and codes that AWS may add.
            let code = reasons.iter().filter_map(CancellationReason::code).find(|code| *code != "None");
            Err(StoreError::Throttled { operation: OPERATION, code: code.unwrap_or("no reason").to_owned() })
        }
    }
}
