use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use keypool_domain::{Assignment, LicenseKey, OwnerField, Status, StockedKey};

use crate::record::{Item, Key, number, read_license_key, text};
use crate::table::unbuilt;
use crate::transact::{Obstacle, Transacted};
use crate::{Store, StoreError};

/// What became of an attempt to give keys away: all of them or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignOutcome {
    /// They are the owner's.
    Assigned,
    /// Nothing was written, because these keys are not what they were when they were read.
    Missed {
        /// No longer for sale: another buyer was quicker, or the index was stale.
        taken: Vec<LicenseKey>,
        /// Changed, but for sale. Read again, they may be had.
        changed: Vec<LicenseKey>,
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
    /// The same write is repeated until it is known what became of it: only a condition that does not hold says
    /// that the keys are not to be had. Repeated, it recognises its own assignment. When the last word is an
    /// error all the same, a second write finds out whether they were given away after all, and if not, sees to it
    /// that they will not be.
    pub async fn assign(
        &self,
        keys: &[StockedKey],
        assignment: &Assignment,
    ) -> Result<AssignOutcome, StoreError> {
        let Some(first) = keys.first() else { return Ok(AssignOutcome::Assigned) };
        let write = self.with_retries(|| async {
            match keys {
                [key] => self.assign_one(key, assignment).await,
                _ => self.assign_all(keys, assignment).await,
            }
        });
        // On the heap: it is hardly ever needed, and large.
        let find_out = Box::pin(self.with_retries(|| self.fence(first, assignment)));
        self.settled(Box::pin(write), find_out).await
    }

    /// Moves the version of a key on. Whatever was sent to give it away, and is still under way, will find another
    /// version than it asks for; in a transaction one such key holds up all. If the version has moved already, the
    /// answer tells why: `Some` if by this assignment.
    async fn fence(
        &self,
        key: &StockedKey,
        assignment: &Assignment,
    ) -> Result<Option<AssignOutcome>, StoreError> {
        let standing = self.change_one(Change::fence(key), assignment).await?;
        Ok(matches!(standing, Some(Standing::Ours)).then_some(AssignOutcome::Assigned))
    }

    async fn assign_one(
        &self,
        key: &StockedKey,
        assignment: &Assignment,
    ) -> Result<AssignOutcome, StoreError> {
        let standing = self.change_one(Change::sale(key, assignment), assignment).await?;
        Ok(standing.map_or(AssignOutcome::Assigned, |standing| outcome([(key, standing)])))
    }

    /// Writes a change of one key. When its condition does not hold, nothing is written, and it says where the key
    /// stands.
    async fn change_one(
        &self,
        change: Change,
        assignment: &Assignment,
    ) -> Result<Option<Standing>, StoreError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(change.key))
            .update_expression(change.update)
            .condition_expression(change.condition)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else { return Ok(None) };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                Ok(Some(standing(failed.item(), assignment)))
            }
            _ => Err(StoreError::from_sdk("UpdateItem", &error)),
        }
    }

    async fn assign_all(
        &self,
        keys: &[StockedKey],
        assignment: &Assignment,
    ) -> Result<AssignOutcome, StoreError> {
        let writes = keys.iter().map(|key| {
            let change = Change::sale(key, assignment);
            let update = Update::builder()
                .table_name(&self.table)
                .set_key(Some(change.key))
                .update_expression(change.update)
                .condition_expression(change.condition)
                .set_expression_attribute_names(Some(change.names))
                .set_expression_attribute_values(Some(change.values))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .build()
                .map_err(|_| unbuilt("TransactWriteItems"))?;
            Ok(TransactWriteItem::builder().update(update).build())
        });
        match self.transact(writes.collect::<Result<_, StoreError>>()?).await? {
            Transacted::Committed => Ok(AssignOutcome::Assigned),
            Transacted::Refused(obstacles) => {
                let standings = keys.iter().zip(&obstacles).filter_map(|(key, obstacle)| match obstacle {
                    Obstacle::Condition(reason) => Some((key, standing(reason.item(), assignment))),
                    Obstacle::None => None,
                });
                Ok(outcome(standings))
            }
        }
    }
}

/// Where a key stands whose condition did not hold.
enum Standing {
    /// This very assignment gave it away; the response to that was lost.
    Ours,
    /// Somebody changed it, but it is for sale.
    ForSale,
    /// It is not for sale, or not there.
    Gone,
}

fn standing(item: Option<&Item>, assignment: &Assignment) -> Standing {
    let is = |name: &str, expected: &str| {
        let value = item.and_then(|item| item.get(name)).and_then(|value| value.as_s().ok());
        value.is_some_and(|text| text == expected)
    };
    if is("assignment_id", assignment.id.as_str()) {
        Standing::Ours
    } else if is("status", Status::Available.as_str()) {
        Standing::ForSale
    } else {
        Standing::Gone
    }
}

/// What conditions that did not hold amount to. Keys are given away all or none, so one that is ours means that
/// all of them are.
fn outcome<'a>(standings: impl IntoIterator<Item = (&'a StockedKey, Standing)>) -> AssignOutcome {
    let (mut taken, mut changed) = (Vec::new(), Vec::new());
    for (key, standing) in standings {
        match standing {
            Standing::Ours => return AssignOutcome::Assigned,
            Standing::ForSale => changed.push(key.license_key.clone()),
            Standing::Gone => taken.push(key.license_key.clone()),
        }
    }
    AssignOutcome::Missed { taken, changed }
}

/// A change of a key, and the condition on which it may be made.
struct Change {
    key: Item,
    update: String,
    condition: &'static str,
    names: HashMap<String, String>,
    values: Item,
}

impl Change {
    /// The key is as it was when it was read, and for sale.
    const UNSOLD: &str = "#status = :available AND #version = :seen";

    /// The same. Or the sale was made before and nothing has changed since: then making it again changes nothing.
    /// (`assignment_id` alone would not do: a key that was blocked after it was sold would be unblocked by the
    /// repetition.)
    const UNSOLD_OR_OURS: &str = "(#status = :available AND #version = :seen) \
        OR (#assignment_id = :assignment_id AND #version = :next)";

    /// Moves the version on, and nothing else.
    fn fence(key: &StockedKey) -> Self {
        let name = |name: &str| (format!("#{name}"), name.to_owned());
        Self {
            key: Key::license_key(&key.license_key).into_item(),
            update: "SET #version = :next".to_owned(),
            condition: Self::UNSOLD,
            names: HashMap::from(["status", "version"].map(name)),
            values: Self::versions(key),
        }
    }

    /// The values that every condition here asks for.
    fn versions(key: &StockedKey) -> Item {
        let values = [
            (":available", text(Status::Available)),
            (":seen", number(key.version)),
            (":next", number(key.version + 1)),
        ];
        values.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Gives the key away.
    fn sale(key: &StockedKey, assignment: &Assignment) -> Self {
        let mut set = vec![
            ("#status", ":assigned", text(Status::Assigned)),
            ("#version", ":next", number(key.version + 1)),
            ("#assignment_id", ":assignment_id", text(&assignment.id)),
            ("#assigned_at", ":at", text(assignment.at)),
            ("#updated_at", ":at", text(assignment.at)),
        ];
        // Leaving the index takes the key out of the stock. Each `#name` stands for the attribute `name`.
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
        let mut values = Self::versions(key);
        values.extend(set.into_iter().map(|(_, value, field)| (value.to_owned(), field)));
        Self {
            key: Key::license_key(&key.license_key).into_item(),
            update,
            condition: Self::UNSOLD_OR_OURS,
            names,
            values,
        }
    }
}
