//! Changes one key at the request of a shop.

use std::time::Duration;

use keypool_domain::{Clock as _, Endpoint, Status, Timestamp};
use keypool_tests::{API_KEY, Fault, Shape, Shop, sample, sample_envelope};
use serde_json::json;

const UPDATE: &str = "update-license-key";

/// Opens a shop with one key that Ada bought.
async fn shop_with_a_sold_key() -> (Shop, String) {
    let shop = Shop::open().await;
    shop.stock(1, 1).await;
    let order = [("product_id", "1"), ("quantity", "1"), ("owner_name", "Ada"), ("identifier", "31")];
    let key = shop.post("random-assign-license-keys", &order).await.license_keys().remove(0);
    (shop, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_950_as_in_the_sample() {
    let shop = Shop::open().await;
    let sample = sample(Endpoint::UpdateLicenseKey);
    let request = &sample["example_request"];
    let key = request["license_key"].as_str().unwrap();
    let create = json!({
        "api_key": request["api_key"], "license_keys": [key], "product_id": "1", "activation_limit": "5",
        "validity": "365", "status": "available",
    });
    assert_eq!(shop.post_json("create-license-keys", &create).await.code(), 900);
    let updated = shop.post_json(UPDATE, request).await;
    assert_eq!(updated.response()["message"], "License keys updated");
    assert_eq!(Shape::of(&updated.text), Shape::of(&sample_envelope(Endpoint::UpdateLicenseKey, 950)));
    assert!(shop.verifies(&updated, 1).await);
    let stored = shop.stored(key).await.to_json();
    for name in ["license_key", "owner_name", "owner_email", "status"] {
        assert_eq!(stored[name], request[name], "{name}");
    }
    assert_eq!((&stored["activation_limit"], &stored["validity"]), (&json!(0), &json!(0)));
    assert_eq!(stored["assigned_at"], "2024-01-08T21:17:32.000000Z");
    assert_eq!(shop.in_stock(1).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn omitted_values_stay_and_the_audit_trail_has_the_change() {
    let (shop, key) = shop_with_a_sold_key().await;
    let before = shop.stored(&key).await;
    shop.clock.advance_seconds(1);
    let change = [("license_key", key.as_str()), ("owner_email", "ada@example.com"), ("validity", "")];
    assert_eq!(shop.post(UPDATE, &change).await.code(), 950);
    let after = shop.stored(&key).await;
    let mut expected = before.clone();
    expected.owner.email = "ada@example.com".parse().ok();
    (expected.version, expected.updated_at) = (before.version + 1, shop.clock.now());
    assert_eq!(after, expected);
    let (since, now) = (before.created_at, shop.clock.now());
    let entries = shop.store.audit_trail(since, now, 10, |_| true).await.unwrap();
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((entry.action.as_str(), entry.subject.as_str()), ("keys.update", key.as_str()));
    assert!(entry.principal.as_str().starts_with("api-key:"), "{}", entry.principal);
    assert_eq!([&entry.before, &entry.after], [&Some(before.to_json()), &Some(after.to_json())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_update_is_951_or_952() {
    let (shop, key) = shop_with_a_sold_key().await;
    for (parameters, faulty) in [
        (vec![("license_key", key.as_str()), ("status", "available")], vec!["status"]),
        (vec![("license_key", key.as_str()), ("product_id", "2")], vec!["product_id"]),
        (
            vec![("license_key", ""), ("status", "sold"), ("validity", "-1")],
            vec!["license_key", "status", "validity"],
        ),
        (vec![("license_key", key.as_str()), ("take_from_owner", "yes")], vec!["take_from_owner"]),
        (vec![("license_key", key.as_str()), ("assigned_at", "yesterday")], vec!["assigned_at"]),
    ] {
        let response = shop.post(UPDATE, &parameters).await;
        assert_eq!(response.code(), 951, "{}", response.text);
        let errors = response.response()["errors"].as_object().unwrap().clone();
        let mut names: Vec<&str> = errors.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, faulty);
    }
    assert_eq!(shop.post(UPDATE, &[("license_key", "no such key")]).await.code(), 952);
    assert_eq!(shop.stored(&key).await.version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_taken_from_its_owner_and_sold_again() {
    let (shop, key) = shop_with_a_sold_key().await;
    let back = [("license_key", key.as_str()), ("status", "available"), ("take_from_owner", "1")];
    assert_eq!(shop.post(UPDATE, &back).await.code(), 950);
    let stored = shop.stored(&key).await;
    assert_eq!((stored.status, stored.owner.name, stored.order), (Status::Available, None, None));
    let order = [("product_id", "1"), ("quantity", "1")];
    assert_eq!(shop.post("random-assign-license-keys", &order).await.license_keys(), [key]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_an_order_holds_is_409() {
    let shop = Shop::open().await;
    shop.stock(2, 5).await;
    let held = shop.dead_order(2, 3).await;
    let change = [("license_key", held[0].as_str()), ("status", "blocked")];
    let refused = shop.post(UPDATE, &change).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    shop.clock.advance_seconds(600);
    shop.sweep_orders().await;
    assert_eq!(shop.post(UPDATE, &change).await.code(), 950);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_update_gets_the_same_bytes_and_changes_once() {
    let (shop, key) = shop_with_a_sold_key().await;
    let change = [("license_key", key.as_str()), ("owner_name", "Ada Lovelace")];
    let first = shop.post_once(UPDATE, "k", &change).await;
    assert_eq!(first.code(), 950);
    let version = shop.stored(&key).await.version;
    shop.clock.advance_seconds(5);
    assert_eq!(shop.post_once(UPDATE, "k", &change).await.text, first.text);
    assert_eq!(shop.stored(&key).await.version, version);
    let other = [("license_key", key.as_str()), ("owner_name", "Charles")];
    assert_eq!(shop.post_once(UPDATE, "k", &other).await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_concurrent_updates_each_change_the_key() {
    let (shop, key) = shop_with_a_sold_key().await;
    let before = shop.stored(&key).await.version;
    let limits: Vec<String> = (1..=20).map(|limit| limit.to_string()).collect();
    let updates = limits.iter().map(async |limit| {
        let change = [("license_key", key.as_str()), ("activation_limit", limit.as_str())];
        shop.post(UPDATE, &change).await
    });
    let responses = futures_util::future::join_all(updates).await;
    let done = responses.iter().filter(|response| response.status == 200 && response.code() == 950).count();
    // A request with too many conflicts gets a 503 and changes nothing.
    assert!(responses.iter().all(|response| response.status == 503 || response.code() == 950));
    assert_eq!(shop.stored(&key).await.version, before + u64::try_from(done).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_and_a_sale_of_one_key_do_not_mix() {
    for _ in 0..20 {
        let shop = Shop::open().await;
        let key = shop.stock(1, 1).await.remove(0);
        let block = [("license_key", key.as_str()), ("status", "blocked")];
        let order = [("product_id", "1"), ("quantity", "1"), ("owner_name", "Ada")];
        let (updated, sold) =
            tokio::join!(shop.post(UPDATE, &block), shop.post("random-assign-license-keys", &order));
        assert_eq!(updated.code(), 950);
        let stored = shop.stored(&key).await;
        // A key that is blocked after its sale keeps its owner.
        assert_eq!(stored.status, Status::Blocked);
        assert_eq!(stored.owner.name.is_some(), sold.code() == 803, "{}", sold.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_an_update_is_resolved() {
    let (shop, key) = shop_with_a_sold_key().await;
    shop.dynamodb.disturb("TransactWriteItems", vec![Fault::LoseResponse; 8]);
    let change = [("license_key", key.as_str()), ("owner_name", "Ada Lovelace")];
    assert_eq!(shop.post(UPDATE, &change).await.code(), 950);
    shop.dynamodb.calm();
    shop.dynamodb.disturb("TransactWriteItems", vec![Fault::LoseRequest; 8]);
    let change = [("license_key", key.as_str()), ("owner_name", "Charles")];
    let unknown = shop.post(UPDATE, &change).await;
    assert_eq!(unknown.status, 503, "{}", unknown.text);
    assert_eq!(unknown.json()["type"], "/problems/outcome-unknown");
    assert_eq!(shop.stored(&key).await.owner.name.unwrap().as_str(), "Ada Lovelace");
}

/// A function that dies at any call has changed the key and the audit trail, or neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_call_keeps_key_and_audit_trail_consistent() {
    let (shop, key) = shop_with_a_sold_key().await;
    let [change, undo] = ["Ada Lovelace", "Ada"]
        .map(|name| [("api_key", API_KEY), ("license_key", key.as_str()), ("owner_name", name)]);
    let environment = shop.environment(1, 1, 0).await;
    let _ = (shop.dynamodb.take_calls(), shop.kms.take_calls());
    assert_eq!(environment.post(UPDATE, &change, None).await.unwrap().code(), 950);
    let (calls, signatures) = (shop.dynamodb.take_operations(), shop.kms.take_operations());
    assert!(calls.contains(&"TransactWriteItems".to_owned()), "{calls:?}");
    assert_eq!(environment.post(UPDATE, &undo, None).await.unwrap().code(), 950);

    let mut number = 1;
    for (operation, proxy) in calls
        .iter()
        .map(|operation| (operation, &shop.dynamodb))
        .chain(signatures.iter().map(|operation| (operation, &shop.kms)))
    {
        for fault in [Fault::DieBefore, Fault::DieAfter] {
            let noted = entries(&shop).await;
            number += 1;
            let environment = shop.environment(number, u64::from(number), 0).await;
            proxy.disturb(operation, [fault.clone()]);
            assert!(
                environment.post(UPDATE, &change, None).await.is_err(),
                "{operation}, {fault:?}: the environment died"
            );
            let is_changed = shop.stored(&key).await.owner.name.unwrap().as_str() == "Ada Lovelace";
            assert_eq!(entries(&shop).await - noted, usize::from(is_changed), "{operation}, {fault:?}");
            // The shop repeats the request.
            number += 1;
            let environment = shop.environment(number, u64::from(number), 0).await;
            let again = environment.post(UPDATE, &change, None).await.unwrap();
            assert_eq!(again.code(), 950, "{operation}, {fault:?}: {}", again.text);
            assert_eq!(shop.stored(&key).await.owner.name.unwrap().as_str(), "Ada Lovelace");
            let undone = environment.post(UPDATE, &undo, None).await.unwrap();
            assert_eq!(undone.code(), 950, "{operation}, {fault:?}: {}", undone.text);
        }
    }
}

/// Returns the number of changes in the audit trail.
async fn entries(shop: &Shop) -> usize {
    let now = shop.clock.now();
    let since = Timestamp::from_unix_microseconds(now.unix_microseconds() - 3_600_000_000).unwrap();
    let now = now.after(Duration::from_hours(1));
    shop.store.audit_trail(since, now, 1_000, |_| true).await.unwrap().len()
}
