//! What an operator sets up: products, generators and API keys. Beside each record stands an entry under
//! `CATALOGUE#<kind>`, written in the same transaction, so that they can be listed without a scan of the
//! table, which holds every key ever sold. A list has all that was written before it, and costs a read unit for 4 KB of
//! entries, and one for each record.

use std::fmt::Display;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use keypool_domain::{ApiKeyHash, ApiKeyRecord, AuditEntry, Generator, GeneratorId, Product, ProductId};

use crate::dynamo::transact::{Obstacle, Transacted};
use crate::dynamo::unbuilt;
use crate::record::{
    Item, Key, Kind, PK, SK, api_key_item, catalogue_pk, generator_item, number, product_item, read_api_key,
    read_generator, read_product, text,
};
use crate::{Counter, Store, StoreError};

/// What became of an attempt to set something up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It is stored.
    Created,
    /// There is one of that id already; nothing was written.
    Exists,
}

/// What became of an attempt to set up a generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewGeneratorOutcome {
    /// It is stored.
    Created {
        /// Whether its product had no generator and has this one now.
        is_default: bool,
    },
    /// There is one of that id already; nothing was written.
    Exists,
    /// There is no such product; nothing was written.
    UnknownProduct,
}

impl Store {
    /// Sets up a product, and notes it if there is an entry to note.
    pub async fn create_product(
        &self,
        product: &Product,
        audit: Option<&AuditEntry>,
    ) -> Result<CreateOutcome, StoreError> {
        let id = format!("{:010}", product.id.get());
        self.create(Kind::Product, id, product_item(product), None, audit).await
    }

    /// Sets up a generator, which becomes its product's if that has none, and notes it if there is an entry to note.
    pub async fn create_generator(
        &self,
        generator: &Generator,
        audit: Option<&AuditEntry>,
    ) -> Result<NewGeneratorOutcome, StoreError> {
        let Some(product) = self.product(generator.product_id).await? else {
            return Ok(NewGeneratorOutcome::UnknownProduct);
        };
        let is_default = product.generator_id.is_none();
        let update = is_default.then(|| self.set_generator(generator)).transpose()?;
        let audit = audit.cloned().map(|mut audit| {
            if let Some(after) = audit.after.as_mut().filter(|_| is_default) {
                after["becomes_generator_of"] = generator.product_id.get().into();
            }
            audit
        });
        let entry = format!("{:010}", generator.id.get());
        Ok(
            match self
                .create(Kind::Generator, entry, generator_item(generator), update, audit.as_ref())
                .await?
            {
                CreateOutcome::Created => NewGeneratorOutcome::Created { is_default },
                CreateOutcome::Exists => NewGeneratorOutcome::Exists,
            },
        )
    }

    /// Sets up an API key, and notes it if there is an entry to note.
    pub async fn create_api_key(
        &self,
        api_key: &ApiKeyRecord,
        audit: Option<&AuditEntry>,
    ) -> Result<CreateOutcome, StoreError> {
        self.create(Kind::ApiKey, api_key.hash.to_string(), api_key_item(api_key), None, audit).await
    }

    /// All products, by id.
    pub async fn products(&self) -> Result<Vec<Product>, StoreError> {
        let items =
            self.listed(Kind::Product, |id| Some(Key::product(id.parse::<ProductId>().ok()?))).await?;
        let mut products = items.iter().map(read_product).collect::<Result<Vec<_>, _>>()?;
        products.sort_by_key(|product| product.id);
        Ok(products)
    }

    /// All generators, by id.
    pub async fn generators(&self) -> Result<Vec<Generator>, StoreError> {
        let items =
            self.listed(Kind::Generator, |id| Some(Key::generator(id.parse::<GeneratorId>().ok()?))).await?;
        let mut generators = items.iter().map(read_generator).collect::<Result<Vec<_>, _>>()?;
        generators.sort_by_key(|generator| generator.id);
        Ok(generators)
    }

    /// All API keys, by name.
    pub async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let items =
            self.listed(Kind::ApiKey, |hash| Some(Key::api_key(hash.parse::<ApiKeyHash>().ok()?))).await?;
        let mut api_keys = items.iter().map(read_api_key).collect::<Result<Vec<_>, _>>()?;
        api_keys.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()).then(a.hash.cmp(&b.hash)));
        Ok(api_keys)
    }

    /// The next free id of a product or generator. Someone may have chosen it by hand, so creating may still
    /// say [`CreateOutcome::Exists`].
    pub async fn next_id(&self, counter: Counter) -> Result<u64, StoreError> {
        self.advance(counter, 1).await
    }

    async fn create(
        &self,
        kind: Kind,
        entry: impl Display,
        item: Item,
        update: Option<TransactWriteItem>,
        audit: Option<&AuditEntry>,
    ) -> Result<CreateOutcome, StoreError> {
        let put = |item: Item, condition: Option<&str>| {
            let put = Put::builder().table_name(&self.table).set_item(Some(item));
            let put = match condition {
                Some(condition) => put.condition_expression(condition),
                None => put,
            };
            let put = put.build().map_err(|_| unbuilt("TransactWriteItems"))?;
            Ok::<_, StoreError>(TransactWriteItem::builder().put(put).build())
        };
        let mut writes = vec![
            put(item, Some("attribute_not_exists(pk)"))?,
            put(Key::catalogue(kind, entry).into_item(), None)?,
        ];
        writes.extend(update);
        let transacted = match audit {
            Some(audit) => self.transact_audited(writes, audit).await?,
            None => self.with_retries(|| self.transact(writes.clone())).await?,
        };
        match transacted {
            Transacted::Committed => Ok(CreateOutcome::Created),
            Transacted::Refused(obstacles) => match obstacles.first() {
                Some(Obstacle::Condition(_)) => Ok(CreateOutcome::Exists),
                // The product got a generator at this very moment.
                _ => Err(StoreError::Contention { operation: "TransactWriteItems" }),
            },
        }
    }

    fn set_generator(&self, generator: &Generator) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(Key::product(generator.product_id).into_item()))
            .update_expression("SET generator_id = :id")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(generator_id)")
            .expression_attribute_values(":id", number(generator.id))
            .build()
            .map_err(|_| unbuilt("TransactWriteItems"))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// The records of all catalogue entries of a kind.
    pub(crate) async fn listed(
        &self,
        kind: Kind,
        key: impl Fn(&str) -> Option<Key>,
    ) -> Result<Vec<Item>, StoreError> {
        let mut keys = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("#pk = :pk")
                .expression_attribute_names("#pk", PK)
                .expression_attribute_values(":pk", text(catalogue_pk(kind)))
                .consistent_read(true)
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("Query", &error))?;
            for entry in page.items() {
                let id = entry.get(SK).and_then(|id| id.as_s().ok());
                let found = id.and_then(|id| key(id));
                keys.push(
                    found.ok_or(StoreError::Corrupt { record: "catalogue", attribute: SK })?.into_item(),
                );
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return self.read_all_as_written(keys).await;
            }
        }
    }
}
