//! Changes of products, generators and API keys: written with their audit entry, if the record is as it was
//! seen, or not at all.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use keypool_aws::AwsErrorKind;
use keypool_domain::{
    Activity, ApiKey, ApiKeyRecord, AuditEntry, AuditId, Clock as _, Endpoint, Generator, GeneratorId,
    Method, OperatingSystemRandomness, Principal, Product, ProductId, RetiredKey, SystemClock, Timestamp,
};
use keypool_local::{Services, TABLE};
use keypool_store::{Lookup, Store, UpdateOutcome};

use crate::fixture;

struct Table {
    store: Store,
    client: aws_sdk_dynamodb::Client,
    _services: Services,
}

impl Table {
    /// Products 1 and 2, each with a generator of its own.
    async fn new() -> Self {
        let (store, client, services) = fixture::table().await;
        for id in ["1", "2"] {
            store.create(&product(id), None).await.unwrap();
            store.create_generator(&generator(id), None).await.unwrap();
        }
        Self { store, client, _services: services }
    }

    async fn product(&self, id: &str) -> Product {
        self.store.find::<Product>(id.parse().unwrap()).await.unwrap().unwrap()
    }

    /// The audit entries, the latest first.
    async fn noted(&self) -> Vec<AuditEntry> {
        let long_ago = Timestamp::from_unix_microseconds(0).unwrap();
        self.store.audit_trail(long_ago, SystemClock.now(), 1_000, |_| true).await.unwrap()
    }
}

fn product(id: &str) -> Product {
    Product {
        id: id.parse().unwrap(),
        name: "Office".parse().unwrap(),
        activity: Activity::Active,
        generator_id: None,
        signing_key_id: None,
    }
}

fn generator(id: &str) -> Generator {
    Generator {
        id: id.parse().unwrap(),
        product_id: id.parse().unwrap(),
        activity: Activity::Active,
        method: Method::Uuid,
        prefix: "A-".to_owned(),
        suffix: String::new(),
        activation_limit: "1".parse().unwrap(),
        validity: "365".parse().unwrap(),
    }
}

fn api_key(secret: &str) -> ApiKeyRecord {
    ApiKeyRecord {
        hash: secret.parse::<ApiKey>().unwrap().hash(),
        name: "checkout".parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from(Endpoint::ALL),
        networks: vec![],
        valid_until: None,
        settings: keypool_domain::ApiKeySettings::default(),
    }
}

fn entry(action: &str) -> AuditEntry {
    entry_at(action, SystemClock.now())
}

fn entry_at(action: &str, at: Timestamp) -> AuditEntry {
    AuditEntry {
        id: AuditId::random(&OperatingSystemRandomness),
        at,
        principal: Principal::new("local:ada"),
        action: action.to_owned(),
        subject: "product 1".to_owned(),
        before: None,
        after: None,
    }
}

fn retired(product_id: Option<ProductId>, at: &str) -> RetiredKey {
    RetiredKey {
        product_id,
        signing_key_id: "arn:aws:kms:eu-central-1:1:key/old".parse().unwrap(),
        public_key_der: vec![48, 0],
        retired_at: Timestamp::from_rfc3339(at).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_changed_as_it_was_seen_and_the_change_is_noted() {
    let table = Table::new().await;
    let before = table.product("1").await;
    let renamed = Product { name: "Büro".parse().unwrap(), generator_id: None, ..before.clone() };
    let update = |before: Product, after: Product| {
        let store = table.store.clone();
        async move { store.update_product(&before, &after, None, &entry("product.update")).await.unwrap() }
    };
    assert_eq!(update(before.clone(), renamed.clone()).await, UpdateOutcome::Updated);
    assert_eq!(table.product("1").await, renamed);
    assert_eq!(table.noted().await.len(), 1);

    // A change of the former version does not undo it.
    let late = Product { activity: Activity::Inactive, ..before.clone() };
    assert_eq!(update(before, late).await, UpdateOutcome::ChangedMeanwhile);
    let missing = product("77");
    assert_eq!(update(missing.clone(), missing).await, UpdateOutcome::Unknown);
    assert_eq!(table.product("1").await, renamed);
    assert_eq!(table.noted().await.len(), 1, "what was not done is not noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_changes_of_one_product_one_succeeds() {
    let table = Table::new().await;
    let before = table.product("1").await;
    let changes = (0..20).map(|n| {
        let (store, before) = (table.store.clone(), before.clone());
        tokio::spawn(async move {
            let after = Product { name: format!("Office {n}").parse().unwrap(), ..before.clone() };
            let outcome =
                store.update_product(&before, &after, None, &entry("product.update")).await.unwrap();
            (outcome, after)
        })
    });
    let mut made = Vec::new();
    for change in changes.collect::<Vec<_>>() {
        match change.await.unwrap() {
            (UpdateOutcome::Updated, after) => made.push(after),
            (outcome, _) => assert_eq!(outcome, UpdateOutcome::ChangedMeanwhile),
        }
    }
    assert_eq!(made, [table.product("1").await]);
    assert_eq!(table.noted().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_gets_no_generator_of_another() {
    let table = Table::new().await;
    let before = table.product("1").await;
    for generator in ["2", "77"] {
        let after = Product { generator_id: Some(generator.parse().unwrap()), ..before.clone() };
        let outcome = table.store.update_product(&before, &after, None, &entry("x")).await.unwrap();
        assert_eq!(outcome, UpdateOutcome::NotItsGenerator, "{generator}");
    }
    assert_eq!((table.product("1").await, table.noted().await), (before.clone(), vec![]));
    let other = Generator { id: "3".parse().unwrap(), ..generator("1") };
    table.store.create_generator(&other, None).await.unwrap();
    let after = Product { generator_id: Some(other.id), ..before.clone() };
    let outcome = table.store.update_product(&before, &after, None, &entry("x")).await.unwrap();
    assert_eq!((outcome, table.product("1").await), (UpdateOutcome::Updated, after));
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_of_a_later_version_stay_in_a_record() {
    let table = Table::new().await;
    let key = |name: &str, value: &str| (name.to_owned(), AttributeValue::S(value.to_owned()));
    let at = std::collections::HashMap::from([key("pk", "PRODUCT#1"), key("sk", "PRODUCT")]);
    table
        .client
        .update_item()
        .table_name(TABLE)
        .set_key(Some(at.clone()))
        .update_expression("SET colour = :colour")
        .expression_attribute_values(":colour", AttributeValue::S("red".to_owned()))
        .send()
        .await
        .unwrap();
    let before = table.product("1").await;
    let after = Product { name: "Büro".parse().unwrap(), ..before.clone() };
    let outcome = table.store.update_product(&before, &after, None, &entry("x")).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Updated);
    let item = table.client.get_item().table_name(TABLE).set_key(Some(at)).send().await.unwrap();
    assert_eq!(item.item().unwrap()["colour"].as_s().unwrap(), "red");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_signing_key_is_kept_by_the_same_transaction() {
    let table = Table::new().await;
    let id = Some(ProductId::MIN);
    let before = table.product("1").await;
    let after = Product { signing_key_id: Some("new".parse().unwrap()), ..before.clone() };
    let (first, later) = (retired(id, "2026-11-21T07:00:00Z"), retired(id, "2026-11-22T07:00:00Z"));
    let outcome = table.store.update_product(&before, &after, Some(&first), &entry("x")).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Updated);
    let outcome = table.store.update_product(&before, &after, Some(&later), &entry("x")).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::ChangedMeanwhile);
    assert_eq!(table.store.retired_keys().await.unwrap(), std::slice::from_ref(&first), "all or nothing");

    let global = retired(None, "2026-11-23T07:00:00Z");
    let noted = entry("signing-key.retire");
    table.store.retire(&global, &noted).await.unwrap();
    let other = table.store.retire(&global, &entry("signing-key.retire")).await;
    assert_eq!(other.unwrap_err().kind(), Some(AwsErrorKind::Contention));
    assert_eq!(table.store.retired_keys().await.unwrap(), [global, first]);

    let about = Lookup { product: id, ..Lookup::default() };
    assert_eq!(table.store.look_up(about).await.unwrap().product, Some(after));
    assert_eq!(table.store.list::<Product>().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_and_an_api_key_are_changed_as_they_were_seen() {
    let table = Table::new().await;
    let store = &table.store;
    let id: GeneratorId = "1".parse().unwrap();
    let before = store.find::<Generator>(id).await.unwrap().unwrap();
    let after = Generator { prefix: "B-".to_owned(), validity: "0".parse().unwrap(), ..before.clone() };
    for (outcome, name) in [(UpdateOutcome::Updated, "first"), (UpdateOutcome::ChangedMeanwhile, "again")] {
        assert_eq!(store.update(&before, &after, &entry("x")).await.unwrap(), outcome, "{name}");
    }
    assert_eq!(store.find::<Generator>(id).await.unwrap(), Some(after));
    let missing = Generator { id: GeneratorId::MAX, ..before };
    assert_eq!(store.update(&missing, &missing, &entry("x")).await.unwrap(), UpdateOutcome::Unknown);

    let before = api_key("one");
    store.create(&before, None).await.unwrap();
    let after = ApiKeyRecord {
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        valid_until: Timestamp::from_rfc3339("2026-11-21T07:00:00Z"),
        settings: keypool_domain::ApiKeySettings::default(),
        ..before.clone()
    };
    for (outcome, name) in [(UpdateOutcome::Updated, "first"), (UpdateOutcome::ChangedMeanwhile, "again")] {
        assert_eq!(store.update(&before, &after, &entry("x")).await.unwrap(), outcome, "{name}");
    }
    let without_end = ApiKeyRecord { valid_until: None, ..after.clone() };
    assert_eq!(store.update(&after, &without_end, &entry("x")).await.unwrap(), UpdateOutcome::Updated);
    assert_eq!(store.find::<ApiKeyRecord>(before.hash).await.unwrap(), Some(without_end));
    let missing = api_key("two");
    assert_eq!(store.update(&missing, &missing, &entry("x")).await.unwrap(), UpdateOutcome::Unknown);
    assert_eq!(table.noted().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_rotations_of_an_api_key_one_succeeds() {
    let table = Table::new().await;
    let before = api_key("one");
    table.store.create(&before, None).await.unwrap();
    let rotations = (0..10).map(|n| {
        let (store, before) = (table.store.clone(), before.clone());
        tokio::spawn(async move {
            let after = ApiKeyRecord { valid_until: Some(SystemClock.now()), ..before.clone() };
            let successor = api_key(&format!("successor {n}"));
            store.rotate_api_key(&before, &after, &successor, &entry("api-key.rotate")).await.unwrap()
        })
    });
    let mut done = 0;
    for rotation in rotations.collect::<Vec<_>>() {
        match rotation.await.unwrap() {
            UpdateOutcome::Updated => done += 1,
            outcome => assert_eq!(outcome, UpdateOutcome::ChangedMeanwhile),
        }
    }
    assert_eq!(done, 1);
    let keys = table.store.list::<ApiKeyRecord>().await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys.iter().filter(|key| key.valid_until.is_none()).count(), 1);
    assert_eq!(table.noted().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_filtered_and_spans_months() {
    let table = Table::new().await;
    let at = |text: &str| Timestamp::from_rfc3339(text).unwrap();
    for (moment, action) in [
        ("2025-12-31T23:00:00Z", "product.create"),
        ("2026-01-01T01:00:00Z", "product.update"),
        ("2026-03-05T01:00:00Z", "api-key.create"),
        ("2026-03-06T01:00:00Z", "product.update"),
    ] {
        table.store.note(&entry_at(action, at(moment))).await.unwrap();
    }
    let read = async |since: &str, limit: usize, action: &str| {
        let wanted = |entry: &AuditEntry| entry.action.contains(action);
        let now = at("2026-03-31T00:00:00Z");
        let entries = table.store.audit_trail(at(since), now, limit, wanted).await.unwrap();
        entries.into_iter().map(|entry| entry.at.to_string()[..10].to_owned()).collect::<Vec<_>>()
    };
    let all = ["2026-03-06", "2026-03-05", "2026-01-01", "2025-12-31"];
    assert_eq!(read("2025-01-01T00:00:00Z", 100, "").await, all);
    assert_eq!(read("2025-01-01T00:00:00Z", 3, "").await, all[..3]);
    assert_eq!(read("2026-01-01T00:00:00Z", 100, "").await, all[..3]);
    assert_eq!(read("2025-01-01T00:00:00Z", 2, "product.").await, ["2026-03-06", "2026-01-01"]);
    assert_eq!(read("2025-01-01T00:00:00Z", 100, "create").await, ["2026-03-05", "2025-12-31"]);
}
