use std::borrow::Cow;
use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use crate::dynamo::unbuilt;
use crate::record::{Item, Key, PK, SK};
use crate::{Store, StoreError};

/// A change of one item, and the condition on which it may be made.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    key: Key,
    set: Vec<(Cow<'static, str>, AttributeValue)>,
    remove: Vec<Cow<'static, str>>,
    condition: Cow<'static, str>,
    values: Vec<(Cow<'static, str>, AttributeValue)>,
}

/// What became of a change.
#[derive(Debug)]
pub(crate) enum Changed {
    /// It is made.
    Done,
    /// Its condition does not hold, for the item as it is; `None` if there is no item.
    Refused(Option<Item>),
}

impl Change {
    /// A change of the item at `key`, if `condition` holds. In the condition `#name` stands for the attribute `name`;
    /// `values` are those it compares with.
    pub(crate) fn of<const N: usize>(
        key: Key,
        condition: &'static str,
        values: [(&'static str, AttributeValue); N],
    ) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Self { key, set: Vec::new(), remove: Vec::new(), condition: condition.into(), values }
    }

    /// Makes of the record `before`, which was read as the item `seen`, the record `after`: on the condition that each of
    /// its attributes is as it was seen. Attributes that neither record knows stay as they are.
    pub(crate) fn of_record(key: Key, seen: &Item, before: &Item, after: &Item) -> Self {
        let mut change =
            Self { key, set: Vec::new(), remove: Vec::new(), condition: Cow::default(), values: Vec::new() };
        let mut known: Vec<&String> =
            before.keys().chain(after.keys()).filter(|name| ![PK, SK].contains(&name.as_str())).collect();
        known.sort();
        known.dedup();
        let mut conditions = Vec::new();
        for name in known {
            match seen.get(name) {
                Some(value) => {
                    conditions.push(format!("#{name} = :seen_{name}"));
                    change.values.push((format!(":seen_{name}").into(), value.clone()));
                }
                None => conditions.push(format!("attribute_not_exists(#{name})")),
            }
            match after.get(name) {
                // What stays is set as well: an update that changes nothing is none that DynamoDB takes.
                Some(value) => change.set.push((name.clone().into(), value.clone())),
                None => change.remove.push(name.clone().into()),
            }
        }
        change.condition = conditions.join(" AND ").into();
        change
    }

    /// Sets an attribute.
    pub(crate) fn set(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.set.push((name.into(), value));
        self
    }

    /// Removes an attribute.
    pub(crate) fn remove(mut self, name: &'static str) -> Self {
        self.remove.push(name.into());
        self
    }

    /// Sets an attribute, or removes it.
    pub(crate) fn set_or_remove(self, name: &'static str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    fn expression(&self) -> String {
        let set = self.set.iter().map(|(name, _)| format!("#{name} = :set_{name}"));
        let remove = self.remove.iter().map(|name| format!("#{name}"));
        let clauses = [("SET", set.collect::<Vec<_>>()), ("REMOVE", remove.collect())];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        clauses.map(|(word, parts)| format!("{word} {}", parts.join(", "))).collect::<Vec<_>>().join(" ")
    }

    fn names(&self) -> HashMap<String, String> {
        let of_condition = names_in(&self.condition);
        let changed = self.set.iter().map(|(name, _)| name).chain(&self.remove).map(|name| &**name);
        of_condition.chain(changed).map(|name| (format!("#{name}"), name.to_owned())).collect()
    }

    fn values(&self) -> Item {
        let set = self.set.iter().map(|(name, value)| (format!(":set_{name}"), value.clone()));
        let compared = self.values.iter().map(|(name, value)| (name.clone().into_owned(), value.clone()));
        set.chain(compared).collect()
    }

    /// The change as a part of a transaction.
    pub(crate) fn into_write(self, table: &str) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(table)
            .update_expression(self.expression())
            .condition_expression(&*self.condition)
            .set_expression_attribute_names(Some(self.names()))
            .set_expression_attribute_values(Some(self.values()))
            .set_key(Some(self.key.into_item()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|_| unbuilt("TransactWriteItems"))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

/// The attributes that an expression names, each as `#name`.
pub(crate) fn names_in(expression: &str) -> impl Iterator<Item = &str> {
    expression.split('#').skip(1).map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_alphabetic() && letter != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

impl Store {
    /// Sends a change once. 1 write unit for a KB.
    pub(crate) async fn change(&self, change: Change) -> Result<Changed, StoreError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.table)
            .update_expression(change.expression())
            .condition_expression(&*change.condition)
            .set_expression_attribute_names(Some(change.names()))
            .set_expression_attribute_values(Some(change.values()))
            .set_key(Some(change.key.into_item()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else { return Ok(Changed::Done) };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                Ok(Changed::Refused(failed.item().cloned()))
            }
            _ => Err(StoreError::from_sdk("UpdateItem", &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{number, text};

    #[test]
    fn a_change_names_what_it_touches_and_compares() {
        let change = Change::of(
            Key::counter("a"),
            "(#status = :seen AND #version = :v)",
            [(":seen", text("x")), (":v", number(1))],
        );
        let change = change.set("status", text("y")).remove("stock").set_or_remove("owner_name", None);
        assert_eq!(change.expression(), "SET #status = :set_status REMOVE #stock, #owner_name");
        let mut names: Vec<String> = change.names().into_values().collect();
        names.sort();
        assert_eq!(names, ["owner_name", "status", "stock", "version"]);
        let mut values: Vec<String> = change.values().into_keys().collect();
        values.sort();
        assert_eq!(values, [":seen", ":set_status", ":v"]);
    }

    #[test]
    fn a_change_of_a_record_compares_all_that_it_knows() {
        let record = |attributes: &[(&str, &str)]| {
            let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
            attributes.chain(Key::counter("a").into_item()).collect::<Item>()
        };
        let seen = record(&[("name", "x"), ("networks", "y"), ("later", "z")]);
        let before = record(&[("name", "x"), ("networks", "y")]);
        let after = record(&[("name", "w"), ("valid_until", "v")]);
        let change = Change::of_record(Key::counter("a"), &seen, &before, &after);
        assert_eq!(
            change.condition,
            "#name = :seen_name AND #networks = :seen_networks AND attribute_not_exists(#valid_until)"
        );
        assert_eq!(
            change.expression(),
            "SET #name = :set_name, #valid_until = :set_valid_until REMOVE #networks"
        );
    }
}
