//! Checks the lookups of a shop, by GET and POST: the size of a stock and the keys of an order.

use std::collections::BTreeSet;

use keypool_domain::{Activity, ApiKey, ApiKeyRecord, ApiKeySettings, Endpoint};
use keypool_tests::{API_KEY, Shape, Shop, ShopResponse, lines_with, sample_envelope};
use serde_json::Value;

const COUNT: &str = "get-available-license-keys-count";
const LIST: &str = "get-license-keys";

async fn get(shop: &Shop, path: &str, query: &[(&str, &str)]) -> ShopResponse {
    shop.send(shop.client().get(format!("{}{path}", shop.base_url)).query(query)).await
}

async fn sell(shop: &Shop, api_key: &str, identifier: &str, quantity: &str) -> Vec<String> {
    let order =
        [("api_key", api_key), ("product_id", "1"), ("quantity", quantity), ("identifier", identifier)];
    let sold = shop.post_form("random-assign-license-keys", &order).await;
    assert_eq!(sold.code(), 803, "{}", sold.text);
    sold.license_keys()
}

async fn add_api_key(shop: &Shop, key: &str, settings: ApiKeySettings) {
    let record = ApiKeyRecord {
        hash: key.parse::<ApiKey>().unwrap().hash(),
        name: key.parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from(Endpoint::ALL),
        networks: vec![],
        valid_until: None,
        settings,
    };
    shop.add_api_key(record).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_matches_the_sample_by_each_method_and_path() {
    let shop = Shop::open().await;
    shop.stock(3, 7).await;
    for (product, code) in [("3", 741), ("77", 740), ("x", 740), ("", 740)] {
        let parameters = [("api_key", API_KEY), ("product_id", product)];
        let by_post = shop.post_form(COUNT, &parameters).await;
        let mut responses = vec![by_post];
        for path in [format!("/api/v1/{COUNT}"), format!("/v1/{COUNT}")] {
            responses.push(get(&shop, &path, &parameters).await);
        }
        let expected = sample_envelope(Endpoint::GetAvailableLicenseKeysCount, code);
        let message = serde_json::from_str::<Value>(&expected).unwrap()["response"]["message"].clone();
        for response in responses {
            assert_eq!((response.status, response.code()), (200, code), "{}", response.text);
            assert_eq!(response.response()["message"], message);
            assert_eq!(Shape::of(&response.text), Shape::of(&expected));
            assert!(shop.verifies(&response, 3).await);
        }
    }
    let count = get(&shop, &format!("/v1/{COUNT}"), &[("api_key", API_KEY), ("product_id", "3")]).await;
    assert_eq!(count.response()["count"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_exact_and_cached_for_a_minute() {
    let shop = Shop::open().await;
    shop.stock_in_bulk("1".parse().unwrap(), 10_000).await;
    let count = async || {
        let response = shop.post(COUNT, &[("product_id", "1")]).await;
        (response.response()["count"].clone(), shop.dynamodb.take_calls())
    };
    shop.post(COUNT, &[("product_id", "77")]).await;
    let _ = shop.dynamodb.take_calls();
    let (counted, calls) = count().await;
    assert_eq!(counted, 10_000);
    // Reads the product, the first 2,000 keys, and the rest in ranges. Each range ends with an incomplete
    // page.
    let queries = calls.iter().filter(|call| call.operation == "Query").count();
    assert!((5..=9).contains(&queries) && calls.len() == queries + 1, "{calls:?}");
    sell(&shop, API_KEY, "31", "3").await;
    let _ = shop.dynamodb.take_calls();
    let (remembered, calls) = count().await;
    assert_eq!((remembered, calls.len()), (10_000.into(), 0));
    shop.clock.advance_seconds(60);
    assert_eq!(count().await.0, 9_997);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_reading_endpoints_accept_get() {
    let shop = Shop::open().await;
    let generate = [("api_key", API_KEY), ("generator_id", "1"), ("quantity", "1")];
    let refused = get(&shop, "/v1/generate", &generate).await;
    assert_eq!((refused.status, refused.problem().0), (405, 405));
    let posted = shop.client().post(format!("{}/v1/generate", shop.base_url)).form(&generate);
    assert_eq!(shop.send(posted).await.code(), 815);
    // The query string of a POST is ignored.
    let request = shop.request(COUNT).query(&[("product_id", "1")]).bearer_auth(API_KEY);
    assert_eq!(shop.send(request).await.code(), 740);
    let bearer = shop.client().get(format!("{}/v1/{COUNT}?product_id=1", shop.base_url)).bearer_auth(API_KEY);
    assert_eq!(shop.send(bearer).await.code(), 741);
    let unreadable = get(&shop, &format!("/v1/{COUNT}?a=%FF"), &[]).await;
    assert_eq!(unreadable.status, 400);
    assert_eq!(get(&shop, &format!("/v1/{COUNT}"), &[]).await.code(), 100);
}

/// The access log has the route without the query string: see `access_logs_hold_no_secret`.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_string_stays_out_of_the_log() {
    let shop = Shop::open().await;
    let secret = "b7c2d5f0-5a1e-4a39-9f43-0a6f1c3a9d77";
    for key in [secret, API_KEY] {
        get(&shop, &format!("/v1/{LIST}"), &[("api_key", key), ("identifier", "order-4711-of-zoe")]).await;
    }
    assert!(lines_with(secret).is_empty() && lines_with("order-4711-of-zoe").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_an_order_are_found_page_by_page() {
    let shop = Shop::open().await;
    shop.stock(1, 60).await;
    let mut sold = sell(&shop, API_KEY, "31", "30").await;
    let other = sell(&shop, API_KEY, "310", "1").await;
    sold.extend(sell(&shop, API_KEY, "31", "1").await);
    let by_name = shop.stock_named(1, "NAMED-", 1).await.remove(0);
    let assign = [("license_key", by_name.as_str()), ("identifier", "31")];
    assert_eq!(shop.post("assign-license-key", &assign).await.code(), 800);
    sold.push(by_name);
    let page = async |page: &str, items: &str| {
        let parameters = [("identifier", "31"), ("page", page), ("items_per_page", items)];
        let response = shop.post(LIST, &parameters).await;
        assert_eq!(response.code(), 730, "{}", response.text);
        response.license_keys()
    };
    let mut found = Vec::new();
    for (number, expected) in [("1", 25), ("2", 7), ("3", 0)] {
        let keys = page(number, "").await;
        assert_eq!(keys.len(), expected);
        found.extend(keys);
    }
    assert_eq!(found.iter().collect::<BTreeSet<_>>(), sold.iter().collect());
    assert_eq!((page("1", "100").await.len(), page("2", "5").await), (32, found[5..10].to_vec()));
    let listed = shop.post(LIST, &[("identifier", "310")]).await;
    assert_eq!(listed.license_keys(), other);
    let expected = Shape::of(&sample_envelope(Endpoint::GetLicenseKeys, 730));
    let names = expected.names_of_first_row("license_keys");
    assert_eq!(Shape::of(&listed.text).names_of_first_row("license_keys"), names);
    assert!(shop.verifies(&listed, 1).await);
    for (name, value) in [("page", "0"), ("items_per_page", "101"), ("identifier", ""), ("page", "x")] {
        let response = shop.post(LIST, &[("identifier", "31"), (name, value)]).await;
        assert_eq!(response.code(), 731);
        assert!(response.response()["errors"][name].is_array(), "{}", response.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_another_api_key_is_not_found() {
    let shop = Shop::open().await;
    shop.stock(1, 9).await;
    let replaced = ApiKeySettings {
        sees_orders_of: BTreeSet::from([API_KEY.parse::<ApiKey>().unwrap().hash()]),
        ..ApiKeySettings::default()
    };
    add_api_key(&shop, "another-shop", ApiKeySettings::default()).await;
    add_api_key(&shop, "successor", replaced).await;
    add_api_key(&shop, "support", ApiKeySettings { sees_all_orders: true, ..ApiKeySettings::default() })
        .await;
    let own = sell(&shop, API_KEY, "31", "2").await;
    let other = sell(&shop, "another-shop", "31", "1").await;
    let found = async |api_key: &str| {
        let response = shop.post_form(LIST, &[("api_key", api_key), ("identifier", "31")]).await;
        response.license_keys().into_iter().collect::<BTreeSet<_>>()
    };
    let set =
        |keys: &[&Vec<String>]| keys.iter().flat_map(|keys| keys.iter().cloned()).collect::<BTreeSet<_>>();
    assert_eq!(found(API_KEY).await, set(&[&own]));
    assert_eq!(found("another-shop").await, set(&[&other]));
    assert_eq!(found("successor").await, set(&[&own]));
    assert_eq!(found("support").await, set(&[&own, &other]));
    // An order of another API key looks like an unknown one.
    let unknown = shop.post_form(LIST, &[("api_key", "another-shop"), ("identifier", "32")]).await;
    assert_eq!(unknown.license_keys(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_order_and_a_queued_one_keep_their_reference() {
    let shop = Shop::builder().with_sale_keys_max(3).open().await;
    shop.stock(1, 30).await;
    let large = sell(&shop, API_KEY, "large", "10").await;
    let webhook = ("webhook_url", "https://shop.example/?keevault-webhook=a-key");
    let order = [("product_id", "1"), ("quantity", "2"), ("identifier", "queued"), webhook];
    assert_eq!(shop.post("random-assign-license-keys-queued", &order).await.code(), 807);
    shop.process_orders().await;
    for (identifier, count) in [("large", large.len()), ("queued", 2)] {
        let found = shop.post(LIST, &[("identifier", identifier)]).await;
        assert_eq!(found.license_keys().len(), count, "{identifier}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_reference_costs_one_unit_of_its_index() {
    let shop = Shop::open().await;
    shop.stock(1, 12).await;
    sell(&shop, API_KEY, "first", "1").await;
    let mut written = Vec::new();
    for identifier in ["", "31"] {
        let _ = shop.dynamodb.take_calls();
        let order = [("product_id", "1"), ("quantity", "1"), ("identifier", identifier)];
        assert_eq!(shop.post("random-assign-license-keys", &order).await.code(), 803);
        let calls = shop.dynamodb.take_calls();
        let sale = calls.iter().find(|call| call.operation == "UpdateItem").unwrap();
        written.push((sale.table_units, sale.index_units));
    }
    assert_eq!(written, [(1.0, 1.0), (1.0, 2.0)]);
}
