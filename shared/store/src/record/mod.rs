//! Items of the table: what each record is called, and how domain types are written into it and read back.

mod api_key;
mod audit;
mod generator;
mod license_key;
mod product;
mod queued_order;
mod request;
mod signing_key;

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use keypool_domain::{ApiKeyHash, AttemptId, AuditEntry, GeneratorId, LicenseKey, ProductId, Timestamp};

pub(crate) use audit::{audit_item, read_audit};
pub use license_key::license_key_item;
pub(crate) use license_key::read_license_key;
pub use queued_order::Waiting;
pub(crate) use queued_order::{
    QUEUE, VOID_ORDER, delivered_order_item, line_of, queued_order_item, read_queued_order, read_waiting,
    waiting_item,
};
pub(crate) use request::{
    FORMER_CLAIM, FORMER_ORDER, KEPT_FOR, ListedKey, RequestRecord, expiry, part_item, read_part,
    request_item, sale_facts, saved_response,
};
pub use request::{OpenRequest, RequestState};
pub(crate) use signing_key::{read_retired_key, retired_key_item};

use crate::StoreError;

/// An item as DynamoDB takes and gives it.
pub type Item = HashMap<String, AttributeValue>;

/// A record that an operator sets up, with an entry in the catalogue.
pub trait Catalogued: Sized + PartialEq {
    /// The kind of record, as the table's keys name it.
    const KIND: &'static str;

    /// The identifier.
    type Id: Display + FromStr;

    /// The identifier of this record.
    fn id(&self) -> Self::Id;

    /// The range key of the catalogue entry.
    fn entry(id: &Self::Id) -> String {
        id.to_string()
    }

    /// The identifier in such a range key.
    #[must_use]
    fn read_entry(entry: &str) -> Option<Self::Id> {
        entry.parse().ok()
    }

    /// The position in a list.
    fn position(&self) -> impl Ord;

    /// The record as an item of the table.
    fn item(&self) -> Item;

    /// Reads such an item.
    fn read(item: &Item) -> Result<Self, StoreError>;
}

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
/// The hash key of the entries of open requests.
pub(crate) const OPEN_REQUESTS: &str = "REQUESTS";
/// The hash key of the entries of open orders of the first version.
pub(crate) const FORMER_ORDERS: &str = "ORDERS";
/// The hash key of what belongs to no product.
const GLOBAL: &str = "GLOBAL";
/// When DynamoDB may delete an item, in Unix seconds. An API key's own expiry must not be called so: DynamoDB
/// would delete the key, and code 101 would become 100.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// The kinds of records. Their names stand in the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    LicenseKey,
    Product,
    Generator,
    ApiKey,
    Counter,
    Request,
    FormerOrder,
    SigningKey,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LicenseKey => "KEY",
            Self::Product => "PRODUCT",
            Self::Generator => "GENERATOR",
            Self::ApiKey => "APIKEY",
            Self::Counter => "COUNTER",
            // The first version had it for requests with an `Idempotency-Key` only.
            Self::Request => "IDEMPOTENCY",
            Self::FormerOrder => "ORDER",
            Self::SigningKey => "SIGNINGKEY",
        }
    }

    /// The kind of an item.
    pub(crate) fn of(item: &Item) -> Option<Self> {
        let name = item.get(SK)?.as_s().ok()?;
        let all = [
            Self::LicenseKey,
            Self::Product,
            Self::Generator,
            Self::ApiKey,
            Self::Counter,
            Self::Request,
            Self::FormerOrder,
        ];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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
        Self::new(Kind::LicenseKey, license_key.as_str())
    }

    pub(crate) fn product(id: ProductId) -> Self {
        Self::new(Kind::Product, id)
    }

    pub(crate) fn generator(id: GeneratorId) -> Self {
        Self::new(Kind::Generator, id)
    }

    pub(crate) fn api_key(hash: ApiKeyHash) -> Self {
        Self::new(Kind::ApiKey, hash)
    }

    pub(crate) fn counter(name: &str) -> Self {
        Self::new(Kind::Counter, name)
    }

    /// The record of a request.
    pub(crate) fn request(id: impl Display) -> Self {
        Self::new(Kind::Request, id)
    }

    /// The record of a large order of the first version.
    pub(crate) fn former_order(id: impl Display) -> Self {
        Self::new(Kind::FormerOrder, id)
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

    /// The entry by which a large order is found.
    pub(crate) fn open_request(product_id: ProductId, request: &Self, attempt: &AttemptId) -> Self {
        let id = request.pk.split_once('#').map_or("", |(_, id)| id);
        Self { pk: OPEN_REQUESTS.to_owned(), sk: format!("{product_id}#{id}#{attempt}") }
    }

    /// An entry of the audit trail: those of a month stand together, in the order of time.
    pub(crate) fn audit(entry: &AuditEntry) -> Self {
        let at = entry.at.to_microseconds_text();
        Self { pk: audit_pk(month_of(entry.at)), sk: format!("{at}#{}", entry.id) }
    }

    /// A signing key that is used no more stands with its product; a global one with the other global ones.
    pub(crate) fn retired_key(product_id: Option<ProductId>, retired_at: Timestamp) -> Self {
        let pk = product_id.map_or_else(|| GLOBAL.to_owned(), |id| Self::product(id).pk);
        Self { pk, sk: format!("{}#{}", Kind::SigningKey, retired_at.to_microseconds_text()) }
    }

    /// Where an item stands.
    pub(crate) fn of(item: &Item) -> Result<Self, StoreError> {
        let reader = Reader { item, record: "table" };
        Ok(Self { pk: reader.required(PK)?, sk: reader.required(SK)? })
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
        HashMap::from([
            (PK.to_owned(), AttributeValue::S(self.pk)),
            (SK.to_owned(), AttributeValue::S(self.sk)),
        ])
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

/// The hash key of the audit trail of a month.
pub(crate) fn audit_pk(month: impl Display) -> String {
    format!("AUDIT#{month}")
}

/// The hash key of a product's stock in the index.
pub(crate) fn stock_of(product_id: ProductId) -> String {
    format!("PRODUCT#{product_id}")
}

/// Whether an item has an attribute of this text.
pub(crate) fn is_text(item: &Item, name: &str, expected: &str) -> bool {
    item.get(name).and_then(|value| value.as_s().ok()).is_some_and(|text| text == expected)
}

/// The version of a license key's item.
pub(crate) fn version(item: &Item) -> Option<u64> {
    item.get("version")?.as_n().ok()?.parse().ok()
}

/// Text as an attribute.
pub(crate) fn text(value: impl Display) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

/// A number as an attribute.
pub(crate) fn number(value: impl Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Writes an item attribute by attribute.
#[derive(Default)]
struct Writer(Item);

impl Writer {
    fn at(key: Key) -> Self {
        Self(key.into_item())
    }

    fn value(mut self, name: &str, value: AttributeValue) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    fn text(self, name: &str, value: impl Display) -> Self {
        self.value(name, text(value))
    }

    fn number(self, name: &str, value: impl Display) -> Self {
        self.value(name, number(value))
    }

    fn list(self, name: &str, values: Vec<AttributeValue>) -> Self {
        self.value(name, AttributeValue::L(values))
    }

    fn bytes(self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.value(name, AttributeValue::B(Blob::new(value)))
    }

    fn optional_text(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    fn optional_number(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }
}

/// Reads an item attribute by attribute; `record` is its kind, for the error.
struct Reader<'a> {
    item: &'a Item,
    record: &'static str,
}

impl Reader<'_> {
    fn corrupt(&self, attribute: &'static str) -> StoreError {
        StoreError::Corrupt { record: self.record, attribute }
    }

    fn optional_raw(&self, name: &'static str) -> Result<Option<&str>, StoreError> {
        match self.item.get(name) {
            None => Ok(None),
            Some(AttributeValue::S(text) | AttributeValue::N(text)) => Ok(Some(text)),
            Some(_) => Err(self.corrupt(name)),
        }
    }

    fn raw(&self, name: &'static str) -> Result<&str, StoreError> {
        self.optional_raw(name)?.ok_or_else(|| self.corrupt(name))
    }

    fn required<T: FromStr>(&self, name: &'static str) -> Result<T, StoreError> {
        self.raw(name)?.parse().map_err(|_| self.corrupt(name))
    }

    fn optional<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, StoreError> {
        let raw = self.optional_raw(name)?;
        raw.map(str::parse).transpose().map_err(|_| self.corrupt(name))
    }

    fn optional_time(&self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        let read = |raw| Timestamp::from_rfc3339(raw).ok_or_else(|| self.corrupt(name));
        self.optional_raw(name)?.map(read).transpose()
    }

    fn time(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        self.optional_time(name)?.ok_or_else(|| self.corrupt(name))
    }

    /// What follows `#` in the hash key.
    fn id<T: FromStr>(&self) -> Result<T, StoreError> {
        let id = self.raw(PK)?.split_once('#').map(|(_, id)| id);
        id.and_then(|id| id.parse().ok()).ok_or_else(|| self.corrupt(PK))
    }

    /// The elements of a list, all text or all numbers.
    fn elements<T: FromStr>(&self, name: &'static str) -> Result<Vec<T>, StoreError> {
        let Some(AttributeValue::L(elements)) = self.item.get(name) else { return Err(self.corrupt(name)) };
        let read = elements.iter().map(|element| match element {
            AttributeValue::S(text) | AttributeValue::N(text) => text.parse().ok(),
            _ => None,
        });
        read.collect::<Option<_>>().ok_or_else(|| self.corrupt(name))
    }

    fn bytes(&self, name: &'static str) -> Result<&[u8], StoreError> {
        match self.item.get(name) {
            Some(AttributeValue::B(bytes)) => Ok(bytes.as_ref()),
            _ => Err(self.corrupt(name)),
        }
    }

    /// Texts joined by white space.
    fn list<T: FromStr, C: FromIterator<T>>(&self, name: &'static str) -> Result<C, StoreError> {
        let texts = self.optional_raw(name)?.unwrap_or_default().split_whitespace();
        texts.map(str::parse).collect::<Result<C, _>>().map_err(|_| self.corrupt(name))
    }
}
