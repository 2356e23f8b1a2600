//! API keys: codes 100 to 103, their order, and the cache.

use std::collections::BTreeSet;

use keypool_domain::{Activity, ApiKey, ApiKeyRecord, Clock, Endpoint, Timestamp};
use keypool_tests::{API_KEY, Shop};
use serde_json::json;

const ENDPOINTS: [&str; 4] =
    ["create-license-keys", "generate", "assign-license-key", "random-assign-license-keys"];

fn record(key: &str) -> ApiKeyRecord {
    ApiKeyRecord {
        hash: key.parse::<ApiKey>().unwrap().hash(),
        name: "a test's".parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from(Endpoint::ALL),
        networks: vec![],
        valid_until: None,
        settings: keypool_domain::ApiKeySettings::default(),
    }
}

async fn expect(shop: &Shop, key: &str, endpoint: &str, code: u64) {
    let response = shop.post_form(endpoint, &[("api_key", key)]).await;
    assert_eq!(response.code(), code, "{endpoint}: {}", response.text);
    if code < 200 {
        assert_eq!(response.status, 401);
        assert_eq!(response.envelope_text("private_key_used"), "global");
        assert!(shop.verifies(&response, 1).await, "a refusal is signed");
        assert_eq!(response.response().as_object().unwrap().len(), 3, "code, message, timestamp");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_100_without_a_known_api_key() {
    let shop = Shop::open().await;
    for endpoint in ENDPOINTS {
        for key in ["", "unknown-key", "2964C3C9-0B5D-4D89-B3AC-4668F30BC492", " 2964c3c9"] {
            expect(&shop, key, endpoint, 100).await;
        }
        let response = shop.post_form(endpoint, &[]).await;
        assert_eq!((response.status, response.code()), (401, 100));
        assert_eq!(response.response()["message"], "Invalid API Key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_string_is_ignored() {
    let shop = Shop::open().await;
    let request = shop.request("generate").query(&[("api_key", API_KEY)]);
    let response = shop.send(request.form(&[("generator_id", "1"), ("quantity", "1")])).await;
    assert_eq!(response.code(), 100);
    let request = shop.request("generate").query(&[("quantity", "5"), ("generator_id", "1")]);
    let response = shop.send(request.bearer_auth(API_KEY)).await;
    assert_eq!(response.code(), 816, "parameters in the query string are ignored");
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_in_header_and_body_must_match() {
    let shop = Shop::open().await;
    let parameters = [("generator_id", "1"), ("quantity", "1")];
    let sent = shop.send(shop.request("generate").bearer_auth(API_KEY).form(&parameters)).await;
    assert_eq!(sent.code(), 815);
    let both = [&parameters[..], &[("api_key", API_KEY)]].concat();
    let sent = shop.send(shop.request("generate").bearer_auth(API_KEY).form(&both)).await;
    assert_eq!(sent.code(), 815);
    let other = "00000000-0b5d-4d89-b3ac-4668f30bc492";
    shop.add_api_key(record(other)).await;
    let sent = shop.send(shop.request("generate").bearer_auth(other).form(&both)).await;
    assert_eq!((sent.status, sent.code()), (401, 100), "both API keys are valid, but they differ");
    let sent = shop.send(shop.request("generate").header("AUTHORIZATION", "Basic QTpC").form(&both)).await;
    assert_eq!(sent.code(), 815, "another scheme is ignored");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_101_for_keys_that_are_inactive_or_expired() {
    let shop = Shop::open().await;
    let now = shop.clock.now();
    let later =
        |seconds: i64| Timestamp::from_unix_microseconds(now.unix_microseconds() + seconds * 1_000_000);
    shop.add_api_key(ApiKeyRecord { activity: Activity::Inactive, ..record("inactive-key") }).await;
    shop.add_api_key(ApiKeyRecord { valid_until: Some(now), ..record("expired-key") }).await;
    shop.add_api_key(ApiKeyRecord { valid_until: later(30), ..record("expiring-key") }).await;
    for endpoint in ENDPOINTS {
        expect(&shop, "inactive-key", endpoint, 101).await;
        expect(&shop, "expired-key", endpoint, 101).await;
    }
    expect(&shop, "expiring-key", "generate", 816).await;
    shop.clock.advance_seconds(30);
    expect(&shop, "expiring-key", "generate", 101).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_102_without_the_capability() {
    let shop = Shop::open().await;
    for endpoint in Endpoint::ALL {
        let key = format!("only-{endpoint}");
        let record = ApiKeyRecord { capabilities: BTreeSet::from([endpoint]), ..record(&key) };
        shop.add_api_key(record).await;
        for (called, faulty) in ENDPOINTS.into_iter().zip([901, 816, 804, 804]) {
            let code = if called == endpoint.name() { faulty } else { 102 };
            expect(&shop, &key, called, code).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_103_ignores_the_forwarded_address() {
    let shop = Shop::open().await;
    let elsewhere = vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    shop.add_api_key(ApiKeyRecord { networks: elsewhere, ..record("elsewhere-key") }).await;
    let here = vec!["192.0.2.0/24".parse().unwrap(), "127.0.0.0/8".parse().unwrap()];
    shop.add_api_key(ApiKeyRecord { networks: here, ..record("loopback-key") }).await;
    for endpoint in ENDPOINTS {
        expect(&shop, "elsewhere-key", endpoint, 103).await;
    }
    let request = shop.request("generate").header("X-Forwarded-For", "192.0.2.7");
    let response = shop.send(request.form(&[("api_key", "elsewhere-key")])).await;
    assert_eq!((response.status, response.code()), (401, 103));
    expect(&shop, "loopback-key", "generate", 816).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_run_in_order_100_101_103_102_then_parameters() {
    let shop = Shop::open().await;
    let networks = vec!["192.0.2.0/24".parse().unwrap()];
    let nothing = BTreeSet::new();
    let all = ApiKeyRecord {
        activity: Activity::Inactive,
        capabilities: nothing.clone(),
        networks: networks.clone(),
        ..record("all-wrong")
    };
    shop.add_api_key(all).await;
    shop.add_api_key(ApiKeyRecord { capabilities: nothing.clone(), networks, ..record("two-wrong") }).await;
    shop.add_api_key(ApiKeyRecord { capabilities: nothing, ..record("one-wrong") }).await;
    for (key, code) in [("none-at-all", 100), ("all-wrong", 101), ("two-wrong", 103), ("one-wrong", 102)] {
        expect(&shop, key, "random-assign-license-keys", code).await;
    }
    let unreadable = shop.request("generate").header("content-type", "application/json").body("{");
    assert_eq!(shop.send(unreadable).await.status, 400, "the body is parsed first");
    let response = shop.post("random-assign-license-keys", &[("product_id", "77")]).await;
    assert_eq!(response.code(), 804, "parameters are checked before the product");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_cached_for_sixty_seconds() {
    let shop = Shop::open().await;
    let parameters = [("product_id", "1"), ("quantity", "1")];
    let reads = async || {
        shop.post("random-assign-license-keys", &parameters).await;
        shop.dynamodb.take_operations().into_iter().filter(|name| name == "BatchGetItem").count()
    };
    assert_eq!(reads().await, 1, "API key and product in one call");
    assert_eq!(reads().await, 0);
    shop.clock.advance_seconds(59);
    assert_eq!(reads().await, 0);
    shop.clock.advance_seconds(1);
    assert_eq!(reads().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_api_key_is_not_cached() {
    let shop = Shop::open().await;
    expect(&shop, "made-later", "generate", 100).await;
    shop.add_api_key(record("made-later")).await;
    expect(&shop, "made-later", "generate", 816).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_holds_only_the_hash_of_an_api_key() {
    let shop = Shop::open().await;
    let table = shop.dynamodb_call("Scan", &json!({"TableName": "keypool"})).await.to_string();
    assert!(table.contains(&API_KEY.parse::<ApiKey>().unwrap().hash().to_string()));
    assert!(!table.contains(API_KEY));
}
