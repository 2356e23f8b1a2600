//! Items of the table: the names of records, and the conversion of domain types to items and back.

mod attributes;
mod hourly_count;
mod key;
mod license_key;
mod operator;
mod queued_order;
mod request;

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;

use attributes::{Reader, Writer};
pub(crate) use hourly_count::{hourly_count_attributes, read_hourly_count};
pub(crate) use key::{
    AUDIT, DRAW, EXPIRES_AT, FORMER_ORDERS, INDEX_AVAILABLE, INDEX_ORDERS, Key, OPEN_REQUESTS, ORDER,
    ORDER_TO_BE, OWNER, PK, QUEUE, SK, STOCK, audit_pk, catalogue_pk, kind, line_of, month_of, order_of,
    stock_of,
};
pub(crate) use license_key::license_key_change;
pub(crate) use queued_order::{VOID_ORDER, delivered_order_item, void_order_item};
pub(crate) use request::{KEPT_FOR, ListedKey, RequestRecord, expiry, part_item, read_part, sale_facts};
pub use request::{OpenRequest, RequestSlot, RequestState};

use crate::StoreError;

/// An item in DynamoDB's form.
pub type Item = HashMap<String, AttributeValue>;

/// A record of the table.
pub trait Record: Sized {
    /// The record as an item.
    fn item(&self) -> Item;

    /// Reads an item.
    fn read(item: &Item) -> Result<Self, StoreError>;
}

/// A record that an operator sets up, with an entry in the catalogue.
pub trait Catalogued: Record + PartialEq {
    /// The kind of record, as the table's keys name it.
    const KIND: &'static str;

    /// The identifier. As the range key of the catalogue entry it has ten digits at least.
    type Id: Display + FromStr + Ord;

    /// The identifier of this record.
    fn id(&self) -> Self::Id;

    /// The position in a list.
    fn position(&self) -> impl Ord {
        self.id()
    }
}

/// Reads the items that can be read. An item that was edited by hand must not stop the others.
pub(crate) fn readable<'a, T>(
    items: impl IntoIterator<Item = &'a Item>,
    read: impl Fn(&Item) -> Result<T, StoreError>,
) -> impl Iterator<Item = T> {
    items.into_iter().filter_map(move |item| {
        read(item).inspect_err(|error| tracing::error!(%error, "an item is skipped")).ok()
    })
}

/// The text of an attribute.
pub(crate) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// Returns true if an item has an attribute of this text.
pub(crate) fn is_text(item: &Item, name: &str, expected: &str) -> bool {
    text_of(item, name) == Some(expected)
}

/// The number of an attribute.
pub(crate) fn number_of<T: FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// Text as an attribute.
pub(crate) fn text(value: impl Display) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

/// A number as an attribute.
pub(crate) fn number(value: impl Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
