use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};

use crate::{Store, StoreError};

const OPERATION: &str = "TransactWriteItems";

/// What became of a transaction.
pub(crate) enum Transacted {
    /// All was written.
    Committed,
    /// Nothing was written, because a condition did not hold. Each write, in order, with what stood in its way.
    Refused(Vec<Obstacle>),
}

/// What stood in the way of one write of a transaction.
pub(crate) enum Obstacle {
    /// Nothing: another write's condition did not hold.
    None,
    /// Its condition did not hold; the reason carries the item if it was asked for.
    Condition(CancellationReason),
}

impl Store {
    /// Sends a transaction once.
    ///
    /// [`StoreError::Contention`] if it was cancelled for conflicts alone: the very same transaction may be sent
    /// again, and nothing else should be tried in its place, since an earlier attempt of it, whose response was
    /// lost, may be the one it conflicts with.
    pub(crate) async fn transact(&self, writes: Vec<TransactWriteItem>) -> Result<Transacted, StoreError> {
        let sent = self.client.transact_write_items().set_transact_items(Some(writes)).send();
        let Err(error) = sent.await else { return Ok(Transacted::Committed) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
        else {
            return Err(StoreError::from_sdk(OPERATION, &error));
        };
        let reasons = cancelled.cancellation_reasons();
        let first = |codes: &[&str]| {
            reasons.iter().filter_map(CancellationReason::code).find(|code| codes.contains(code))
        };
        // A condition that did not hold is an answer, whatever else stood in the way.
        if first(&["ConditionalCheckFailed"]).is_some() {
            let obstacle = |reason: &CancellationReason| match reason.code() {
                Some("ConditionalCheckFailed") => Obstacle::Condition(reason.clone()),
                _ => Obstacle::None,
            };
            Ok(Transacted::Refused(reasons.iter().map(obstacle).collect()))
        } else if first(&["TransactionConflict"]).is_some() {
            Err(StoreError::Contention { operation: OPERATION })
        } else if let Some(code) = first(&["ValidationError", "ItemCollectionSizeLimitExceeded"]) {
            Err(StoreError::Rejected { operation: OPERATION, code: code.to_owned() })
        } else {
            // ThrottlingError, ProvisionedThroughputExceeded and what may come to be.
            let code = reasons.iter().filter_map(CancellationReason::code).find(|code| *code != "None");
            Err(StoreError::Throttled { operation: OPERATION, code: code.unwrap_or("no reason").to_owned() })
        }
    }
}
