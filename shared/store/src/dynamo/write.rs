use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update};

use super::unbuilt;
use crate::StoreError;
use crate::record::{Item, Key, PK, SK};

/// A conditional write of one item. It can be sent alone or as a part of a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(super) action: Action,
    condition: Cow<'static, str>,
    /// The values that the condition compares with.
    compared: Item,
    /// The values that an update sets or adds.
    written: Item,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Put(Item),
    /// The clauses of the expression, by their keywords.
    Update {
        key: Key,
        clauses: BTreeMap<&'static str, Vec<String>>,
    },
    Delete(Key),
    /// A condition on an item that the transaction does not change.
    Check(Key),
}

/// Gives a builder of the SDK the table and the condition. DynamoDB returns the item with a failed condition.
macro_rules! conditional {
    ($builder:expr, $table:expr, $write:expr) => {
        $builder
            .table_name($table)
            .set_condition_expression($write.condition())
            .set_expression_attribute_names($write.names())
            .set_expression_attribute_values($write.values())
            .return_values_on_condition_check_failure(
                aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
            )
    };
}

pub(super) use conditional;

/// A condition that fails if the item exists.
pub(crate) const IS_NEW: &str = "attribute_not_exists(#pk)";

impl Write {
    fn new(action: Action) -> Self {
        Self { action, condition: Cow::default(), compared: Item::new(), written: Item::new() }
    }

    /// Stores an item. It replaces the one at its key, if there is one.
    pub(crate) fn put(item: Item) -> Self {
        Self::new(Action::Put(item))
    }

    /// Changes attributes of the item at `key`, which [`Write::set`] and [`Write::remove`] name.
    pub(crate) fn update(key: Key) -> Self {
        Self::new(Action::Update { key, clauses: BTreeMap::new() })
    }

    /// Deletes the item at `key`.
    pub(crate) fn delete(key: Key) -> Self {
        Self::new(Action::Delete(key))
    }

    /// Checks the item at `key` and leaves it unchanged. Only for transactions.
    pub(crate) fn check(key: Key) -> Self {
        Self::new(Action::Check(key))
    }

    /// Makes the write depend on `condition`. There, `#name` stands for the attribute `name`, and the
    /// condition compares with `values`.
    pub(crate) fn when<const N: usize>(
        mut self,
        condition: &'static str,
        values: [(&'static str, AttributeValue); N],
    ) -> Self {
        self.condition = condition.into();
        self.compared = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self
    }

    /// Replaces the record `before`, which was read as the item `seen`, with the record `after`. The
    /// condition compares each attribute of either record with `seen`. Attributes that neither record knows
    /// stay unchanged.
    pub(crate) fn update_record(key: Key, seen: &Item, before: &Item, after: &Item) -> Self {
        let mut known: Vec<&String> =
            before.keys().chain(after.keys()).filter(|name| ![PK, SK].contains(&name.as_str())).collect();
        known.sort();
        known.dedup();
        let mut write = Self::update(key);
        let mut conditions = Vec::new();
        for name in known {
            match seen.get(name) {
                Some(value) => {
                    conditions.push(format!("#{name} = :seen_{name}"));
                    write.compared.insert(format!(":seen_{name}"), value.clone());
                }
                None => conditions.push(format!("attribute_not_exists(#{name})")),
            }
            // DynamoDB refuses an update that sets nothing, so unchanged attributes are set, too.
            write = match after.get(name) {
                Some(value) => write.set(name, value.clone()),
                None => write.remove(name),
            };
        }
        write.condition = conditions.join(" AND ").into();
        write
    }

    /// Sets an attribute of a stored or updated item.
    pub(crate) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        if let Action::Put(item) = &mut self.action {
            item.insert(name.to_owned(), value);
            return self;
        }
        self.clause("SET", format!("#{name} = :set_{name}"), Some((format!(":set_{name}"), value)))
    }

    /// Adds a number to an attribute of an updated item. A repetition adds it again.
    pub(crate) fn add(self, name: &str, value: AttributeValue) -> Self {
        self.clause("ADD", format!("#{name} :add_{name}"), Some((format!(":add_{name}"), value)))
    }

    /// Removes an attribute of an updated item.
    pub(crate) fn remove(self, name: &str) -> Self {
        self.clause("REMOVE", format!("#{name}"), None)
    }

    fn clause(
        mut self,
        keyword: &'static str,
        clause: String,
        value: Option<(String, AttributeValue)>,
    ) -> Self {
        if let Action::Update { clauses, .. } = &mut self.action {
            clauses.entry(keyword).or_default().push(clause);
            self.written.extend(value);
        }
        self
    }

    /// Sets attributes of a stored or updated item.
    pub(crate) fn with(self, attributes: Item) -> Self {
        attributes.into_iter().fold(self, |write, (name, value)| write.set(&name, value))
    }

    /// Sets an attribute of an updated item, or removes it.
    pub(crate) fn set_or_remove(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    pub(super) fn condition(&self) -> Option<String> {
        (!self.condition.is_empty()).then(|| self.condition.clone().into_owned())
    }

    pub(super) fn update_expression(&self) -> String {
        let Action::Update { clauses, .. } = &self.action else { return String::new() };
        let clauses = clauses.iter().map(|(keyword, clauses)| format!("{keyword} {}", clauses.join(", ")));
        clauses.collect::<Vec<_>>().join(" ")
    }

    /// The names in both expressions.
    pub(super) fn names(&self) -> Option<HashMap<String, String>> {
        named(names_in(&self.condition).chain(names_in(&self.update_expression())))
    }

    pub(super) fn values(&self) -> Option<Item> {
        let values: Item = self.compared.clone().into_iter().chain(self.written.clone()).collect();
        (!values.is_empty()).then_some(values)
    }

    /// The write as a part of a transaction.
    pub(crate) fn into_part(self, table: &str) -> Result<TransactWriteItem, StoreError> {
        let part = TransactWriteItem::builder();
        let built = match &self.action {
            Action::Put(item) => {
                let put = Put::builder().set_item(Some(item.clone()));
                conditional!(put, table, self).build().map(|put| part.put(put))
            }
            Action::Update { key, .. } => {
                let update = Update::builder().set_key(Some(key.clone().into_item()));
                let update = update.update_expression(self.update_expression());
                conditional!(update, table, self).build().map(|update| part.update(update))
            }
            Action::Delete(key) => {
                let delete = Delete::builder().set_key(Some(key.clone().into_item()));
                conditional!(delete, table, self).build().map(|delete| part.delete(delete))
            }
            Action::Check(key) => {
                let check = ConditionCheck::builder().set_key(Some(key.clone().into_item()));
                conditional!(check, table, self).build().map(|check| part.condition_check(check))
            }
        };
        let built = built.map_err(|_| unbuilt("TransactWriteItems"))?;
        Ok(built.build())
    }
}

/// The attributes as a request names them; `None` if there are none, because DynamoDB refuses an empty map.
pub(super) fn named<'a>(names: impl Iterator<Item = &'a str>) -> Option<HashMap<String, String>> {
    let names: HashMap<_, _> = names.map(|name| (format!("#{name}"), name.to_owned())).collect();
    (!names.is_empty()).then_some(names)
}

/// The attributes that an expression names, each as `#name`.
pub(super) fn names_in(expression: &str) -> impl Iterator<Item = &str> {
    expression.split('#').skip(1).map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{number, text};

    #[test]
    fn a_write_names_what_it_touches_and_compares() {
        let write = Write::update(Key::counter("a"))
            .when("(#status = :seen AND #version = :v)", [(":seen", text("x")), (":v", number(1))])
            .set("status", text("y"))
            .add("count", number(7))
            .remove("stock")
            .set_or_remove("owner_name", None);
        let expected = "ADD #count :add_count REMOVE #stock, #owner_name SET #status = :set_status";
        assert_eq!(write.update_expression(), expected);
        let mut names: Vec<String> = write.names().unwrap().into_values().collect();
        names.sort();
        assert_eq!(names, ["count", "owner_name", "status", "stock", "version"]);
        let mut values: Vec<String> = write.values().unwrap().into_keys().collect();
        values.sort();
        assert_eq!(values, [":add_count", ":seen", ":set_status", ":v"]);
    }

    #[test]
    fn an_unconditional_put_carries_no_empty_maps() {
        let write = Write::put(Key::counter("a").into_item());
        assert_eq!((write.condition(), write.names(), write.values()), (None, None, None));
    }

    #[test]
    fn a_record_update_compares_every_known_attribute() {
        let record = |attributes: &[(&str, &str)]| {
            let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
            attributes.chain(Key::counter("a").into_item()).collect::<Item>()
        };
        let seen = record(&[("name", "x"), ("networks", "y"), ("later", "z")]);
        let before = record(&[("name", "x"), ("networks", "y")]);
        let after = record(&[("name", "w"), ("valid_until", "v")]);
        let write = Write::update_record(Key::counter("a"), &seen, &before, &after);
        assert_eq!(
            write.condition,
            "#name = :seen_name AND #networks = :seen_networks AND attribute_not_exists(#valid_until)"
        );
        assert_eq!(
            write.update_expression(),
            "REMOVE #networks SET #name = :set_name, #valid_until = :set_valid_until"
        );
    }
}
