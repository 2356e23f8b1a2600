use aws_sdk_dynamodb::types::KeysAndAttributes;
use keypool_domain::{ApiKeyHash, ApiKeyRecord, Generator, GeneratorId, Product, ProductId};

use crate::dynamo::unbuilt;
use crate::record::{Item, Key, Kind, PK, SK, read_api_key, read_generator, read_product, text};
use crate::{Backoff, Store, StoreError};

/// What a request needs to know before it can be answered. Any of the three.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lookup {
    /// The API key it was sent with.
    pub api_key: Option<ApiKeyHash>,
    /// The product it is about.
    pub product: Option<ProductId>,
    /// The generator it is about.
    pub generator: Option<GeneratorId>,
}

/// What there is of a [`Lookup`].
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The API key's record.
    pub api_key: Option<ApiKeyRecord>,
    /// The product.
    pub product: Option<Product>,
    /// The generator.
    pub generator: Option<Generator>,
}

impl Store {
    /// How often keys that DynamoDB left unread are asked for.
    const READS_MAX: usize = 6;

    /// Reads what is asked for in one call (none if nothing is asked for): half a read unit each.
    pub async fn look_up(&self, lookup: Lookup) -> Result<Found, StoreError> {
        let keys: Vec<Item> = [
            lookup.api_key.map(Key::api_key),
            lookup.product.map(Key::product),
            lookup.generator.map(Key::generator),
        ]
        .into_iter()
        .flatten()
        .map(Key::into_item)
        .collect();
        let mut found = Found::default();
        for item in self.read_all(keys).await? {
            match Kind::of(&item) {
                Some(Kind::ApiKey) => found.api_key = Some(read_api_key(&item)?),
                Some(Kind::Product) => found.product = Some(read_product(&item)?),
                Some(Kind::Generator) => found.generator = Some(read_generator(&item)?),
                _ => return Err(StoreError::Corrupt { record: "table", attribute: PK }),
            }
        }
        Ok(found)
    }

    /// Opens the connection to DynamoDB, by looking for a generator that nobody has made.
    pub async fn warm_up(&self) -> Result<(), StoreError> {
        let lookup = Lookup { generator: Some(GeneratorId::MAX), ..Lookup::default() };
        self.look_up(lookup).await.map(|_| ())
    }

    /// Reads one item, with all that was written to it before. 1 read unit for 4 KB.
    pub(crate) async fn read_one(&self, key: Key) -> Result<Option<Item>, StoreError> {
        let output = self
            .with_retries(|| async {
                self.client
                    .get_item()
                    .table_name(&self.table)
                    .set_key(Some(key.clone().into_item()))
                    .consistent_read(true)
                    .send()
                    .await
                    .map_err(|error| StoreError::from_sdk("GetItem", &error))
            })
            .await?;
        Ok(output.item)
    }

    /// Reads all items of one hash key, in the order of their range keys, with all that was written to them before.
    /// 1 read unit for 4 KB.
    pub(crate) async fn read_collection(&self, pk: &str) -> Result<Vec<Item>, StoreError> {
        self.read_pages("#pk = :pk", &[("#pk", PK)], &[(":pk", pk)]).await
    }

    /// Reads the items of a collection whose range key begins with `prefix`. (DynamoDB refuses an empty one: the whole
    /// collection is [`Store::read_collection`].)
    pub(crate) async fn read_part_of_collection(
        &self,
        pk: &str,
        prefix: &str,
    ) -> Result<Vec<Item>, StoreError> {
        let condition = "#pk = :pk AND begins_with(#sk, :prefix)";
        self.read_pages(condition, &[("#pk", PK), ("#sk", SK)], &[(":pk", pk), (":prefix", prefix)]).await
    }

    async fn read_pages(
        &self,
        condition: &str,
        names: &[(&str, &str)],
        values: &[(&str, &str)],
    ) -> Result<Vec<Item>, StoreError> {
        let names = names.iter().map(|(name, attribute)| ((*name).to_owned(), (*attribute).to_owned()));
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression(condition)
            .set_expression_attribute_names(Some(names.collect()))
            .set_expression_attribute_values(Some(values.collect()));
        let mut items = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let page = self
                .with_retries(|| async {
                    let sent = query.clone().set_exclusive_start_key(from.clone()).send().await;
                    sent.map_err(|error| StoreError::from_sdk("Query", &error))
                })
                .await?;
            items.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(items);
            }
        }
    }

    /// Reads items by key, 100 to a call; those that are missing are left out.
    pub(crate) async fn read_all(&self, keys: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        self.read_by_key(keys, false).await
    }

    /// The same, with all that was written to them before.
    pub(crate) async fn read_all_as_written(&self, keys: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        self.read_by_key(keys, true).await
    }

    async fn read_by_key(&self, keys: Vec<Item>, consistent: bool) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        for batch in keys.chunks(100) {
            let mut pending = batch.to_vec();
            let mut backoff = Backoff::new();
            // DynamoDB may leave keys unread when it throttles: they are asked for again.
            for _ in 0..Self::READS_MAX {
                let asked = &pending;
                let (read, unread) = self.with_retries(|| self.read_batch(asked.clone(), consistent)).await?;
                items.extend(read);
                pending = unread;
                if pending.is_empty() {
                    break;
                }
                tokio::time::sleep(backoff.next_wait(self.randomness())).await;
            }
            if !pending.is_empty() {
                return Err(StoreError::Throttled {
                    operation: "BatchGetItem",
                    code: "UnprocessedKeys".to_owned(),
                });
            }
        }
        Ok(items)
    }

    async fn read_batch(
        &self,
        keys: Vec<Item>,
        consistent: bool,
    ) -> Result<(Vec<Item>, Vec<Item>), StoreError> {
        let asked = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(consistent).build();
        let output = self
            .client
            .batch_get_item()
            .request_items(&self.table, asked.map_err(|_| unbuilt("BatchGetItem"))?)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("BatchGetItem", &error))?;
        let items = output.responses.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default();
        let unread = output.unprocessed_keys.and_then(|mut tables| tables.remove(&self.table));
        Ok((items, unread.map(|left| left.keys).unwrap_or_default()))
    }
}
