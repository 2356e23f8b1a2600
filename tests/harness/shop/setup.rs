//! The setup of a shop: products, generators, API keys, stock.

use std::collections::HashSet;
use std::time::Duration;

use keypool_domain::{
    Activity, ApiKey, ApiKeyRecord, Assignment, Generator, LicenseKeyRecord, Method, NewKey,
    OperatingSystemRandomness, Product, ProductId, RowId, SigningKeyId, Status, SystemClock, Timestamp,
};
use keypool_local::TABLE;
use keypool_store::{CreateOutcome, Look, NewGeneratorOutcome, Record as _, Sale, SaleOutcome};
use serde_json::{Value, json};

use super::{API_KEY, Shop};

impl Shop {
    /// Puts new keys into the stock of a product through the API. Returns the keys.
    ///
    /// # Panics
    /// If not all of them are created.
    pub async fn stock(&self, product_id: u32, count: usize) -> Vec<String> {
        self.stock_named(product_id, "KEY-", count).await
    }

    /// Does the same with keys of this prefix.
    ///
    /// # Panics
    /// If not all of them are created.
    pub async fn stock_named(&self, product_id: u32, prefix: &str, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for from in (0..count).step_by(1_000) {
            let keys: Vec<String> =
                (from..count.min(from + 1_000)).map(|n| format!("{prefix}{product_id}-{n:06}")).collect();
            let keys_json = serde_json::to_string(&keys).unwrap();
            let product_id = product_id.to_string();
            let response = self
                .post(
                    "create-license-keys",
                    &[
                        ("license_keys", &keys_json),
                        ("product_id", &product_id),
                        ("activation_limit", "1"),
                        ("validity", "365"),
                        ("status", "available"),
                    ],
                )
                .await;
            assert_eq!(response.response()["created"], keys.len(), "{}", response.text);
            all.extend(keys);
        }
        all
    }

    /// Reserves keys of a product for a large order with a dead attempt. Returns the keys.
    ///
    /// # Panics
    /// If the stock has fewer keys.
    pub async fn dead_order(&self, product_id: u32, count: usize) -> Vec<String> {
        let product_id = product_id.to_string().parse().unwrap();
        let drawn = self.store.draw(product_id, count, &HashSet::default(), Look::Twice).await.unwrap();
        let keys = &drawn.candidates[..count];
        self.reserve(dead_sale(product_id), keys).await;
        keys.iter().map(|key| key.license_key.as_str().to_owned()).collect()
    }

    /// Stores a generated key, reserved for a large order with a dead attempt. Returns the key.
    ///
    /// # Panics
    /// If the key exists.
    pub async fn dead_order_of_a_fresh_key(&self, product_id: u32) -> String {
        let product_id = product_id.to_string().parse().unwrap();
        let key = NewKey {
            license_key: "FRESH-1".parse().unwrap(),
            product_id,
            activation_limit: "1".parse().unwrap(),
            validity: "365".parse().unwrap(),
            status: Status::Available,
            owner: keypool_domain::Owner::default(),
            assigned_at: None,
            order: None,
            assignment_id: None,
            creation_id: None,
        };
        let ids = self.store.take_row_ids(1).await.unwrap();
        let now = keypool_domain::Clock::now(&SystemClock);
        let key = key.into_record(ids[0], now, &OperatingSystemRandomness);
        self.reserve(dead_sale(product_id), &[key.unstored()]).await;
        "FRESH-1".to_owned()
    }

    async fn reserve(&self, mut sale: Sale, keys: &[LicenseKeyRecord]) {
        let now = keypool_domain::Clock::now(&SystemClock);
        for part in keys.chunks(self.store.sale_keys_max()) {
            assert_eq!(self.store.take(&mut sale, part, now).await, Ok(SaleOutcome::Done));
        }
    }

    /// Puts very many keys into stock without the API.
    ///
    /// # Panics
    /// If DynamoDB refuses them.
    pub async fn stock_in_bulk(&self, product_id: ProductId, count: usize) {
        let now = keypool_domain::Clock::now(&SystemClock);
        let ids = RowId::block_ending_at(u64::try_from(count).unwrap() + 1_000_000_000, count).unwrap();
        let keys = ids.into_iter().map(|id| {
            let key = NewKey {
                license_key: format!("BULK-{id}").parse().unwrap(),
                product_id,
                activation_limit: "1".parse().unwrap(),
                validity: "365".parse().unwrap(),
                status: Status::Available,
                owner: keypool_domain::Owner::default(),
                assigned_at: None,
                order: None,
                assignment_id: None,
                creation_id: None,
            };
            key.into_record(id, now, &OperatingSystemRandomness)
        });
        let puts: Vec<Value> = keys.map(|key| put_request(&key)).collect();
        for batch in puts.chunks(25) {
            self.dynamodb_call("BatchWriteItem", &json!({"RequestItems": {TABLE: batch}})).await;
        }
    }

    /// Sets up a product.
    ///
    /// # Panics
    /// If the product exists.
    pub async fn add_product(&self, product: Product) {
        assert_eq!(self.store.create(&product, None).await.unwrap(), CreateOutcome::Created);
    }

    /// Sets up a generator.
    ///
    /// # Panics
    /// If the generator exists.
    pub async fn add_generator(&self, generator: Generator) {
        let outcome = self.store.create_generator(&generator, None).await.unwrap();
        assert!(matches!(outcome, NewGeneratorOutcome::Created { .. }));
    }

    /// Sets the waiting time of the demo API key's queued orders, in seconds.
    ///
    /// # Panics
    /// If DynamoDB refuses.
    pub async fn let_orders_wait_for(&self, seconds: u32) {
        let hash = API_KEY.parse::<ApiKey>().unwrap().hash();
        let update = json!({
            "TableName": TABLE,
            "Key": {"pk": {"S": format!("APIKEY#{hash}")}, "sk": {"S": "APIKEY"}},
            "ConditionExpression": "attribute_exists(pk)",
            "UpdateExpression": "SET wait_for_stock = :seconds",
            "ExpressionAttributeValues": {":seconds": {"N": seconds.to_string()}},
        });
        self.dynamodb_call("UpdateItem", &update).await;
    }

    /// Sets up an API key.
    ///
    /// # Panics
    /// If the API key exists.
    pub async fn add_api_key(&self, api_key: ApiKeyRecord) {
        assert_eq!(self.store.create(&api_key, None).await.unwrap(), CreateOutcome::Created);
    }
}

/// Makes a product with this number. Its generator has the same number.
pub(crate) fn numbered_product(id: u32, signing_key_id: Option<SigningKeyId>) -> Product {
    Product {
        id: id.to_string().parse().unwrap(),
        name: "A product".parse().unwrap(),
        activity: Activity::Active,
        generator_id: None,
        signing_key_id,
    }
}

/// Makes a generator with this number for the product with this number.
pub(crate) fn numbered_generator(id: u32, prefix: &str) -> Generator {
    Generator {
        id: id.to_string().parse().unwrap(),
        product_id: id.to_string().parse().unwrap(),
        activity: Activity::Active,
        method: Method::Uuid,
        prefix: prefix.to_owned(),
        suffix: String::new(),
        activation_limit: "1".parse().unwrap(),
        validity: "365".parse().unwrap(),
    }
}

/// Makes a `PutRequest` of a `BatchWriteItem` call.
fn put_request(key: &LicenseKeyRecord) -> Value {
    let item = key.item();
    let attributes = item.into_iter().map(|(name, value)| {
        let json = match (value.as_s(), value.as_n()) {
            (Ok(text), _) => json!({"S": text}),
            (_, Ok(number)) => json!({"N": number}),
            _ => panic!("{name} is neither text nor a number"),
        };
        (name, json)
    });
    json!({"PutRequest": {"Item": attributes.collect::<serde_json::Map<_, _>>()}})
}

/// Makes a sale whose lease ended long ago.
fn dead_sale(product_id: ProductId) -> Sale {
    let at = Timestamp::from_unix_microseconds(1_700_000_000_000_000).unwrap();
    let assignment = Assignment::new(keypool_domain::Owner::default(), at, &OperatingSystemRandomness);
    Sale::new(product_id, assignment, Duration::ZERO, None)
}
