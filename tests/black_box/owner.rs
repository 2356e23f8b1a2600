//! Finds and erases all data of an owner. No repetition sells keys again after that.

use keypool_domain::{
    AuditEntry, AuditId, OperatingSystemRandomness, OrderState, OwnerField, Principal, Status, SystemClock,
};
use keypool_store::{DeadOrders, EraseOutcome, OwnerRecord, UpdateOutcome};
use keypool_tests::{Fault, Receiver, Shop};
use serde_json::json;

const RANDOM: &str = "random-assign-license-keys";
const QUEUED: &str = "random-assign-license-keys-queued";
const ADA: [(&str, &str); 2] = [("owner_name", "Ada Lovelace"), ("owner_email", "ada@example.com")];

fn email() -> OwnerField {
    "Ada@Example.com".parse().unwrap()
}

fn form<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("product_id", "1")], &ADA[..], more].concat()
}

fn entry() -> AuditEntry {
    AuditEntry {
        id: AuditId::random(&OperatingSystemRandomness),
        at: keypool_domain::Clock::now(&SystemClock),
        principal: Principal::new("local:test"),
        action: "owner.erase".to_owned(),
        subject: "a record".to_owned(),
        before: None,
        after: None,
    }
}

async fn records(shop: &Shop) -> Vec<OwnerRecord> {
    shop.store.records_of_owner(&email(), |_| ()).await.unwrap()
}

/// Erases the owner from all records. Returns the outcomes that are not `Erased`.
async fn erase(shop: &Shop) -> Vec<EraseOutcome> {
    let mut left = Vec::new();
    for record in records(shop).await {
        let outcome = erase_from(shop, &record, DeadOrders::Keep).await;
        left.extend((outcome != EraseOutcome::Erased).then_some(outcome));
    }
    left
}

async fn erase_from(shop: &Shop, record: &OwnerRecord, dead_orders: DeadOrders) -> EraseOutcome {
    let now = keypool_domain::Clock::now(&*shop.clock);
    shop.store.erase_owner(record, &email(), dead_orders, now, &entry()).await.unwrap()
}

/// True if an item of the table contains the owner's name or address as text.
async fn is_in_table(shop: &Shop) -> bool {
    let table = shop.dynamodb_call("Scan", &json!({"TableName": "keypool"})).await;
    assert!(table["LastEvaluatedKey"].is_null(), "the table fits on one page");
    let text = table["Items"].to_string().to_lowercase();
    text.contains("ada@example.com") || text.contains("lovelace")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_found_in_every_kind_of_record_and_erased() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 150).await;
    let other = [("product_id", "1"), ("quantity", "1"), ("owner_email", "ada@example.com.au")];
    let others = shop.post(RANDOM, &other).await.license_keys();
    let one = shop.post(RANDOM, &form(&[("quantity", "1"), ("identifier", "31")])).await.license_keys();
    let small = shop.post_once(RANDOM, "an order", &form(&[("quantity", "2")])).await;
    let large = shop.post_once(RANDOM, "a large order", &form(&[("quantity", "120")])).await;
    let queued = form(&[("quantity", "1"), ("identifier", "32"), ("webhook_url", &receiver.url)]);
    assert_eq!(shop.post(QUEUED, &queued).await.code(), 807);
    shop.process_orders().await;
    let update = [("license_key", one[0].as_str()), ("status", "blocked")];
    assert_eq!(shop.post("update-license-key", &update).await.code(), 950);

    let found = records(&shop).await;
    let count = |wanted: fn(&OwnerRecord) -> bool| found.iter().filter(|record| wanted(record)).count();
    assert_eq!(
        [
            count(|record| matches!(record, OwnerRecord::LicenseKey(_))),
            count(|record| matches!(record, OwnerRecord::QueuedOrder(_))),
            // One of these requests is the queued order's.
            count(|record| matches!(record, OwnerRecord::Request(_))),
            count(|record| matches!(record, OwnerRecord::AuditEntry(_))),
        ],
        [1 + 2 + 120 + 1, 1, 3, 1]
    );
    assert!(is_in_table(&shop).await);
    assert_eq!(erase(&shop).await, []);
    assert_eq!(records(&shop).await.len(), 0);
    let own = shop.stored(&others[0]).await.owner;
    assert_eq!(own.email.unwrap().as_str(), "ada@example.com.au", "another owner");
    let put_aside = [("license_key", others[0].as_str()), ("owner_email", "other@example.com")];
    assert_eq!(shop.post("update-license-key", &put_aside).await.code(), 950);

    // The key still belongs to its order and is not for sale.
    let key = shop.stored(&one[0]).await;
    assert_eq!((key.status, key.order.unwrap().reference.as_str()), (Status::Blocked, "31"));
    assert_eq!(key.owner.name.unwrap().as_str(), OwnerField::ERASED);
    let back = [("license_key", one[0].as_str()), ("status", "available")];
    assert_eq!(shop.post("update-license-key", &back).await.code(), 951, "the key does not return to stock");

    // A repetition sells nothing.
    let stock = shop.in_stock(1).await;
    for (name, quantity, first) in [("an order", "2", &small), ("a large order", "120", &large)] {
        assert_eq!(first.code(), 803);
        let again = shop.post_once(RANDOM, name, &form(&[("quantity", quantity)])).await;
        assert_eq!((again.status, again.problem().1.as_str()), (409, "about:blank"), "{}", again.text);
        assert!(again.text.contains("erased"), "{}", again.text);
    }
    let mismatch = shop.post_once(RANDOM, "an order", &form(&[("quantity", "3")])).await;
    assert_eq!(mismatch.status, 422);
    assert_eq!(shop.in_stock(1).await, stock);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_no_data_of_an_erased_owner() {
    let shop = Shop::open().await;
    shop.stock(1, 3).await;
    assert_eq!(shop.post_once(RANDOM, "an order", &form(&[("quantity", "3")])).await.code(), 803);
    let records = records(&shop).await;
    assert!(is_in_table(&shop).await);
    assert_eq!(erase(&shop).await, []);
    assert!(!is_in_table(&shop).await);
    // A second erasure of the same records, as if both had started together.
    for record in &records {
        let outcome = erase_from(&shop, record, DeadOrders::Keep).await;
        let expected = match record {
            OwnerRecord::LicenseKey(_) => EraseOutcome::ChangedMeanwhile,
            _ => EraseOutcome::Erased,
        };
        assert_eq!(outcome, expected, "{record:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_order_keeps_its_owner() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 1).await;
    receiver.respond(&[500]);
    for quantity in ["1", "5"] {
        let queued = form(&[("quantity", quantity), ("identifier", "31"), ("webhook_url", &receiver.url)]);
        assert_eq!(shop.post(QUEUED, &queued).await.code(), 807);
        shop.process_orders().await;
    }
    // One order is filled but not delivered, and the other waits.
    assert_eq!(erase(&shop).await, [EraseOutcome::InUse; 3]);
    shop.clock.advance_seconds(24 * 60 * 60);
    shop.stock_named(1, "MORE", 5).await;
    for _ in 0..3 {
        shop.clock.advance_seconds(60);
        shop.sweep_orders().await;
        shop.process_orders().await;
    }
    assert_eq!(shop.store.queued_orders().await.unwrap(), []);
    let told = receiver.callbacks().last().unwrap().text.clone();
    assert!(told.contains("ada@example.com"), "the callback names the owner");
    assert_eq!(erase(&shop).await, []);
    assert!(!is_in_table(&shop).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_keeps_its_owner_until_it_is_handed_over() {
    let shop = Shop::builder().with_sale_keys_max(5).open().await;
    shop.stock(1, 12).await;
    // The finish arrives, and the environment dies before it hands over the keys.
    shop.dynamodb.disturb("TransactWriteItems", [Fault::Pass, Fault::Pass, Fault::Pass, Fault::DieBefore]);
    let environment = shop.environment(1, 1, 0).await;
    let buy = [&[("api_key", keypool_tests::API_KEY)], &form(&[("quantity", "12")])[..]].concat();
    assert!(environment.post(RANDOM, &buy, None).await.is_err(), "the environment died");
    assert_eq!(erase(&shop).await, [EraseOutcome::InUse], "the record of the order");
    shop.clock.advance_seconds(60 * 60);
    shop.sweep_orders().await;
    assert_eq!(erase(&shop).await, []);
    assert!(!is_in_table(&shop).await);
    let table = shop.dynamodb_call("Scan", &json!({"TableName": "keypool"})).await;
    let names = table["Items"].as_array().unwrap().iter().map(|item| item["owner_name"]["S"].as_str());
    assert_eq!(names.filter(|name| *name == Some(OwnerField::ERASED)).count(), 12, "all keys are sold");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_order_is_erased_on_request_unless_it_is_redelivered() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 2).await;
    receiver.respond(&[410]);
    let queued = form(&[("quantity", "2"), ("identifier", "31"), ("webhook_url", &receiver.url)]);
    assert_eq!(shop.post(QUEUED, &queued).await.code(), 807);
    shop.process_orders().await;
    assert_eq!(erase(&shop).await, [EraseOutcome::KeptForDeadOrder; 2], "the order, and its response");
    let (requests, orders): (Vec<OwnerRecord>, Vec<OwnerRecord>) =
        records(&shop).await.into_iter().partition(|record| matches!(record, OwnerRecord::Request(_)));
    assert_eq!((requests.len(), orders.len()), (1, 1));
    let dead = shop.store.queued_orders().await.unwrap().remove(0);
    assert_eq!(dead.state, OrderState::Dead);
    let next = dead.redelivered().unwrap();
    assert_eq!(shop.store.redeliver(&dead, &next, &entry()).await, Ok(UpdateOutcome::Updated));
    assert_eq!(erase_from(&shop, &orders[0], DeadOrders::Delete).await, EraseOutcome::ChangedMeanwhile);
    assert_eq!(erase_from(&shop, &requests[0], DeadOrders::Delete).await, EraseOutcome::InUse);

    receiver.respond(&[410]);
    shop.sweep_orders().await;
    shop.process_orders().await;
    assert_eq!(shop.store.queued_orders().await.unwrap().remove(0).state, OrderState::Dead);
    assert_eq!(erase_from(&shop, &orders[0], DeadOrders::Delete).await, EraseOutcome::Erased);
    assert_eq!(erase_from(&shop, &requests[0], DeadOrders::Delete).await, EraseOutcome::Erased);
    assert_eq!((erase(&shop).await, is_in_table(&shop).await), (vec![], false));
    let found = shop.post("get-license-keys", &[("identifier", "31")]).await;
    assert!(found.text.contains(OwnerField::ERASED), "{}", found.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_redelivered_during_an_erasure_ends_without_a_callback() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 1).await;
    let queued = form(&[("quantity", "1"), ("identifier", "31"), ("webhook_url", &receiver.url)]);
    assert_eq!(shop.post(QUEUED, &queued).await.code(), 807);
    let order = shop.store.queued_orders().await.unwrap().remove(0);
    shop.process_orders().await;
    let before = records(&shop).await;
    let delivered = shop.store.delivered_order(&order.id).await.unwrap().unwrap();
    let next = delivered.redelivered().unwrap();
    assert_eq!(shop.store.redeliver(&delivered, &next, &entry()).await, Ok(UpdateOutcome::Updated));
    for record in &before {
        let expected = match record {
            OwnerRecord::QueuedOrder(_) => EraseOutcome::ChangedMeanwhile,
            _ => EraseOutcome::Erased,
        };
        assert_eq!(erase_from(&shop, record, DeadOrders::Keep).await, expected, "{record:?}");
    }
    shop.sweep_orders().await;
    shop.process_orders().await;
    assert_eq!(receiver.callbacks().len(), 1);
    let dead = shop.store.queued_orders().await.unwrap().remove(0);
    assert_eq!(dead.state, OrderState::Dead);
    assert_eq!(dead.delivery.answer.as_deref(), Some("the response is no longer kept"));
    assert_eq!(
        erase_from(&shop, &OwnerRecord::QueuedOrder(dead), DeadOrders::Delete).await,
        EraseOutcome::Erased
    );
    assert!(!is_in_table(&shop).await);
}
