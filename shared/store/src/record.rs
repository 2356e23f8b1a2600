//! Items of the table: what each record is called, and how domain types are written into it and read back.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use ipnet::IpNet;
use keypool_domain::{
    ApiKeyHash, ApiKeyRecord, ChunkSystem, Endpoint, Generator, GeneratorId, LicenseKey, Method, Owner,
    Product, ProductId, StockedKey, Timestamp,
};

use crate::StoreError;

/// An item as DynamoDB takes and gives it.
pub type Item = HashMap<String, AttributeValue>;

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
/// When DynamoDB may delete an item, in Unix seconds. An API key's own expiry must not be called so: DynamoDB
/// would delete the key, and code 101 would become 100.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// Where a record stands: hash key and range key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pk: String,
    sk: String,
}

impl Key {
    fn new(kind: &str, id: impl Display) -> Self {
        Self { pk: format!("{kind}#{id}"), sk: kind.to_owned() }
    }

    pub(crate) fn license_key(license_key: &LicenseKey) -> Self {
        Self::new("KEY", license_key.as_str())
    }

    pub(crate) fn product(id: ProductId) -> Self {
        Self::new("PRODUCT", id)
    }

    pub(crate) fn generator(id: GeneratorId) -> Self {
        Self::new("GENERATOR", id)
    }

    pub(crate) fn api_key(hash: ApiKeyHash) -> Self {
        Self::new("APIKEY", hash)
    }

    pub(crate) fn counter(name: &str) -> Self {
        Self::new("COUNTER", name)
    }

    /// The entry that lets a record be listed without a scan of the table.
    pub(crate) fn catalogue(kind: &str, id: impl Display) -> Self {
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
pub(crate) fn catalogue_pk(kind: &str) -> String {
    format!("CATALOGUE#{kind}")
}

/// The hash key of a product's stock in the index.
pub(crate) fn stock_of(product_id: ProductId) -> String {
    format!("PRODUCT#{product_id}")
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
struct Writer(Item);

impl Writer {
    fn at(key: Key) -> Self {
        Self(key.into_item())
    }

    fn text(mut self, name: &str, value: impl Display) -> Self {
        self.0.insert(name.to_owned(), text(value));
        self
    }

    fn number(mut self, name: &str, value: impl Display) -> Self {
        self.0.insert(name.to_owned(), number(value));
        self
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

    /// Texts joined by white space.
    fn list<T: FromStr, C: FromIterator<T>>(&self, name: &'static str) -> Result<C, StoreError> {
        let texts = self.optional_raw(name)?.unwrap_or_default().split_whitespace();
        texts.map(str::parse).collect::<Result<C, _>>().map_err(|_| self.corrupt(name))
    }
}

/// The record of a license key.
#[must_use]
pub fn license_key_item(key: &StockedKey) -> Item {
    Writer::at(Key::license_key(&key.license_key))
        .number("product_id", key.product_id)
        .number("activation_limit", key.activation_limit)
        .number("validity", key.validity)
        .text("status", key.status)
        .optional_text("owner_name", key.owner.name.as_ref().map(keypool_domain::OwnerField::as_str))
        .optional_text("owner_email", key.owner.email.as_ref().map(keypool_domain::OwnerField::as_str))
        .optional_text("assigned_at", key.assigned_at)
        .text("created_at", key.created_at)
        .text("updated_at", key.updated_at)
        .number("id", key.id)
        .number("version", key.version)
        .optional_text("assignment_id", key.assignment_id.as_ref())
        .optional_text(STOCK, key.draw.map(|_| stock_of(key.product_id)))
        .optional_text(DRAW, key.draw)
        .0
}

/// Reads what [`license_key_item`] writes.
pub(crate) fn read_license_key(item: &Item) -> Result<StockedKey, StoreError> {
    let reader = Reader { item, record: "license key" };
    Ok(StockedKey {
        license_key: reader.id()?,
        product_id: reader.required("product_id")?,
        activation_limit: reader.required("activation_limit")?,
        validity: reader.required("validity")?,
        status: reader.required("status")?,
        owner: Owner { name: reader.optional("owner_name")?, email: reader.optional("owner_email")? },
        assigned_at: reader.optional_time("assigned_at")?,
        created_at: reader.time("created_at")?,
        updated_at: reader.time("updated_at")?,
        id: reader.required("id")?,
        version: reader.required("version")?,
        assignment_id: reader.optional("assignment_id")?,
        draw: reader.optional(DRAW)?,
    })
}

pub(crate) fn product_item(product: &Product) -> Item {
    Writer::at(Key::product(product.id))
        .text("name", product.name.as_str())
        .text("status", product.activity)
        .optional_number("generator_id", product.generator_id)
        .optional_text("signing_key_id", product.signing_key_id.as_ref())
        .0
}

pub(crate) fn read_product(item: &Item) -> Result<Product, StoreError> {
    let reader = Reader { item, record: "product" };
    Ok(Product {
        id: reader.id()?,
        name: reader.required("name")?,
        activity: reader.required("status")?,
        generator_id: reader.optional("generator_id")?,
        signing_key_id: reader.optional("signing_key_id")?,
    })
}

pub(crate) fn generator_item(generator: &Generator) -> Item {
    let writer = Writer::at(Key::generator(generator.id))
        .number("product_id", generator.product_id)
        .text("status", generator.activity)
        .text("method", generator.method.as_str())
        .text("prefix", &generator.prefix)
        .text("suffix", &generator.suffix)
        .number("activation_limit", generator.activation_limit)
        .number("validity", generator.validity);
    match &generator.method {
        Method::Uuid => writer.0,
        Method::ChunkSystem(chunks) => {
            writer
                .text("charset", &chunks.charset)
                .number("number_of_chunks", chunks.number_of_chunks)
                .number("chunk_length", chunks.chunk_length)
                .0
        }
    }
}

pub(crate) fn read_generator(item: &Item) -> Result<Generator, StoreError> {
    let reader = Reader { item, record: "generator" };
    let method = match reader.raw("method")? {
        "uuid" => Method::Uuid,
        "chunk-system" => Method::ChunkSystem(ChunkSystem {
            charset: reader.required("charset")?,
            number_of_chunks: reader.required("number_of_chunks")?,
            chunk_length: reader.required("chunk_length")?,
        }),
        _ => return Err(reader.corrupt("method")),
    };
    let generator = Generator {
        id: reader.id()?,
        product_id: reader.required("product_id")?,
        activity: reader.required("status")?,
        method,
        prefix: reader.required("prefix")?,
        suffix: reader.required("suffix")?,
        activation_limit: reader.required("activation_limit")?,
        validity: reader.required("validity")?,
    };
    // Whoever edits the table by hand must not get a generator past the check.
    generator.check().map_err(|_| reader.corrupt("method"))?;
    Ok(generator)
}

pub(crate) fn api_key_item(api_key: &ApiKeyRecord) -> Item {
    Writer::at(Key::api_key(api_key.hash))
        .text("name", api_key.name.as_str())
        .text("status", api_key.activity)
        .text("capabilities", joined(&api_key.capabilities))
        .text("networks", joined(&api_key.networks))
        .optional_text("valid_until", api_key.valid_until)
        .0
}

pub(crate) fn read_api_key(item: &Item) -> Result<ApiKeyRecord, StoreError> {
    let reader = Reader { item, record: "API key" };
    Ok(ApiKeyRecord {
        hash: reader.id()?,
        name: reader.required("name")?,
        activity: reader.required("status")?,
        capabilities: reader.list::<Endpoint, BTreeSet<_>>("capabilities")?,
        networks: reader.list::<IpNet, Vec<_>>("networks")?,
        valid_until: reader.optional_time("valid_until")?,
    })
}

fn joined<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use keypool_domain::{Activity, AssignmentId, Draw, OperatingSystemRandomness, RowId, Status};

    use super::*;

    fn key() -> StockedKey {
        StockedKey {
            license_key: "AB#12 ключ".parse().unwrap(),
            product_id: ProductId::MIN,
            activation_limit: "3".parse().unwrap(),
            validity: "365".parse().unwrap(),
            status: Status::Available,
            owner: Owner { name: Some("Test User".parse().unwrap()), email: None },
            assigned_at: None,
            created_at: Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap(),
            updated_at: Timestamp::from_unix_microseconds(1_732_388_528_829_116).unwrap(),
            id: RowId::MIN,
            version: 7,
            assignment_id: Some(AssignmentId::random(&OperatingSystemRandomness)),
            draw: Some(Draw::random(&OperatingSystemRandomness)),
        }
    }

    #[test]
    fn a_license_key_reads_back() {
        let key = key();
        assert_eq!(read_license_key(&license_key_item(&key)), Ok(key));
    }

    #[test]
    fn only_a_key_in_stock_stands_in_the_index() {
        let sold = StockedKey { draw: None, status: Status::Assigned, ..key() };
        let item = license_key_item(&sold);
        assert!(!item.contains_key(STOCK) && !item.contains_key(DRAW));
        let item = license_key_item(&key());
        assert!(item.contains_key(STOCK) && item.contains_key(DRAW));
    }

    #[test]
    fn a_spoilt_item_says_which_attribute() {
        let mut item = license_key_item(&key());
        item.insert("version".to_owned(), text("seven"));
        let corrupt = StoreError::Corrupt { record: "license key", attribute: "version" };
        assert_eq!(read_license_key(&item), Err(corrupt));
    }

    #[test]
    fn what_an_operator_sets_up_reads_back() {
        let product = Product {
            id: ProductId::MAX,
            name: "Löwe & Co".parse().unwrap(),
            activity: Activity::Inactive,
            generator_id: Some(GeneratorId::MIN),
            signing_key_id: Some("alias/keypool-2".parse().unwrap()),
        };
        assert_eq!(read_product(&product_item(&product)), Ok(product.clone()));
        let generator = Generator {
            id: GeneratorId::MAX,
            product_id: product.id,
            activity: Activity::Active,
            method: Method::ChunkSystem(ChunkSystem {
                charset: "0123456789ABCDEF".parse().unwrap(),
                number_of_chunks: 4,
                chunk_length: 4,
            }),
            prefix: "KP ".to_owned(),
            suffix: String::new(),
            activation_limit: "1".parse().unwrap(),
            validity: "0".parse().unwrap(),
        };
        generator.check().unwrap();
        assert_eq!(read_generator(&generator_item(&generator)), Ok(generator));
        let api_key = ApiKeyRecord {
            hash: "secret".parse::<keypool_domain::ApiKey>().unwrap().hash(),
            name: "shop".parse().unwrap(),
            activity: Activity::Active,
            capabilities: Endpoint::ALL.into_iter().collect(),
            networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            valid_until: Some(key().created_at),
        };
        assert_eq!(read_api_key(&api_key_item(&api_key)), Ok(api_key));
    }
}
