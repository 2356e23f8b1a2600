//! Items of the records, against the embedded DynamoDB: existing stacks hold them in exactly this form.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use keypool_domain::requests::AssignLicenseKey;
use keypool_domain::requests::Repeatable as _;
use keypool_domain::{
    Activity, ApiKey, ApiKeyRecord, Assignment, AuditEntry, ChunkSystem, CreationId, Endpoint, Envelope,
    Fingerprint, Generator, GeneratorId, KeyOrder, LicenseKeyRecord, Method, OperatingSystemRandomness,
    Owner, Principal, PrivateKeyUsed, Product, ProductId, Reply, RequestId, RetiredKey, RowId,
    SignablePayload, Status, StockPosition, Timestamp,
};
use keypool_local::{Services, TABLE};
use keypool_store::{
    Catalogued, Item, Record as _, Recorded, RequestState, Sale, SaleOutcome, Store, StoreError,
};
use serde_json::{Value, json};

use crate::fixture;

/// The time in every record.
const AT: &str = "2024-11-23T19:02:08.829115Z";
/// An API key's hash.
const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

struct Table {
    store: Store,
    client: aws_sdk_dynamodb::Client,
    _services: Services,
}

impl Table {
    async fn new() -> Self {
        let (store, client, services) = fixture::table().await;
        Self { store, client, _services: services }
    }

    async fn scan(&self) -> Vec<Item> {
        self.client.scan().table_name(TABLE).send().await.unwrap().items.unwrap()
    }

    /// All items of the table, in the order of their keys.
    async fn items(&self) -> Value {
        let items = self.scan().await;
        let mut items: Vec<Value> = items.iter().map(json_of).collect();
        items.sort_by_key(|item| (item["pk"].to_string(), item["sk"].to_string()));
        Value::Array(items)
    }

    async fn put(&self, item: Item) {
        self.client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }

    /// Stores a record, compares its item and its catalogue entry, and reads it back.
    async fn check<T: Catalogued + std::fmt::Debug>(record: &T, items: Value) {
        let table = Self::new().await;
        table.store.create(record, None).await.unwrap();
        assert_eq!(table.items().await, items);
        assert_eq!(table.store.find::<T>(record.id()).await.unwrap().as_ref(), Some(record));
        assert_eq!(table.store.list::<T>().await.unwrap(), std::slice::from_ref(record));
    }
}

/// An item as JSON: a text as it is, all else with its type.
fn json_of(item: &Item) -> Value {
    fn value(attribute: &AttributeValue) -> Value {
        match attribute {
            AttributeValue::S(text) => json!(text),
            AttributeValue::N(number) => json!({"N": number}),
            AttributeValue::B(bytes) => json!({"B": bytes.as_ref()}),
            AttributeValue::L(list) => list.iter().map(value).collect(),
            other => panic!("{other:?}"),
        }
    }
    item.iter().map(|(name, attribute)| (name.clone(), value(attribute))).collect()
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn at() -> Timestamp {
    Timestamp::from_rfc3339(AT).unwrap()
}

fn generator() -> Generator {
    let chunks =
        ChunkSystem { charset: "0123456789ABCDEF".parse().unwrap(), number_of_chunks: 8, chunk_length: 4 };
    Generator {
        id: GeneratorId::MIN,
        product_id: ProductId::MIN,
        activity: Activity::Active,
        method: Method::ChunkSystem(chunks),
        prefix: "KP ".to_owned(),
        suffix: String::new(),
        activation_limit: "1".parse().unwrap(),
        validity: "0".parse().unwrap(),
    }
}

fn order() -> KeyOrder {
    KeyOrder { reference: "31 №".parse().unwrap(), sold_by: Some("ab".repeat(32).parse().unwrap()) }
}

fn license_key() -> LicenseKeyRecord {
    LicenseKeyRecord {
        license_key: "AB#12 ключ".parse().unwrap(),
        product_id: ProductId::MIN,
        activation_limit: "3".parse().unwrap(),
        validity: "365".parse().unwrap(),
        status: Status::Assigned,
        owner: Owner { name: Some("Test User".parse().unwrap()), email: None },
        assigned_at: Some(at()),
        order: Some(order()),
        replaced_by: Some("CD#34".parse().unwrap()),
        created_at: at(),
        updated_at: at(),
        id: RowId::MIN,
        version: 7,
        assignment_id: Some("attempt".parse().unwrap()),
        creation_id: Some("creation".parse().unwrap()),
        draw: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_item_of_a_product() {
    let product = Product {
        id: "42".parse().unwrap(),
        name: "Löwe & Co".parse().unwrap(),
        activity: Activity::Inactive,
        generator_id: Some(GeneratorId::MIN),
        signing_key_id: Some("alias/keypool-2".parse().unwrap()),
    };
    let entry = json!({"pk": "CATALOGUE#PRODUCT", "sk": "0000000042"});
    let item = json!({
        "pk": "PRODUCT#42", "sk": "PRODUCT", "name": "Löwe & Co", "status": "inactive",
        "generator_id": {"N": "1"}, "signing_key_id": "alias/keypool-2",
    });
    Table::check(&product, json!([entry, item])).await;
    let plain = Product { generator_id: None, signing_key_id: None, ..product };
    let item = json!({"pk": "PRODUCT#42", "sk": "PRODUCT", "name": "Löwe & Co", "status": "inactive"});
    Table::check(&plain, json!([entry, item])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_item_of_a_generator() {
    let entry = json!({"pk": "CATALOGUE#GENERATOR", "sk": "0000000001"});
    let mut item = json!({
        "pk": "GENERATOR#1", "sk": "GENERATOR", "product_id": {"N": "1"}, "status": "active",
        "method": "uuid", "prefix": "KP ", "suffix": "", "activation_limit": {"N": "1"},
        "validity": {"N": "0"},
    });
    let uuid = Generator { method: Method::Uuid, ..generator() };
    Table::check(&uuid, json!([entry, item])).await;
    item["method"] = json!("chunk-system");
    item["charset"] = json!("0123456789ABCDEF");
    item["number_of_chunks"] = json!({"N": "8"});
    item["chunk_length"] = json!({"N": "4"});
    Table::check(&generator(), json!([entry, item])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generator_that_was_weakened_by_hand_is_refused() {
    let table = Table::new().await;
    table.store.create(&generator(), None).await.unwrap();
    let update = table.client.update_item().table_name(TABLE).update_expression("SET charset = :charset");
    let update = update.key("pk", text("GENERATOR#1")).key("sk", text("GENERATOR"));
    update.expression_attribute_values(":charset", text("01")).send().await.unwrap();
    let corrupt = StoreError::Corrupt { record: "generator", attribute: "definition" };
    assert_eq!(table.store.find::<Generator>(GeneratorId::MIN).await, Err(corrupt));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_item_of_an_api_key() {
    let api_key = ApiKeyRecord {
        hash: "secret".parse::<ApiKey>().unwrap().hash(),
        name: "shop".parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from([Endpoint::Generate, Endpoint::AssignLicenseKey]),
        networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        valid_until: Some(at()),
        settings: keypool_domain::ApiKeySettings::default(),
    };
    let entry = json!({"pk": "CATALOGUE#APIKEY", "sk": HASH});
    let item = json!({
        "pk": format!("APIKEY#{HASH}"), "sk": "APIKEY", "name": "shop", "status": "active",
        "capabilities": "generate assign-license-key", "networks": "192.0.2.0/24 2001:db8::/32",
        "valid_until": AT,
    });
    Table::check(&api_key, json!([item, entry])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_item_of_an_api_key_with_settings() {
    let settings = keypool_domain::ApiKeySettings {
        wait_for_stock: Some(Duration::ZERO),
        webhook_hosts: ["shop.example".parse().unwrap()].into_iter().collect(),
        remember: Some(Duration::from_hours(2)),
        once_per_identifier: true,
        products: ["7", "10"].map(|id| id.parse().unwrap()).into(),
        keys_per_order: "5".parse().ok(),
        keys_per_hour: "200".parse().ok(),
        sees_all_orders: true,
        sees_orders_of: [HASH.parse().unwrap()].into(),
    };
    let api_key = ApiKeyRecord {
        hash: "secret".parse::<ApiKey>().unwrap().hash(),
        name: "shop".parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from([Endpoint::Generate]),
        networks: vec![],
        valid_until: None,
        settings,
    };
    let entry = json!({"pk": "CATALOGUE#APIKEY", "sk": HASH});
    let item = json!({
        "pk": format!("APIKEY#{HASH}"), "sk": "APIKEY", "name": "shop", "status": "active",
        "capabilities": "generate", "networks": "", "wait_for_stock": {"N": "0"}, "webhook_hosts": "shop.example",
        "remember": {"N": "7200"}, "once_per": "identifier", "products": "7 10", "keys_per_order": {"N": "5"},
        "keys_per_hour": {"N": "200"}, "sees_all_orders": "yes", "sees_orders_of": HASH,
    });
    Table::check(&api_key, json!([item, entry])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_item_of_an_audit_entry() {
    let table = Table::new().await;
    let entry = AuditEntry {
        id: "id".parse().unwrap(),
        at: at(),
        principal: Principal::new("arn:aws:sts::123456789012:assumed-role/operator/ada"),
        action: "product.update".to_owned(),
        subject: "product 42".to_owned(),
        before: Some(json!({"name": "Öffice"})),
        after: None,
    };
    table.store.note(&entry).await.unwrap();
    let item = json!({
        "pk": "AUDIT#2024-11", "sk": format!("{AT}#id"), "id": "id", "at": AT,
        "principal": "arn:aws:sts::123456789012:assumed-role/operator/ada",
        "action": "product.update", "subject": "product 42", "before": r#"{"name":"Öffice"}"#,
    });
    assert_eq!(table.items().await, json!([item]));
    assert_eq!(table.store.audit_trail(at(), at(), 10, |_| true).await.unwrap(), [entry]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_item_of_a_retired_signing_key() {
    let table = Table::new().await;
    let audit = AuditEntry {
        id: "id".parse().unwrap(),
        at: at(),
        principal: Principal::new("local:ada"),
        action: "signing-key.retire".to_owned(),
        subject: "signing key".to_owned(),
        before: None,
        after: None,
    };
    let global = RetiredKey {
        product_id: None,
        signing_key_id: "alias/keypool-2".parse().unwrap(),
        public_key_der: vec![0, 1, 255],
        retired_at: at(),
    };
    let of_product = RetiredKey { product_id: Some("42".parse().unwrap()), ..global.clone() };
    table.store.retire(&global, &audit).await.unwrap();
    let audit = AuditEntry { id: "id2".parse().unwrap(), ..audit };
    table.store.retire(&of_product, &audit).await.unwrap();
    let item = |pk: &str| {
        json!({
            "pk": pk, "sk": format!("SIGNINGKEY#{AT}"), "signing_key_id": "alias/keypool-2",
            "public_key": {"B": [0, 1, 255]},
        })
    };
    let mut owned = item("PRODUCT#42");
    owned["product_id"] = json!({"N": "42"});
    let entry = |product: u32| json!({"pk": "CATALOGUE#SIGNINGKEY", "sk": format!("{product}#{AT}")});
    let items = table.items().await;
    assert_eq!(items.as_array().unwrap()[2..], [entry(0), entry(42), item("GLOBAL"), owned]);
    assert_eq!(table.store.retired_keys().await.unwrap(), [global, of_product]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_item_of_a_license_key() {
    let sold = license_key();
    let mut item = json!({
        "pk": "KEY#AB#12 ключ", "sk": "KEY", "product_id": {"N": "1"}, "activation_limit": {"N": "3"},
        "validity": {"N": "365"}, "status": "assigned", "owner_name": "Test User", "assigned_at": AT,
        "created_at": AT, "updated_at": AT, "id": {"N": "1"}, "version": {"N": "7"},
        "assignment_id": "attempt", "creation_id": "creation", "order_reference": "REFERENCE#31 №",
        "sold_by": "ab".repeat(32), "replaced_by": "CD#34",
    });
    let table = Table::new().await;
    table.store.insert(std::slice::from_ref(&sold)).await.unwrap();
    assert_eq!(table.items().await, json!([item]));
    assert_eq!(table.store.license_key(&sold.license_key).await, Ok(Some(sold)));
    // A key in stock is also in the index.
    let draw = "000102030405060708090a0b0c0d0e0f";
    let in_stock = LicenseKeyRecord {
        status: Status::Available,
        owner: Owner { name: None, email: Some("a@example.com".parse().unwrap()) },
        assigned_at: None,
        order: None,
        replaced_by: None,
        assignment_id: None,
        creation_id: None,
        draw: Some(draw.parse().unwrap()),
        ..license_key()
    };
    let attributes = ["owner_name", "assigned_at", "assignment_id", "creation_id"];
    for absent in attributes.into_iter().chain(["order_reference", "sold_by", "replaced_by"]) {
        item.as_object_mut().unwrap().remove(absent);
    }
    item["status"] = json!("available");
    item["owner_email"] = json!("a@example.com");
    item["stock"] = json!("PRODUCT#1");
    item["draw"] = json!(draw);
    let table = Table::new().await;
    table.store.insert(std::slice::from_ref(&in_stock)).await.unwrap();
    assert_eq!(table.items().await, json!([item]));
    assert_eq!(table.store.license_key(&in_stock.license_key).await, Ok(Some(in_stock)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_item_names_its_attribute() {
    let table = Table::new().await;
    let mut item = license_key().item();
    for (attribute, spoilt) in [
        ("version", text("seven")),
        ("created_at", text("2024-11-23 19:02:08")),
        ("assigned_at", AttributeValue::B(Blob::new("2024"))),
    ] {
        let kept = item.insert(attribute.to_owned(), spoilt).unwrap();
        table.put(item.clone()).await;
        let corrupt = StoreError::Corrupt { record: "license key", attribute };
        assert_eq!(table.store.license_key(&license_key().license_key).await, Err(corrupt));
        item.insert(attribute.to_owned(), kept);
    }
    item.remove("product_id");
    table.put(item).await;
    let corrupt = StoreError::Corrupt { record: "license key", attribute: "product_id" };
    assert_eq!(table.store.license_key(&license_key().license_key).await, Err(corrupt));
}

/// A request with an `Idempotency-Key`.
fn request() -> (RequestId, Fingerprint) {
    let api_key = "secret".parse::<ApiKey>().unwrap().hash();
    let request =
        AssignLicenseKey { license_key: "A".parse().unwrap(), owner: Owner::default(), identifier: None };
    (RequestId::new(api_key, Endpoint::Generate, &"k".parse().unwrap()), request.fingerprint())
}

/// Answers the request, and returns the response and the mark of its keys.
async fn answer(store: &Store, reply: &Reply) -> (Envelope, CreationId) {
    let (id, fingerprint) = request();
    let slot = store.recall(id, fingerprint, None, at()).await.unwrap();
    let mut creation = store.begin(slot, at()).await.unwrap();
    let response = SignablePayload::new(reply, at()).into_envelope(PrivateKeyUsed::Global, Some(&[7]));
    store.save(&mut creation, &response, RequestState::Done, at()).await.unwrap();
    (response, creation.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_item_of_an_answered_request() {
    let table = Table::new().await;
    let (id, fingerprint) = request();
    let (_, creation_id) = answer(&table.store, &Reply::LicenseKeyAssigned).await;
    let mut item = table.items().await[0].take();
    for random in ["payload", "attempt"] {
        assert!(item.as_object_mut().unwrap().remove(random).is_some());
    }
    let expected = json!({
        "pk": format!("IDEMPOTENCY#{id}"), "sk": "IDEMPOTENCY", "state": "done",
        "fingerprint": fingerprint.to_string(), "lease_until": {"N": "0"}, "expires_at": {"N": "1732474928"},
        "creation_id": creation_id.to_string(), "payload_parts": {"N": "1"}, "private_key_used": "global",
        "signature": "Bw==",
    });
    assert_eq!(item, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_read_in_the_words_of_both_versions() {
    let table = Table::new().await;
    let (id, fingerprint) = request();
    let (response, _) = answer(&table.store, &Reply::LicenseKeyAssigned).await;
    let mut item = table.scan().await.remove(0);
    item.insert("lease_until".to_owned(), AttributeValue::N(i64::MAX.to_string()));
    for (words, expected) in [
        (["done", "committed", "sold"], Some(Recorded::Answered(response))),
        (["open", "started", "reserving"], Some(Recorded::InProgress)),
        (["void", "aborted", "aborted"], None),
    ] {
        for word in words {
            item.insert("state".to_owned(), text(word));
            table.put(item.clone()).await;
            let recalled = table.store.recall(id, fingerprint, None, at()).await;
            assert_eq!(recalled.err(), expected.clone().map(StoreError::Recorded), "{word}");
        }
    }
    item.insert("state".to_owned(), text("lost"));
    table.put(item).await;
    let corrupt = StoreError::Corrupt { record: "request", attribute: "state" };
    assert_eq!(table.store.recall(id, fingerprint, None, at()).await.unwrap_err(), corrupt);
}

/// Keys that do not compress.
fn noise(count: usize) -> Reply {
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from_u32(0x4e00 + u32::try_from(state >> 51).unwrap()).unwrap()
    };
    let keys = (0..count).map(|_| (0..255).map(|_| letter()).collect::<String>().parse().unwrap());
    Reply::Generated(keys.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_of_any_size_reads_back() {
    let (id, fingerprint) = request();
    for (reply, is_large) in [(Reply::LicenseKeyAssigned, false), (noise(1_000), true)] {
        let table = Table::new().await;
        let (response, _) = answer(&table.store, &reply).await;
        let mut items = table.scan().await;
        assert_eq!(items.len() > 1, is_large);
        let recalled = table.store.recall(id, fingerprint, None, at()).await.unwrap_err();
        assert_eq!(recalled, StoreError::Recorded(Recorded::Answered(response)));
        let mut record =
            items.swap_remove(items.iter().position(|item| item["sk"] == text("IDEMPOTENCY")).unwrap());
        record.insert("signature".to_owned(), AttributeValue::Bool(true));
        table.put(record).await;
        let corrupt = StoreError::Corrupt { record: "request", attribute: "signature" };
        assert_eq!(table.store.recall(id, fingerprint, None, at()).await.unwrap_err(), corrupt);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_items_of_an_open_large_order() {
    let table = Table::new().await;
    let key = LicenseKeyRecord {
        status: Status::Available,
        draw: Some(StockPosition::random(&OperatingSystemRandomness)),
        assigned_at: None,
        order: None,
        replaced_by: None,
        assignment_id: None,
        owner: Owner::default(),
        ..license_key()
    };
    table.store.insert(std::slice::from_ref(&key)).await.unwrap();
    let owner = license_key().owner;
    let assignment = Assignment { id: "attempt".parse().unwrap(), owner, order: Some(order()), at: at() };
    let mut sale = Sale::new(ProductId::MIN, assignment.clone(), Duration::from_secs(1), None);
    let taken = table.store.take(&mut sale, std::slice::from_ref(&key), at()).await;
    assert_eq!(taken, Ok(SaleOutcome::Done));
    let record = json!({
        "pk": "IDEMPOTENCY#attempt", "sk": "IDEMPOTENCY", "state": "open", "attempt": "attempt",
        "lease_until": {"N": "1732388529829115"}, "expires_at": {"N": "1732474928"}, "product_id": {"N": "1"},
        "assigned_at": AT, "owner_name": "Test User", "reference": "REFERENCE#31 №",
        "sold_by": "ab".repeat(32),
    });
    let part = json!({
        "pk": "IDEMPOTENCY#attempt", "sk": "PART#attempt#0000", "license_keys": ["AB#12 ключ"],
        "versions": [{"N": "7"}],
    });
    let entry =
        json!({"pk": "REQUESTS", "sk": "1#attempt#attempt", "lease_until": {"N": "1732388529829115"}});
    let items = table.items().await;
    assert_eq!([&items[0], &items[1], &items[3]], [&record, &part, &entry]);
    let open = table.store.open_requests(ProductId::MIN).await.unwrap();
    assert!(open.len() == 1 && open[0].is_of(&assignment) && !open[0].is_expired(at()));
    // The sweep reads all three.
    let later = Timestamp::from_unix_microseconds(at().unix_microseconds() + 1_000_000).unwrap();
    table.store.sweep(later).await.unwrap();
    let back = table.store.license_key(&key.license_key).await.unwrap().unwrap();
    assert_eq!(back.status, Status::Available);
    assert_eq!(table.items().await.as_array().unwrap().len(), 2, "the key and the void record");
}
