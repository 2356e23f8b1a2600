use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use keypool_domain::{Assignment, LicenseKey, OwnerField, Status, StockedKey};

use crate::record::{DRAW, Item, Key, STOCK, number, read_license_key, text};
use crate::table::unbuilt;
use crate::{Store, StoreError};

/// What became of an attempt to give keys away: all of them or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignOutcome {
    /// They are the owner's.
    Assigned,
    /// Nothing was written, because these keys were not to be had.
    Missed {
        /// No longer for sale: another buyer was quicker, or the index was stale.
        taken: Vec<LicenseKey>,
        /// In somebody's transaction at this moment, which may yet fail; or changed since they were read, but
        /// for sale. Read again, they may be had.
        contended: Vec<LicenseKey>,
    },
}

impl Store {
    /// Reads one key, with all that was written to it before. 1 read unit.
    pub async fn license_key(&self, license_key: &LicenseKey) -> Result<Option<StockedKey>, StoreError> {
        let output = self
            .with_retries(|| async {
                self.client
                    .get_item()
                    .table_name(&self.table)
                    .set_key(Some(Key::license_key(license_key).into_item()))
                    .consistent_read(true)
                    .send()
                    .await
                    .map_err(|error| StoreError::from_sdk("GetItem", &error))
            })
            .await?;
        output.item().map(read_license_key).transpose()
    }

    /// Gives `keys` (1 to 100, each as it was read) away, all or none, and takes them out of the stock.
    /// For one key 1 write unit and 1 of the index; for n keys, in one transaction, 2n and n.
    ///
    /// When the response to this very write was lost and it is sent again, it recognises its own assignment.
    pub async fn assign(
        &self,
        keys: &[StockedKey],
        assignment: &Assignment,
    ) -> Result<AssignOutcome, StoreError> {
        match keys {
            [key] => self.with_retries(|| self.assign_one(key, assignment)).await,
            _ => self.assign_all(keys, assignment).await,
        }
    }

    async fn assign_one(
        &self,
        key: &StockedKey,
        assignment: &Assignment,
    ) -> Result<AssignOutcome, StoreError> {
        let change = Change::new(key, assignment);
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(change.key))
            .update_expression(change.update)
            .condition_expression(Change::CONDITION)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let keys = || vec![key.license_key.clone()];
        let taken = || AssignOutcome::Missed { taken: keys(), contended: vec![] };
        let contended = || AssignOutcome::Missed { taken: vec![], contended: keys() };
        let Err(error) = result else { return Ok(AssignOutcome::Assigned) };
        if let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
            return Ok(match failed.item().map(|item| standing(item, assignment)) {
                Some(Standing::Ours) => AssignOutcome::Assigned,
                Some(Standing::ForSale) => contended(),
                Some(Standing::Gone) | None => taken(),
            });
        }
        match StoreError::from_sdk("UpdateItem", &error) {
            StoreError::Contention { .. } => Ok(contended()),
            error => Err(error),
        }
    }

    async fn assign_all(
        &self,
        keys: &[StockedKey],
        assignment: &Assignment,
    ) -> Result<AssignOutcome, StoreError> {
        let writes = keys
            .iter()
            .map(|key| {
                let change = Change::new(key, assignment);
                let update = Update::builder()
                    .table_name(&self.table)
                    .set_key(Some(change.key))
                    .update_expression(change.update)
                    .condition_expression(Change::CONDITION)
                    .set_expression_attribute_names(Some(change.names))
                    .set_expression_attribute_values(Some(change.values))
                    .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                    .build()
                    .map_err(|_| unbuilt("TransactWriteItems"))?;
                Ok(TransactWriteItem::builder().update(update).build())
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let reasons = match self.transact(writes).await? {
            Transacted::Committed => return Ok(AssignOutcome::Assigned),
            Transacted::Cancelled(reasons) => reasons,
        };
        let (mut taken, mut contended) = (Vec::new(), Vec::new());
        for (key, reason) in keys.iter().zip(&reasons) {
            match (reason.code(), reason.item().map(|item| standing(item, assignment))) {
                // Transactions are all or none: one key of ours means that all of them are.
                (Some(CONDITION_FAILED), Some(Standing::Ours)) => return Ok(AssignOutcome::Assigned),
                (Some(CONDITION_FAILED), Some(Standing::Gone) | None) => taken.push(key.license_key.clone()),
                (Some(CONDITION_FAILED), Some(Standing::ForSale)) | (Some(CONFLICT), _) => {
                    contended.push(key.license_key.clone());
                }
                _ => {}
            }
        }
        Ok(AssignOutcome::Missed { taken, contended })
    }

    /// Sends a transaction, and again when it was cancelled for throttling alone.
    pub(crate) async fn transact(&self, writes: Vec<TransactWriteItem>) -> Result<Transacted, StoreError> {
        self.with_retries(|| async {
            let sent = self.client.transact_write_items().set_transact_items(Some(writes.clone())).send();
            let Err(error) = sent.await else { return Ok(Transacted::Committed) };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                return Err(StoreError::from_sdk("TransactWriteItems", &error));
            };
            let reasons = cancelled.cancellation_reasons();
            let has = |code: &str| reasons.iter().any(|reason| reason.code() == Some(code));
            if has(CONDITION_FAILED) || has(CONFLICT) {
                Ok(Transacted::Cancelled(reasons.to_vec()))
            } else if has("ValidationError") {
                Err(StoreError::Rejected {
                    operation: "TransactWriteItems",
                    code: "ValidationError".to_owned(),
                })
            } else {
                let reason = reasons.iter().filter_map(CancellationReason::code).find(|code| *code != "None");
                let code = reason.unwrap_or("no reason").to_owned();
                Err(StoreError::Throttled { operation: "TransactWriteItems", code })
            }
        })
        .await
    }
}

/// The cancellation reason of an item whose condition did not hold.
pub(crate) const CONDITION_FAILED: &str = "ConditionalCheckFailed";
/// The cancellation reason of an item that another transaction is writing.
pub(crate) const CONFLICT: &str = "TransactionConflict";

/// What became of a transaction.
pub(crate) enum Transacted {
    Committed,
    /// One reason for each write, at least one of them a failed condition or a conflict.
    Cancelled(Vec<CancellationReason>),
}

/// Where a key stands whose condition did not hold.
enum Standing {
    /// This very assignment gave it away; the response to that was lost.
    Ours,
    /// Somebody changed it, but it is for sale.
    ForSale,
    /// It is not for sale.
    Gone,
}

fn standing(item: &Item, assignment: &Assignment) -> Standing {
    let is = |name: &str, expected: &str| {
        item.get(name).and_then(|value| value.as_s().ok()).is_some_and(|text| text == expected)
    };
    if is("assignment_id", assignment.id.as_str()) {
        Standing::Ours
    } else if is("status", Status::Available.as_str()) {
        Standing::ForSale
    } else {
        Standing::Gone
    }
}

/// The write that gives a key away.
struct Change {
    key: Item,
    update: String,
    names: std::collections::HashMap<String, String>,
    values: Item,
}

impl Change {
    /// The key is as it was when it was read, and for sale. Or the write was done before and nothing has
    /// changed since: then doing it again changes nothing. (`assignment_id` alone would not do: a key that was
    /// blocked after it was sold would be unblocked by the repetition.)
    const CONDITION: &str = "(#status = :available AND #version = :seen) \
        OR (#assignment_id = :assignment_id AND #version = :next)";

    fn new(key: &StockedKey, assignment: &Assignment) -> Self {
        let mut set = vec![
            ("#status", ":assigned", text(Status::Assigned)),
            ("#version", ":next", number(key.version + 1)),
            ("#assignment_id", ":assignment_id", text(&assignment.id)),
            ("#assigned_at", ":at", text(assignment.at)),
            ("#updated_at", ":at", text(assignment.at)),
        ];
        // Leaving the index takes the key out of the stock.
        let mut remove = vec!["#stock", "#draw"];
        let owner = &assignment.owner;
        for (name, value, field) in
            [("#owner_name", ":name", &owner.name), ("#owner_email", ":email", &owner.email)]
        {
            match field {
                Some(field) => set.push((name, value, text(OwnerField::as_str(field)))),
                // A key may have been stored with an owner; it is the buyer's now.
                None => remove.push(name),
            }
        }
        let assignments: Vec<String> =
            set.iter().map(|(name, value, _)| format!("{name} = {value}")).collect();
        let update = format!("SET {} REMOVE {}", assignments.join(", "), remove.join(", "));
        let names = set.iter().map(|(name, ..)| *name).chain(remove);
        let names = names.map(|name| (name.to_owned(), name.trim_start_matches('#').to_owned())).collect();
        let mut values: Item = set.into_iter().map(|(_, value, field)| (value.to_owned(), field)).collect();
        values.insert(":available".to_owned(), text(Status::Available));
        values.insert(":seen".to_owned(), number(key.version));
        debug_assert!(STOCK == "stock" && DRAW == "draw", "the names above are the attributes' own");
        Self { key: Key::license_key(&key.license_key).into_item(), update, names, values }
    }
}
