//! Replaces a sold key.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use keypool_domain::{Clock as _, Endpoint, Status};
use keypool_function::Window;
use keypool_store::StockSize;
use keypool_tests::{Fault, Shop, ShopResponse};
use lambda_http::{Body, http};
use serde_json::json;

const REPLACE: &str = "replace-license-key";

/// Sells one key of product 1 to Ada, under order 31.
async fn sell(shop: &Shop) -> String {
    let owner = [("owner_name", "Ada"), ("owner_email", "ada@example.com")];
    let order = [("product_id", "1"), ("quantity", "1"), ("identifier", "31")];
    let sold = shop.post("random-assign-license-keys", &[order.as_slice(), &owner].concat()).await;
    sold.license_keys().remove(0)
}

async fn replace(shop: &Shop, key: &str) -> ShopResponse {
    shop.post(REPLACE, &[("license_key", key), ("reason", "does not activate")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_gets_another_key_under_the_same_order() {
    let shop = Shop::open().await;
    shop.stock(1, 9).await;
    let old = sell(&shop).await;
    let before = shop.stored(&old).await;
    shop.clock.advance_seconds(1);
    let response = replace(&shop, &old).await;
    assert_eq!(response.code(), 860, "{}", response.text);
    assert!(shop.verifies(&response, 1).await);
    let row = response.response()["license_keys"][0].clone();
    assert_eq!((&row["owner_name"], &row["owner_email"]), (&"Ada".into(), &"ada@example.com".into()));
    assert_eq!(row.as_object().unwrap().len(), 13);
    let new = response.license_keys().remove(0);
    assert_ne!(new, old);
    let (blocked, stored) = (shop.stored(&old).await, shop.stored(&new).await);
    assert_eq!((blocked.status, &blocked.owner), (Status::Blocked, &before.owner));
    assert_eq!(blocked.replaced_by.as_ref().unwrap().as_str(), new);
    assert_eq!(
        (stored.status, &stored.owner, &stored.order),
        (Status::Assigned, &before.owner, &before.order)
    );
    let found = shop.post("get-license-keys", &[("identifier", "31")]).await.license_keys();
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([old.clone(), new]));
    let entries = shop.store.audit_trail(before.created_at, shop.clock.now(), 10, |_| true).await.unwrap();
    assert_eq!((entries[0].action.as_str(), entries[0].subject.as_str()), ("keys.replace", old.as_str()));
    assert_eq!(entries[0].after.as_ref().unwrap()["reason"], "does not activate");
    assert_eq!(shop.in_stock(1).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_replaced_get_the_same_862() {
    let shop = Shop::open().await;
    let stock = shop.stock(1, 9).await;
    let old = sell(&shop).await;
    let new = replace(&shop, &old).await.license_keys().remove(0);
    let available = stock.iter().find(|key| **key != old && **key != new).unwrap();
    let mut seen = BTreeSet::new();
    for key in [old.as_str(), "no such key", available] {
        let response = replace(&shop, key).await;
        assert_eq!(response.code(), 862, "{}", response.text);
        seen.insert(response.text);
    }
    assert_eq!(seen.len(), 1);
    assert_eq!(replace(&shop, &new).await.code(), 860, "a successor can be replaced");
    assert_eq!(replace(&shop, &new).await.code(), 862);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_861_and_an_empty_stock_is_802() {
    let shop = Shop::open().await;
    shop.stock(1, 1).await;
    let old = sell(&shop).await;
    for (parameters, faulty) in [
        (vec![], vec!["license_key", "reason"]),
        (vec![("license_key", old.as_str()), ("reason", " ")], vec!["reason"]),
        (vec![("license_key", old.as_str()), ("reason", "r"), ("generate", "2")], vec!["generate"]),
    ] {
        let response = shop.post(REPLACE, &parameters).await;
        assert_eq!(response.code(), 861, "{}", response.text);
        let errors = response.response()["errors"].as_object().unwrap().clone();
        assert_eq!(errors.keys().map(String::as_str).collect::<Vec<_>>(), faulty);
    }
    let short = replace(&shop, &old).await;
    assert_eq!((short.code(), &short.response()["available_quantity"]), (802, &0.into()));
    assert_eq!(shop.stored(&old).await.status, Status::Assigned);
    let fresh = [("license_key", old.as_str()), ("reason", "r"), ("generate", "1")];
    let response = shop.post(REPLACE, &fresh).await;
    assert_eq!(response.code(), 860, "{}", response.text);
    let new = response.license_keys().remove(0);
    assert_eq!(shop.stored(&new).await.owner.name.unwrap().as_str(), "Ada");
    assert_eq!(shop.stored(&old).await.status, Status::Blocked);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_concurrent_replacements_make_one() {
    for stock in [5, 60] {
        let shop = Shop::open().await;
        shop.stock(1, stock).await;
        let old = sell(&shop).await;
        let responses = join_all((0..20).map(|_| replace(&shop, &old))).await;
        let replaced: Vec<_> = responses.iter().filter(|response| response.code() == 860).collect();
        assert_eq!(replaced.len(), 1);
        let others = responses.iter().filter(|response| response.code() != 860);
        // A request that ran out of time changed nothing.
        for other in others {
            assert!([862, 802].contains(&other.code()) || other.status == 503, "{}", other.text);
        }
        assert_eq!(shop.in_stock(1).await, stock - 2);
        let successor = replaced[0].license_keys().remove(0);
        assert_eq!(shop.stored(&old).await.replaced_by.unwrap().as_str(), successor);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_and_a_block_do_not_both_change_the_key() {
    for _ in 0..20 {
        let shop = Shop::open().await;
        shop.stock(1, 5).await;
        let old = sell(&shop).await;
        let block = [("license_key", old.as_str()), ("status", "blocked")];
        let (replaced, blocked) = tokio::join!(replace(&shop, &old), shop.post("update-license-key", &block));
        assert_eq!(blocked.code(), 950);
        let stored = shop.stored(&old).await;
        assert_eq!(stored.status, Status::Blocked);
        assert_eq!(stored.replaced_by.is_some(), replaced.code() == 860, "{}", replaced.text);
        assert_eq!(shop.in_stock(1).await, if replaced.code() == 860 { 3 } else { 4 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_replacement_gets_the_same_bytes() {
    let shop = Shop::open().await;
    shop.stock(1, 9).await;
    let old = sell(&shop).await;
    let request = [("license_key", old.as_str()), ("reason", "lost")];
    let first = shop.post_once(REPLACE, "k", &request).await;
    assert_eq!(first.code(), 860, "{}", first.text);
    shop.clock.advance_seconds(5);
    assert_eq!(shop.post_once(REPLACE, "k", &request).await.text, first.text);
    assert_eq!(shop.in_stock(1).await, 7);
    let other = [("license_key", old.as_str()), ("reason", "another")];
    assert_eq!(shop.post_once(REPLACE, "k", &other).await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_replacement_is_resolved() {
    let unknown = (503, "/problems/outcome-unknown".to_owned());
    for (fault, times, expected) in [
        (Fault::LoseResponse, 6, None),
        (Fault::LoseRequest, 6, None),
        (Fault::LoseRequest, 500, Some(unknown)),
    ] {
        for (generate, stock) in [("0", 5), ("1", 1)] {
            let shop = Shop::builder().with_checkout_timeouts().open().await;
            shop.stock(1, stock).await;
            let old = sell(&shop).await;
            shop.dynamodb.disturb("TransactWriteItems", vec![fault.clone(); times]);
            let request = [("license_key", old.as_str()), ("reason", "lost"), ("generate", generate)];
            let response = shop.post(REPLACE, &request).await;
            shop.dynamodb.calm();
            assert_eq!(
                shop.stored(&old).await.replaced_by.is_some(),
                expected.is_none(),
                "{}",
                response.text
            );
            match &expected {
                Some(problem) => assert_eq!(response.problem(), *problem),
                None => assert_eq!(response.code(), 860, "{}", response.text),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_is_read_draw_sign_write() {
    let shop = Shop::open().await;
    shop.stock_in_bulk("1".parse().unwrap(), 1_000).await;
    let sold = [sell(&shop).await, sell(&shop).await];
    assert_eq!(replace(&shop, &sold[0]).await.code(), 860);
    let _ = (shop.dynamodb.take_calls(), shop.kms.take_calls());
    assert_eq!(replace(&shop, &sold[1]).await.code(), 860);
    let calls = shop.dynamodb.take_calls();
    let operations: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert_eq!(operations.iter().filter(|operation| **operation != "QueryLine").count(), 3, "{operations:?}");
    assert_eq!(shop.kms.take_calls().len(), 1);
}

/// DynamoDB refuses a transaction with two writes of one key.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_index_does_not_replace_a_key_with_itself() {
    let shop = Shop::open().await;
    shop.stock(1, 1).await;
    let stock = shop.query_stock().await;
    let old = sell(&shop).await;
    for (generate, code) in [("0", 802), ("1", 860)] {
        shop.dynamodb.disturb("Query", vec![Fault::Answer(stock.clone()); 2]);
        let request = [("license_key", old.as_str()), ("reason", "lost"), ("generate", generate)];
        let response = shop.post(REPLACE, &request).await;
        shop.dynamodb.calm();
        assert_eq!(response.code(), code, "{}", response.text);
    }
}

/// An environment keeps keys of a draw for later sales, while others sell them.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_draw_does_not_replace_a_key_with_itself() {
    let shop = Shop::open().await;
    let keys = vec![shop.stored(&shop.stock(1, 1).await[0]).await];
    let old = sell(&shop).await;
    let desk = Arc::new(shop.desk(Endpoint::ReplaceLicenseKey));
    let (stock, drawn_at) = (StockSize::Estimate(10_000), shop.clock.now());
    desk.keep_window("1".parse().unwrap(), Window { keys, stock, drawn_at });
    let body = json!({"api_key": keypool_tests::API_KEY, "license_key": old, "reason": "lost"}).to_string();
    let request = http::Request::post(Endpoint::ReplaceLicenseKey.path())
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap();
    let response = replace_license_key::handle(desk, request).await;
    let Body::Text(text) = response.body() else { panic!("{response:?}") };
    assert!(text.contains("\"code\":802"), "{text}");
}
