//! Descriptions of tables: those that are set up as keypool needs them, and others.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ProvisionedThroughput, ScalarAttributeType, TimeToLiveSpecification,
};
use keypool_domain::{
    Assignment, Clock as _, NewKey, OperatingSystemRandomness, Owner, ProductId, Status, SystemClock,
    Timestamp,
};
use keypool_local::{Services, TABLE};
use keypool_store::{Expiry, IndexState, Sale, SaleOutcome, Store, TableState};

use crate::fixture;

struct Database {
    client: aws_sdk_dynamodb::Client,
    _services: Services,
}

impl Database {
    async fn new() -> Self {
        let (client, services) = fixture::database().await;
        Self { client, _services: services }
    }

    fn store(&self, table: &str) -> Store {
        Store::new(self.client.clone(), table, Arc::new(OperatingSystemRandomness))
    }

    /// A table with these keys, and with an index of these keys if there are any.
    async fn make(&self, table: &str, keys: [&str; 2], index: Option<([&str; 2], ProjectionType)>) {
        let schema = |[hash, range]: [&str; 2]| {
            [(hash, KeyType::Hash), (range, KeyType::Range)].map(|(name, key_type)| {
                KeySchemaElement::builder().attribute_name(name).key_type(key_type).build().unwrap()
            })
        };
        let of_index = index.as_ref().map(|(keys, _)| *keys).into_iter().flatten();
        let attributes = keys.into_iter().chain(of_index).map(|name| {
            let attribute = AttributeDefinition::builder().attribute_name(name);
            attribute.attribute_type(ScalarAttributeType::S).build().unwrap()
        });
        let throughput =
            ProvisionedThroughput::builder().read_capacity_units(1).write_capacity_units(1).build().unwrap();
        let indexes = index.map(|(keys, projection)| {
            let index = GlobalSecondaryIndex::builder().index_name("available");
            let index = index.set_key_schema(Some(schema(keys).to_vec()));
            let index = index.projection(Projection::builder().projection_type(projection).build());
            vec![index.provisioned_throughput(throughput.clone()).build().unwrap()]
        });
        self.client
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::Provisioned)
            .provisioned_throughput(throughput)
            .set_attribute_definitions(Some(attributes.collect()))
            .set_key_schema(Some(schema(keys).to_vec()))
            .set_global_secondary_indexes(indexes)
            .send()
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_table_of_the_template_is_set_up_as_it_must_be() {
    let database = Database::new().await;
    let store = database.store(TABLE);
    let expected = TableState {
        is_active: true,
        has_keys: true,
        stock_index: IndexState::Ready,
        orders_index: IndexState::Ready,
        is_on_demand: true,
        is_deletion_protected: false,
    };
    assert_eq!(store.describe().await, Ok(Some(expected)));
    assert_eq!(store.describe_expiry().await, Ok(Expiry::On));
    assert_eq!(database.store("another").describe().await, Ok(None));
}

#[tokio::test]
async fn a_table_with_other_keys_or_indexes_is_reported() {
    let database = Database::new().await;
    for (table, keys, index, has_keys, expected) in [
        ("others", ["id", "sk"], None, false, IndexState::Missing),
        ("swapped", ["sk", "pk"], None, false, IndexState::Missing),
        (
            "index-of-others",
            ["pk", "sk"],
            Some((["stock", "place"], ProjectionType::All)),
            true,
            IndexState::Different,
        ),
        (
            "bare-index",
            ["pk", "sk"],
            Some((["stock", "draw"], ProjectionType::KeysOnly)),
            true,
            IndexState::Different,
        ),
    ] {
        database.make(table, keys, index).await;
        let state = database.store(table).describe().await.unwrap().unwrap();
        assert_eq!((state.has_keys, state.stock_index), (has_keys, expected), "{table}");
        assert!(!state.is_on_demand, "{table}");
    }
    let store = database.store("bare-index");
    assert_eq!(store.describe_expiry().await, Ok(Expiry::Off));
    let expiry = TimeToLiveSpecification::builder().attribute_name("valid_until").enabled(true);
    let update = database.client.update_time_to_live().table_name("bare-index");
    update.time_to_live_specification(expiry.build().unwrap()).send().await.unwrap();
    assert_eq!(store.describe_expiry().await, Ok(Expiry::OtherAttribute("valid_until".to_owned())));
}

#[tokio::test]
async fn a_product_is_in_stock_as_long_as_one_of_its_keys_is() {
    let database = Database::new().await;
    let store = database.store(TABLE);
    let products: [ProductId; 2] = ["1", "2"].map(|id| id.parse().unwrap());
    let id = store.take_row_ids(2).await.unwrap();
    let keys = id.into_iter().zip([(products[0], Status::Available), (products[1], Status::Blocked)]);
    let keys = keys.map(|(id, (product_id, status))| {
        let key = NewKey {
            license_key: format!("KEY-{product_id}").parse().unwrap(),
            product_id,
            status,
            activation_limit: "1".parse().unwrap(),
            validity: "1".parse().unwrap(),
            owner: Owner::default(),
            assigned_at: None,
            order: None,
            assignment_id: None,
            creation_id: None,
        };
        key.into_record(id, SystemClock.now(), &OperatingSystemRandomness)
    });
    store.insert(&keys.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(store.is_in_stock(products[0]).await, Ok(true));
    assert_eq!(store.is_in_stock(products[1]).await, Ok(false));
}

#[tokio::test]
async fn expired_requests_are_counted_and_others_are_not() {
    let database = Database::new().await;
    let store = database.store(TABLE);
    let now = SystemClock.now();
    for (lease_s, product) in [(60, "1"), (600, "2")] {
        let assignment = Assignment::new(Owner::default(), now, &OperatingSystemRandomness);
        let lease = Duration::from_secs(lease_s);
        let mut sale = Sale::new(product.parse().unwrap(), assignment, lease, None);
        assert_eq!(store.take(&mut sale, &[], now).await, Ok(SaleOutcome::Done));
    }
    for (after_s, expected) in [(0, 0), (59, 0), (60, 1), (599, 1), (600, 2)] {
        let moment = Timestamp::from_unix_microseconds(now.unix_microseconds() + after_s * 1_000_000);
        assert_eq!(store.requests_expired_by(moment.unwrap()).await, Ok(expected), "{after_s}");
    }
}
