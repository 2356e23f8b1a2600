//! Sends many requests at once. Every write has a race here.

use std::collections::HashSet;

use futures_util::future::join_all;
use keypool_domain::Status;
use keypool_tests::{Shop, ShopResponse};

fn codes(responses: &[ShopResponse], code: u64) -> Vec<&ShopResponse> {
    responses.iter().filter(|response| response.code() == code).collect()
}

/// Returns the keys of all responses, each of which must occur once.
fn distinct_keys(responses: &[ShopResponse]) -> HashSet<String> {
    let all: Vec<String> = responses.iter().flat_map(ShopResponse::license_keys).collect();
    let distinct: HashSet<String> = all.iter().cloned().collect();
    assert_eq!(distinct.len(), all.len(), "a key was sold twice");
    distinct
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_buyers_share_a_stock_of_150_keys() {
    let shop = Shop::open().await;
    let stock: HashSet<String> = shop.stock(1, 150).await.into_iter().collect();
    let buyers: Vec<String> = (0..200).map(|n| format!("Buyer Number {n}")).collect();
    let buy = async |buyer: &str| {
        let order = [("product_id", "1"), ("quantity", "1"), ("owner_name", buyer)];
        shop.post("random-assign-license-keys", &order).await
    };
    let responses = join_all(buyers.iter().map(|buyer| buy(buyer))).await;

    assert_eq!(codes(&responses, 803).len(), 150);
    assert_eq!(distinct_keys(&responses), stock);
    let refused = codes(&responses, 802);
    assert_eq!(refused.len(), 50);
    for response in refused {
        assert_eq!(response.response()["available_quantity"], 0);
    }
    // The table agrees with the responses to the buyers.
    for (buyer, response) in buyers.iter().zip(&responses) {
        for key in response.license_keys() {
            let stored = shop.stored(&key).await;
            assert_eq!(stored.owner.name.unwrap().as_str(), buyer);
            assert_eq!((stored.status, stored.version), (Status::Assigned, 2));
        }
    }
    assert_eq!(shop.in_stock(1).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_buyers_of_seven_keys_share_a_stock_of_100() {
    let shop = Shop::open().await;
    shop.stock(1, 100).await;
    let buy = || shop.post("random-assign-license-keys", &[("product_id", "1"), ("quantity", "7")]);
    let responses = join_all((0..30).map(|_| buy())).await;

    let sold = codes(&responses, 803);
    assert_eq!(sold.len(), 14);
    assert!(sold.iter().all(|response| response.license_keys().len() == 7));
    assert_eq!(distinct_keys(&responses).len(), 98);
    let refused = codes(&responses, 802);
    assert_eq!(refused.len(), 16);
    for response in refused {
        assert_eq!(response.response()["available_quantity"], 2);
    }
    assert_eq!(shop.in_stock(1).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn mixed_orders_leave_no_key_behind_and_sell_none_twice() {
    let shop = Shop::open().await;
    shop.stock(1, 60).await;
    let buy = async |quantity: usize| {
        let quantity = quantity.to_string();
        shop.post("random-assign-license-keys", &[("product_id", "1"), ("quantity", &quantity)]).await
    };
    let responses = join_all((0..40).map(|n| buy(n % 5 + 1))).await;
    let sold = distinct_keys(&responses).len();
    assert_eq!(codes(&responses, 803).len() + codes(&responses, 802).len(), 40);
    assert_eq!(sold + shop.in_stock(1).await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_assignments_of_one_key_have_one_winner() {
    let shop = Shop::open().await;
    let key = shop.stock(1, 1).await.remove(0);
    let buyers: Vec<String> = (0..50).map(|n| format!("Buyer Number {n}")).collect();
    let assign = async |buyer: &str| {
        shop.post("assign-license-key", &[("license_key", &key), ("owner_name", buyer)]).await
    };
    let responses = join_all(buyers.iter().map(|buyer| assign(buyer))).await;

    assert_eq!(codes(&responses, 801).len(), 49);
    let winner = responses.iter().position(|response| response.code() == 800).unwrap();
    let stored = shop.stored(&key).await;
    assert_eq!(stored.owner.name.unwrap().as_str(), buyers[winner]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_sold_once_by_name_or_at_random() {
    for _ in 0..5 {
        let shop = Shop::open().await;
        let key = shop.stock(1, 1).await.remove(0);
        let named = [("license_key", key.as_str())];
        let by_name = shop.post("assign-license-key", &named);
        let at_random = shop.post("random-assign-license-keys", &[("product_id", "1"), ("quantity", "1")]);
        let (by_name, at_random) = tokio::join!(by_name, at_random);
        assert!(matches!((by_name.code(), at_random.code()), (800, 802) | (801, 803)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_creations_store_each_key_once() {
    let shop = Shop::open().await;
    let list = |range: std::ops::Range<usize>| {
        serde_json::to_string(&range.map(|n| format!("OVER-{n:04}")).collect::<Vec<_>>()).unwrap()
    };
    let create = async |keys: String, product_id: &str| {
        let parameters = [
            ("license_keys", keys.as_str()),
            ("product_id", product_id),
            ("activation_limit", "0"),
            ("validity", "0"),
            ("status", "available"),
        ];
        shop.post("create-license-keys", &parameters).await.response()
    };
    let (one, two) = tokio::join!(create(list(0..60), "1"), create(list(30..90), "2"));
    let count = |response: &serde_json::Value, member: &str| {
        usize::try_from(response[member].as_u64().unwrap()).unwrap()
    };
    for response in [&one, &two] {
        assert_eq!(count(response, "created") + count(response, "duplicate"), 60);
    }
    assert_eq!(count(&one, "created") + count(&two, "created"), 90);
    assert_eq!(shop.in_stock(1).await, count(&one, "created"));
    assert_eq!(shop.in_stock(2).await, count(&two, "created"));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_ids_are_all_different() {
    let shop = Shop::open().await;
    let order = [("product_id", "1"), ("quantity", "5"), ("generate", "1")];
    let responses = join_all((0..20).map(|_| shop.post("random-assign-license-keys", &order))).await;
    let rows = responses
        .iter()
        .flat_map(|response| response.response()["license_keys"].as_array().cloned().unwrap_or_default());
    let ids: Vec<u64> = rows.map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), 100);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 100);
    assert_eq!(distinct_keys(&responses).len(), 100);
}
