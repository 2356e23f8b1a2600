//! The records that an operator sets up, and the audit trail.

use std::time::Duration;

use keypool_domain::{
    ApiKeyHash, ApiKeyRecord, ApiKeySettings, AuditEntry, ChunkSystem, Generator, GeneratorId, Method,
    Product, ProductId, RetiredKey,
};

use super::attributes::record;
use super::{Catalogued, Key, PK, Reader, SK, Writer, kind};
use crate::StoreError;

record! {
    Product as "product",
    |product| Writer::at(Key::new(kind::PRODUCT, product.id)) => id: id PK;
    name: text "name",
    activity: text "status",
    generator_id: optional_number "generator_id",
    signing_key_id: optional_text "signing_key_id",
}

impl Catalogued for Product {
    const KIND: &'static str = kind::PRODUCT;
    type Id = ProductId;

    fn id(&self) -> ProductId {
        self.id
    }
}

record! {
    Generator as "generator",
    // A generator that was edited by hand must pass the check.
    |generator| Writer::at(Key::new(kind::GENERATOR, generator.id)) => id: id PK,
    check Generator::check => "definition";
    product_id: number "product_id",
    activity: text "status",
    method: method "method",
    prefix: text "prefix",
    suffix: text "suffix",
    activation_limit: number "activation_limit",
    validity: number "validity",
}

impl Writer {
    fn method(self, name: &str, method: &Method) -> Self {
        let writer = self.text(name, method.as_str());
        let Method::ChunkSystem(chunks) = method else { return writer };
        writer
            .text("charset", &chunks.charset)
            .number("number_of_chunks", chunks.number_of_chunks)
            .number("chunk_length", chunks.chunk_length)
    }
}

impl Reader<'_> {
    fn method(&self, name: &'static str) -> Result<Method, StoreError> {
        match self.text::<String>(name)?.as_str() {
            "uuid" => Ok(Method::Uuid),
            "chunk-system" => Ok(Method::ChunkSystem(ChunkSystem {
                charset: self.text("charset")?,
                number_of_chunks: self.number("number_of_chunks")?,
                chunk_length: self.number("chunk_length")?,
            })),
            _ => Err(self.corrupt(name)),
        }
    }
}

impl Catalogued for Generator {
    const KIND: &'static str = kind::GENERATOR;
    type Id = GeneratorId;

    fn id(&self) -> GeneratorId {
        self.id
    }
}

record! {
    ApiKeyRecord as "API key",
    |api_key| Writer::at(Key::new(kind::API_KEY, api_key.hash)) => hash: id PK;
    name: text "name",
    activity: text "status",
    capabilities: words "capabilities",
    networks: words "networks",
    valid_until: optional_time "valid_until",
    settings: settings SETTINGS,
}

/// The attributes of an API key's settings.
const SETTINGS: [&str; 9] = [
    "wait_for_stock",
    "webhook_hosts",
    "remember",
    "once_per",
    "products",
    "keys_per_order",
    "keys_per_hour",
    "sees_all_orders",
    "sees_orders_of",
];

impl Writer {
    fn settings(self, names: [&str; 9], settings: &ApiKeySettings) -> Self {
        let [wait_for_stock, webhook_hosts, remember, once_per, products, per_order, per_hour, all, others] =
            names;
        self.optional_number(wait_for_stock, settings.wait_for_stock.map(|wait| wait.as_secs()))
            .optional_words(webhook_hosts, settings.webhook_hosts.iter())
            .optional_number(remember, settings.remember.map(|time| time.as_secs()))
            .optional_text(once_per, settings.once_per_identifier.then_some("identifier"))
            .optional_words(products, &settings.products)
            .optional_number(per_order, settings.keys_per_order)
            .optional_number(per_hour, settings.keys_per_hour)
            .optional_text(all, settings.sees_all_orders.then_some("yes"))
            .optional_words(others, &settings.sees_orders_of)
    }
}

impl Reader<'_> {
    fn settings(&self, names: [&'static str; 9]) -> Result<ApiKeySettings, StoreError> {
        let [wait_for_stock, webhook_hosts, remember, once_per, products, per_order, per_hour, all, others] =
            names;
        Ok(ApiKeySettings {
            wait_for_stock: self.optional_number(wait_for_stock)?.map(Duration::from_secs),
            webhook_hosts: self.words(webhook_hosts)?,
            remember: self.optional_number(remember)?.map(Duration::from_secs),
            once_per_identifier: self.optional_text::<String>(once_per)?.is_some(),
            products: self.words(products)?,
            keys_per_order: self.optional_number(per_order)?,
            keys_per_hour: self.optional_number(per_hour)?,
            sees_all_orders: self.optional_text::<String>(all)?.is_some(),
            sees_orders_of: self.words(others)?,
        })
    }
}

impl Catalogued for ApiKeyRecord {
    const KIND: &'static str = kind::API_KEY;
    type Id = ApiKeyHash;

    fn id(&self) -> ApiKeyHash {
        self.hash
    }

    fn position(&self) -> impl Ord {
        (self.name.as_str().to_owned(), self.hash)
    }
}

record! {
    RetiredKey as "retired signing key",
    |key| Writer::at(Key::retired_key(key.product_id, key.retired_at)) => retired_at: time_in_key SK;
    product_id: optional_number "product_id",
    signing_key_id: text "signing_key_id",
    public_key_der: bytes "public_key",
}

record! {
    AuditEntry as "audit",
    |entry| Writer::at(Key::audit(entry));
    id: text "id",
    at: time "at",
    principal: text "principal",
    action: text "action",
    subject: text "subject",
    before: optional_text "before",
    after: optional_text "after",
}
