use std::fmt::Display;

use aws_sdk_dynamodb::types::AttributeValue;
use keypool_domain::{
    ApiKeyHash, AttemptId, AuditEntry, LicenseKey, OrderId, OrderReference, ProductId, Timestamp,
};

use super::Item;
use super::attributes::Reader;
use crate::StoreError;

/// The hash key.
pub(crate) const PK: &str = "pk";
/// The range key.
pub(crate) const SK: &str = "sk";
/// The index that holds the keys in stock, and nothing else.
pub(crate) const INDEX_AVAILABLE: &str = "available";
/// The index's hash key: the product whose stock a key is in.
pub(crate) const STOCK: &str = "stock";
/// The index's range key: the key's random place in the stock.
pub(crate) const DRAW: &str = "draw";
/// The index that finds the keys of an order.
pub(crate) const INDEX_ORDERS: &str = "orders";
/// The order that a key was sold under: the hash key of the index of orders, and the API key that sold it.
/// Only license keys may have the first attribute, because the range key of the index is the hash key of the
/// table.
pub(crate) const ORDER: [&str; 2] = ["order_reference", "sold_by"];
/// The same in the record of a large order, which is not in the index.
pub(crate) const ORDER_TO_BE: [&str; 2] = ["reference", "sold_by"];
/// The hash key of the entries of open requests.
pub(crate) const OPEN_REQUESTS: &str = "REQUESTS";
/// The hash key of the entries of open orders of the first version.
pub(crate) const FORMER_ORDERS: &str = "ORDERS";
/// The hash key of the orders that are not delivered, in the order of their acceptance.
pub(crate) const QUEUE: &str = "QUEUE";
/// The hash key of the records that belong to no product.
const GLOBAL: &str = "GLOBAL";
/// The attributes of an owner: name and email.
pub(crate) const OWNER: [&str; 2] = ["owner_name", "owner_email"];
/// The time from which DynamoDB may delete an item, in Unix seconds. An API key's own expiry has another
/// name. Otherwise DynamoDB would delete the key, and code 101 would become 100.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// The kinds of records, as the keys name them.
pub(crate) mod kind {
    pub(crate) const LICENSE_KEY: &str = "KEY";
    pub(crate) const PRODUCT: &str = "PRODUCT";
    pub(crate) const GENERATOR: &str = "GENERATOR";
    pub(crate) const API_KEY: &str = "APIKEY";
    pub(crate) const COUNTER: &str = "COUNTER";
    pub(crate) const LIMIT: &str = "LIMIT";
    /// The first version used it only for requests with an `Idempotency-Key`.
    pub(crate) const REQUEST: &str = "IDEMPOTENCY";
    pub(crate) const FORMER_ORDER: &str = "ORDER";
    pub(crate) const SIGNING_KEY: &str = "SIGNINGKEY";
}

/// The key of an item: hash key and range key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pk: String,
    sk: String,
}

impl Key {
    /// The key of the record of this kind and id.
    pub(crate) fn new(kind: impl Display, id: impl Display) -> Self {
        Self { pk: format!("{kind}#{id}"), sk: kind.to_string() }
    }

    pub(crate) fn license_key(license_key: &LicenseKey) -> Self {
        Self::new(kind::LICENSE_KEY, license_key.as_str())
    }

    pub(crate) fn counter(name: &str) -> Self {
        Self::new(kind::COUNTER, name)
    }

    /// The count of the keys that an API key has handed out.
    pub(crate) fn limit(api_key: ApiKeyHash) -> Self {
        Self::new(kind::LIMIT, api_key)
    }

    /// The record of a request.
    pub(crate) fn request(id: impl Display) -> Self {
        Self::new(kind::REQUEST, id)
    }

    /// A part, counted from 1, of a response that is too long for the request record.
    pub(crate) fn payload(request: &Self, part: usize) -> Self {
        Self { pk: request.pk.clone(), sk: format!("PAYLOAD#{part:04}") }
    }

    /// The beginning of the range keys of all parts.
    pub(crate) const PARTS: &'static str = "PART#";

    /// The beginning of the range keys of the parts that an attempt has taken.
    pub(crate) fn parts_of(attempt: &AttemptId) -> String {
        format!("{}{attempt}#", Self::PARTS)
    }

    /// A part of a large order.
    pub(crate) fn part(request: &Self, attempt: &AttemptId, part: usize) -> Self {
        Self { pk: request.pk.clone(), sk: format!("{}{part:04}", Self::parts_of(attempt)) }
    }

    /// The entry that finds a large order.
    pub(crate) fn open_request(product_id: ProductId, request: &Self, attempt: &AttemptId) -> Self {
        let id = request.pk.split_once('#').map_or("", |(_, id)| id);
        Self { pk: OPEN_REQUESTS.to_owned(), sk: format!("{product_id}#{id}#{attempt}") }
    }

    /// The place of an order in the queue.
    pub(crate) fn queued_order(id: &OrderId) -> Self {
        Self { pk: QUEUE.to_owned(), sk: id.to_string() }
    }

    /// The kind of a delivered order.
    pub(crate) const DELIVERED: &'static str = "DELIVERED";

    /// The place of a delivered order.
    pub(crate) fn delivered_order(id: &OrderId) -> Self {
        Self::new(Self::DELIVERED, id)
    }

    /// The place of an order in the line of its product.
    pub(crate) fn waiting(product_id: ProductId, id: &OrderId) -> Self {
        Self { pk: line_of(product_id), sk: id.to_string() }
    }

    /// An entry of the audit trail. Those of a month share a hash key, in the order of time.
    pub(crate) fn audit(entry: &AuditEntry) -> Self {
        let at = entry.at.to_microseconds_text();
        Self { pk: audit_pk(month_of(entry.at)), sk: format!("{at}#{}", entry.id) }
    }

    /// A retired signing key. It is stored with its product, and a global one with the other global ones.
    pub(crate) fn retired_key(product_id: Option<ProductId>, retired_at: Timestamp) -> Self {
        let pk = product_id.map_or_else(|| GLOBAL.to_owned(), |id| Self::new(kind::PRODUCT, id).pk);
        Self { pk, sk: format!("{}#{}", kind::SIGNING_KEY, retired_at.to_microseconds_text()) }
    }

    /// Reads the key of an item.
    pub(crate) fn of(item: &Item) -> Result<Self, StoreError> {
        let reader = Reader { item, record: "table" };
        Ok(Self { pk: reader.text(PK)?, sk: reader.text(SK)? })
    }

    /// The hash key.
    pub(crate) fn into_pk(self) -> String {
        self.pk
    }

    /// The entry that lets a record be listed without a scan of the table.
    pub(crate) fn catalogue(kind: impl Display, id: impl Display) -> Self {
        Self { pk: catalogue_pk(kind), sk: id.to_string() }
    }

    pub(crate) fn into_item(self) -> Item {
        Item::from([(PK.to_owned(), AttributeValue::S(self.pk)), (SK.to_owned(), AttributeValue::S(self.sk))])
    }
}

/// The hash key of all catalogue entries of one kind.
pub(crate) fn catalogue_pk(kind: impl Display) -> String {
    format!("CATALOGUE#{kind}")
}

/// The month of a moment: `2026-11`.
pub(crate) fn month_of(at: Timestamp) -> String {
    at.to_microseconds_text().chars().take("2026-11".len()).collect()
}

/// The beginning of the hash keys of the audit trail.
pub(crate) const AUDIT: &str = "AUDIT#";

/// The hash key of the audit trail of a month.
pub(crate) fn audit_pk(month: impl Display) -> String {
    format!("{AUDIT}{month}")
}

/// The hash key of a product's stock in the index.
pub(crate) fn stock_of(product_id: ProductId) -> String {
    format!("PRODUCT#{product_id}")
}

/// The hash key of an order's keys in the index of orders.
pub(crate) fn order_of(reference: &OrderReference) -> String {
    format!("REFERENCE#{}", reference.as_str())
}

/// The hash key of the orders that wait for keys of a product, in the order of their acceptance.
pub(crate) fn line_of(product_id: ProductId) -> String {
    format!("WAITING#{product_id}")
}
