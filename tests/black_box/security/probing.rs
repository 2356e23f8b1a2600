//! Callers probe keys to learn which ones exist.

use std::collections::BTreeSet;

use keypool_domain::{Activity, ApiKeyRecord, ApiKeySettings, ProductId};
use keypool_tests::{API_KEY, AwsCall, Fault, Shop, ShopResponse};

use super::record;

/// Takes all calls to AWS for a response: the operations in order, with their units. A connection that opens
/// after a pause does not count.
fn calls(shop: &Shop) -> [Vec<AwsCall>; 2] {
    let mut signatures = shop.kms.take_calls();
    signatures.retain(|call| call.operation != "GET");
    [shop.dynamodb.take_calls(), signatures]
}

fn operations(calls: &[Vec<AwsCall>; 2]) -> Vec<&str> {
    calls.iter().flatten().map(|call| call.operation.as_str()).collect()
}

/// Opens a shop whose functions have cached the generator, but no API key.
async fn shop_that_knows_no_api_key() -> Shop {
    let shop = Shop::open().await;
    assert_eq!(generate(&shop, "unknown-key").await.code(), 100);
    calls(&shop);
    shop
}

/// Opens a shop with license keys that are not for sale, each for a different reason.
async fn shop_with_keys_not_for_sale() -> (Shop, Vec<String>) {
    let shop = Shop::open().await;
    let mut keys = vec!["NO-SUCH-KEY".to_owned(), "no such key, and a much longer one ".repeat(7)];
    for (product, status) in [("1", "assigned"), ("2", "assigned"), ("1", "reserved"), ("2", "blocked")] {
        let key = format!("{status}-of-product-{product}");
        let list = serde_json::to_string(&[&key]).unwrap();
        let create = [
            ("license_keys", list.as_str()),
            ("product_id", product),
            ("activation_limit", "1"),
            ("validity", "365"),
            ("status", status),
            ("owner_name", "An owner"),
        ];
        assert_eq!(shop.post("create-license-keys", &create).await.code(), 900);
        keys.push(key);
    }
    let sold = shop.post("generate", &[("generator_id", "2"), ("quantity", "1")]).await.license_keys();
    assert_eq!(shop.post("assign-license-key", &[("license_key", &sold[0])]).await.code(), 800);
    (shop, [keys, sold].concat())
}

/// The clock is stopped, so the responses must be equal to the byte, including the signature.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_sold_license_keys_get_identical_responses() {
    let (shop, keys) = shop_with_keys_not_for_sale().await;
    let mut seen = Vec::new();
    // The first refusal of a second is signed, whatever the key.
    assert_eq!(shop.post("assign-license-key", &[("license_key", "FIRST")]).await.code(), 801);
    for key in &keys {
        calls(&shop);
        let response = shop.post("assign-license-key", &[("license_key", key)]).await;
        assert_eq!((response.code(), response.envelope_text("private_key_used").as_str()), (801, "global"));
        seen.push((response.text, calls(&shop)));
    }
    assert_eq!(operations(&seen[0].1), ["GetItem"]);
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_function_treats_unknown_and_sold_keys_alike() {
    let (shop, keys) = shop_with_keys_not_for_sale().await;
    let mut seen = Vec::new();
    for key in &keys {
        // After a minute the caches are stale.
        shop.clock.advance_seconds(60);
        calls(&shop);
        let response = shop.post("assign-license-key", &[("license_key", key)]).await;
        let mut told = response.response();
        assert!(told.as_object_mut().unwrap().remove("timestamp").is_some());
        seen.push((told, response.envelope_text("private_key_used"), response.text.len(), calls(&shop)));
    }
    assert_eq!(operations(&seen[0].3), ["BatchGetItem", "GetItem", "Sign"]);
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

async fn generate(shop: &Shop, api_key: &str) -> ShopResponse {
    shop.post_form("generate", &[("api_key", api_key), ("generator_id", "1"), ("quantity", "1")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nearly_correct_api_key_is_refused_like_any_other() {
    let shop = shop_that_knows_no_api_key().await;
    let nearly =
        [&API_KEY[..35], &format!("{API_KEY}2"), &API_KEY.replace('2', "3"), &API_KEY.to_uppercase()];
    let others = ["a-key-of-another-kind", &"k".repeat(100_000)];
    let mut seen = Vec::new();
    for api_key in nearly.into_iter().chain(others) {
        let response = generate(&shop, api_key).await;
        assert_eq!(response.code(), 100);
        seen.push((response.text, calls(&shop)));
    }
    assert_eq!(operations(&seen[0].1), ["BatchGetItem"], "this second's refusal is cached");
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

/// The contract gives each fault its own code. The work is the same.
#[tokio::test(flavor = "multi_thread")]
async fn every_refused_new_api_key_costs_the_same_calls() {
    let shop = shop_that_knows_no_api_key().await;
    let elsewhere = vec!["192.0.2.0/24".parse().unwrap()];
    shop.add_api_key(ApiKeyRecord { activity: Activity::Inactive, ..record("inactive-key") }).await;
    shop.add_api_key(ApiKeyRecord { networks: elsewhere, ..record("elsewhere-key") }).await;
    shop.add_api_key(ApiKeyRecord { capabilities: BTreeSet::new(), ..record("incapable-key") }).await;
    let mut seen = Vec::new();
    for (key, code) in
        [("unknown-key", 100), ("inactive-key", 101), ("elsewhere-key", 103), ("incapable-key", 102)]
    {
        // Each second needs another signature.
        shop.clock.advance_seconds(1);
        assert_eq!(generate(&shop, key).await.code(), code);
        seen.push(calls(&shop));
    }
    assert_eq!(operations(&seen[0]), ["BatchGetItem", "Sign"]);
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_api_key_every_refusal_is_identical() {
    let shop = Shop::open().await;
    let stock = shop.stock(1, 1).await;
    let mut seen = BTreeSet::new();
    for (endpoint, parameters) in [
        ("assign-license-key", vec![("license_key", stock[0].as_str())]),
        ("assign-license-key", vec![("license_key", "NO-SUCH-KEY")]),
        ("assign-license-key", vec![]),
        ("generate", vec![("generator_id", "1"), ("quantity", "1")]),
        ("generate", vec![("generator_id", "77"), ("quantity", "x")]),
        ("random-assign-license-keys", vec![("product_id", "1"), ("quantity", "1")]),
        ("random-assign-license-keys", vec![("product_id", "77"), ("quantity", "1")]),
    ] {
        let form = [&[("api_key", "unknown-key")], &parameters[..]].concat();
        let response = shop.post_form(endpoint, &form).await;
        assert_eq!(response.status, 401);
        seen.insert(response.text);
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(shop.status(&stock[0]).await, keypool_domain::Status::Available);
}

/// Adds an API key for product 1 only.
async fn add_scoped_key(shop: &Shop) {
    let settings = ApiKeySettings { products: BTreeSet::from([ProductId::MIN]), ..ApiKeySettings::default() };
    shop.add_api_key(ApiKeyRecord { settings, ..record(SCOPED) }).await;
}

const SCOPED: &str = "scoped-key";

/// The parameters of a request.
type Form = Vec<(&'static str, &'static str)>;

/// Requests for product 2, which exists and has keys, and for an unknown product, with the code for both.
fn hidden_and_unknown() -> Vec<(&'static str, [Form; 2], u64)> {
    let url = ("webhook_url", "https://shop.example/?keevault-webhook=a-key");
    let create = [("license_keys", r#"["NEW-1"]"#), ("status", "available")];
    let create = [&create[..], &[("activation_limit", "0"), ("validity", "0")]].concat();
    let of_product = |form: &[(&'static str, &'static str)]| {
        ["2", "77"].map(|product| [form, &[("product_id", product)]].concat())
    };
    vec![
        ("create-license-keys", of_product(&create), 805),
        ("generate", ["2", "77"].map(|id| vec![("generator_id", id), ("quantity", "1")]), 806),
        ("assign-license-key", ["KEY-2-000000", "KEY-77-000000"].map(|key| vec![("license_key", key)]), 801),
        ("random-assign-license-keys", of_product(&[("quantity", "1")]), 805),
        ("random-assign-license-keys", of_product(&[("quantity", "1"), ("generate", "1")]), 805),
        ("random-assign-license-keys-queued", of_product(&[("quantity", "1"), url]), 805),
    ]
}

async fn post_scoped(shop: &Shop, endpoint: &str, form: &[(&str, &str)]) -> ShopResponse {
    shop.post_form(endpoint, &[&[("api_key", SCOPED)], form].concat()).await
}

/// The clock is stopped, so the responses must be equal to the byte, including the signature.
#[tokio::test(flavor = "multi_thread")]
async fn an_unlisted_product_looks_unknown() {
    let shop = Shop::open().await;
    shop.stock(2, 3).await;
    add_scoped_key(&shop).await;
    for (endpoint, [hidden, unknown], code) in hidden_and_unknown() {
        // These requests fill the caches: the API key, and through the demo API key the hidden product. The
        // first refusal of a second is signed.
        assert_eq!(post_scoped(&shop, endpoint, &unknown).await.code(), code, "{endpoint}");
        if ["generate", "random-assign-license-keys"].contains(&endpoint) {
            assert_ne!(shop.post(endpoint, &hidden).await.code(), code, "{endpoint}: the product exists");
        }
        let mut seen = Vec::new();
        for form in [&unknown, &hidden, &hidden, &unknown] {
            calls(&shop);
            let response = post_scoped(&shop, endpoint, form).await;
            assert_eq!(
                (response.code(), response.envelope_text("private_key_used")),
                (code, "global".to_owned())
            );
            seen.push((response.text, calls(&shop)));
        }
        assert!(seen.iter().all(|one| *one == seen[0]), "{endpoint}: {seen:#?}");
    }
    // Three keys were in stock. The demo API key generated one and bought two.
    assert_eq!(shop.in_stock(2).await, 2);
    assert!(shop.store.license_key(&"NEW-1".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_function_does_not_reveal_a_hidden_product() {
    let shop = Shop::open().await;
    shop.stock(2, 3).await;
    add_scoped_key(&shop).await;
    for (endpoint, [hidden, unknown], code) in hidden_and_unknown() {
        let mut seen = Vec::new();
        for form in [&unknown, &hidden, &unknown] {
            // After a minute the caches are stale.
            shop.clock.advance_seconds(60);
            calls(&shop);
            let response = post_scoped(&shop, endpoint, form).await;
            assert_eq!(response.code(), code, "{endpoint}");
            let [mut table, signatures] = calls(&shop);
            // The function reads the stock beside the API key. The refusal does not wait for that.
            table.retain(|call| call.operation != "Query");
            seen.push((response.text.len(), operations(&[table, signatures]).join(" ")));
        }
        assert!(seen.iter().all(|one| *one == seen[0]), "{endpoint}: {seen:#?}");
    }
}

/// An endless draw delays neither refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_cold_refusal_waits_for_no_draw_of_a_hidden_product() {
    let shop = Shop::open().await;
    shop.stock(2, 3).await;
    add_scoped_key(&shop).await;
    for product in ["2", "77"] {
        shop.clock.advance_seconds(60);
        shop.dynamodb.disturb("Query", vec![Fault::Stall; 8]);
        let order = [("product_id", product), ("quantity", "1")];
        assert_eq!(post_scoped(&shop, "random-assign-license-keys", &order).await.code(), 805);
        shop.dynamodb.calm();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_sells_its_listed_products() {
    let shop = Shop::open().await;
    let keys = shop.stock(1, 3).await;
    add_scoped_key(&shop).await;
    for (endpoint, form, code) in [
        ("generate", vec![("generator_id", "1"), ("quantity", "1")], 815),
        ("assign-license-key", vec![("license_key", keys[0].as_str())], 800),
        ("random-assign-license-keys", vec![("product_id", "1"), ("quantity", "1")], 803),
    ] {
        let response = post_scoped(&shop, endpoint, &form).await;
        assert_eq!(response.code(), code, "{endpoint}: {}", response.text);
    }
}
