use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};

use crate::dynamo::change::names_in;
use crate::dynamo::unbuilt;
use crate::record::{Item, Key};
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
    /// Another transaction, which may be an earlier attempt of this one.
    Conflict,
    /// Its condition did not hold; the reason carries the item if it was asked for.
    Condition(CancellationReason),
}

impl Obstacle {
    /// Whether there is one: a condition that did not hold.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self, Self::Condition(_))
    }

    /// The item whose condition did not hold, as it is, if there is one.
    pub(crate) fn item(&self) -> Option<&Item> {
        match self {
            Self::None | Self::Conflict => None,
            Self::Condition(reason) => reason.item(),
        }
    }
}

/// The storing of an item, on a condition if there is one, as a part of a transaction.
pub(crate) fn put(
    table: &str,
    item: Item,
    condition: Option<&'static str>,
) -> Result<TransactWriteItem, StoreError> {
    put_if(table, item, condition, None)
}

/// The same, on a condition that compares with `values`.
pub(crate) fn put_if(
    table: &str,
    item: Item,
    condition: Option<&'static str>,
    values: Option<Item>,
) -> Result<TransactWriteItem, StoreError> {
    let names = condition
        .map(|condition| names_in(condition).map(|name| (format!("#{name}"), name.to_owned())).collect());
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .set_condition_expression(condition.map(str::to_owned))
        .set_expression_attribute_names(names)
        .set_expression_attribute_values(values)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .map_err(|_| unbuilt(OPERATION))?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// A condition on an item that the transaction does not write: its attribute `name` is the text `value`.
pub(crate) fn check(
    table: &str,
    key: Key,
    name: &str,
    value: impl std::fmt::Display,
) -> Result<TransactWriteItem, StoreError> {
    let check = ConditionCheck::builder()
        .table_name(table)
        .set_key(Some(key.into_item()))
        .condition_expression("#name = :value")
        .expression_attribute_names("#name", name)
        .expression_attribute_values(":value", crate::record::text(value))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .map_err(|_| unbuilt(OPERATION))?;
    Ok(TransactWriteItem::builder().condition_check(check).build())
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
                Some("TransactionConflict") => Obstacle::Conflict,
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
