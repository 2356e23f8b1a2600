//! Places orders for more keys than one transaction takes. Each gets all of its keys or none, beside other
//! buyers and under faults.

use std::collections::HashSet;

use futures_util::future::join_all;
use keypool_domain::{Clock as _, Status, Timestamp};
use keypool_store::{Recorded, SaleOutcome, Swept};
use keypool_tests::{Fault, Shop, ShopResponse};
use serde_json::json;

async fn order(shop: &Shop, product_id: &str, quantity: usize, generate: &str) -> ShopResponse {
    let quantity = quantity.to_string();
    let order = [
        ("product_id", product_id),
        ("quantity", &quantity),
        ("generate", generate),
        ("owner_name", "Large Buyer"),
    ];
    shop.post("random-assign-license-keys", &order).await
}

/// Counts the available, assigned and reserved keys, and the records of open requests.
async fn counts(shop: &Shop) -> (usize, usize, usize, usize) {
    let mut items = Vec::new();
    let mut request = json!({"TableName": "keypool"});
    loop {
        let page = shop.dynamodb_call("Scan", &request).await;
        items.extend(page["Items"].as_array().unwrap().clone());
        if page["LastEvaluatedKey"].is_null() {
            break;
        }
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"].clone();
    }
    let keys = |status: &str| {
        items.iter().filter(|item| item["sk"]["S"] == "KEY" && item["status"]["S"] == status).count()
    };
    let open = items.iter().filter(|item| {
        item["pk"]["S"] == "REQUESTS"
            || item["sk"]["S"].as_str().unwrap().starts_with("PART#")
            || item["sk"]["S"] == "IDEMPOTENCY" && item["state"]["S"] == "open"
    });
    (keys("available"), keys("assigned"), keys("reserved"), open.count())
}

async fn expect_whole(shop: &Shop, response: &ShopResponse, quantity: usize) {
    assert_eq!(response.code(), 803, "{:.300}", response.text);
    let rows = response.response()["license_keys"].as_array().unwrap().clone();
    let distinct: HashSet<String> = response.license_keys().into_iter().collect();
    assert_eq!((rows.len(), distinct.len()), (quantity, quantity));
    for row in rows {
        let stored = shop.stored(row["license_key"].as_str().unwrap()).await;
        assert_eq!(stored.status, Status::Assigned);
        assert_eq!(stored.owner.name.unwrap().as_str(), "Large Buyer");
        assert_eq!(stored.id.get(), row["id"].as_u64().unwrap());
        assert_eq!(stored.assigned_at.unwrap().to_string(), row["assigned_at"].as_str().unwrap());
        assert_eq!(stored.updated_at, stored.assigned_at.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_to_a_thousand_keys_are_one_order() {
    let shop = Shop::open().await;
    shop.stock(1, 1_000).await;
    shop.stock_named(1, "MORE-", 400).await;
    let mut left = 1_400;
    for quantity in [100, 251, 1_000] {
        let response = order(&shop, "1", quantity, "0").await;
        expect_whole(&shop, &response, quantity).await;
        assert!(shop.verifies(&response, 1).await);
        left -= quantity;
        assert_eq!(counts(&shop).await, (left, 1_400 - left, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_order_on_a_small_stock_is_802_and_leaves_no_trace() {
    let shop = Shop::open().await;
    shop.stock(1, 150).await;
    let _ = shop.dynamodb.take_calls();
    let refused = order(&shop, "1", 151, "0").await;
    assert_eq!((refused.code(), refused.response()["available_quantity"].as_u64()), (802, Some(150)));
    let calls = shop.dynamodb.take_operations();
    assert!(calls.iter().all(|call| call == "Query" || call == "BatchGetItem"), "{calls:?}");
    assert_eq!(counts(&shop).await, (150, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_order_is_generated_when_stock_is_short() {
    let shop = Shop::open().await;
    shop.stock(2, 100).await;
    let response = order(&shop, "2", 300, "1").await;
    expect_whole(&shop, &response, 300).await;
    assert!(shop.verifies(&response, 2).await);
    assert_eq!(counts(&shop).await, (100, 300, 0, 0));
    assert_eq!(order(&shop, "3", 300, "1").await.code(), 806);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_orders_on_a_short_stock_do_not_block_each_other() {
    for (stock, quantity, sold) in [(150, 100, 1), (350, 110, 3)] {
        let shop = Shop::open().await;
        shop.stock(1, stock).await;
        let responses = join_all((0..8).map(|_| order(&shop, "1", quantity, "0"))).await;
        let (bought, refused): (Vec<_>, Vec<_>) =
            responses.iter().partition(|response| response.code() == 803);
        assert_eq!(bought.len(), sold, "as many orders as the stock can fill");
        let left = stock - sold * quantity;
        for response in refused {
            assert_eq!(response.code(), 802, "{}", response.text);
            assert_eq!(
                response.response()["available_quantity"],
                left,
                "the reported stock contains no half order"
            );
        }
        let keys: HashSet<String> = bought.iter().flat_map(|response| response.license_keys()).collect();
        assert_eq!(keys.len(), sold * quantity);
        assert_eq!(counts(&shop).await, (left, sold * quantity, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_small_orders_share_a_stock() {
    let shop = Shop::open().await;
    shop.stock(1, 400).await;
    let quantities = [120, 1, 3, 150, 7, 1, 40, 110, 2, 1, 99, 130];
    let responses = join_all(quantities.map(|quantity| order(&shop, "1", quantity, "0"))).await;
    let mut sold = HashSet::new();
    for (response, quantity) in responses.iter().zip(quantities) {
        match response.code() {
            803 => {
                assert_eq!(response.license_keys().len(), quantity);
                for key in response.license_keys() {
                    assert!(sold.insert(key), "a key was sold twice");
                }
            }
            code => assert_eq!(code, 802, "{}", response.text),
        }
    }
    assert_eq!(counts(&shop).await, (400 - sold.len(), sold.len(), 0, 0));
    assert!(sold.len() > 250, "{}", sold.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_in_need_puts_keys_of_a_dead_order_back() {
    for quantity in [5, 120] {
        let shop = Shop::open().await;
        shop.stock(1, 120).await;
        shop.dead_order(1, 119).await;
        assert_eq!(counts(&shop).await, (1, 0, 119, 4));
        let response = order(&shop, "1", quantity, "0").await;
        expect_whole(&shop, &response, quantity).await;
        assert_eq!(counts(&shop).await, (120 - quantity, quantity, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_undoes_abandoned_orders_only() {
    let shop = Shop::open().await;
    shop.stock(1, 300).await;
    // The sweep runs repeatedly beside a live order and beside itself.
    let sweeping = async {
        for _ in 0..20 {
            tokio::join!(shop.sweep_orders(), shop.sweep_orders());
        }
    };
    let (response, ()) = tokio::join!(order(&shop, "1", 200, "0"), sweeping);
    expect_whole(&shop, &response, 200).await;
    shop.dead_order(1, 60).await;
    shop.dead_order(1, 30).await;
    assert_eq!(counts(&shop).await, (10, 200, 90, 6));
    let now = keypool_domain::Clock::now(&*shop.clock);
    let (one, other) = tokio::join!(shop.store.sweep(now), shop.store.sweep(now));
    let (one, other): (Swept, Swept) = (one.unwrap(), other.unwrap());
    assert!(one.undone + other.undone >= 2 && one.failed + other.failed == 0, "{one:?} {other:?}");
    assert_eq!(counts(&shop).await, (100, 200, 0, 0));
    assert_eq!(order(&shop, "1", 100, "0").await.code(), 803, "the whole stock is for sale");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_finish_is_resolved_after_lost_responses() {
    // Five keys are a large order here: two parts are taken before the finish.
    for faults in [1, 3, 9] {
        let shop = Shop::builder().with_sale_keys_max(2).open().await;
        shop.stock(1, 10).await;
        let faults = [vec![Fault::Pass; 2], vec![Fault::LoseResponse; faults]].concat();
        shop.dynamodb.disturb("TransactWriteItems", faults);
        let response = order(&shop, "1", 5, "0").await;
        expect_whole(&shop, &response, 5).await;
        shop.dynamodb.calm();
        shop.sweep_orders().await;
        assert_eq!(counts(&shop).await, (5, 5, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_finish_of_a_void_order_sells_nothing() {
    let shop = Shop::builder().with_sale_keys_max(2).with_checkout_timeouts().open().await;
    shop.stock(1, 10).await;
    shop.dynamodb.disturb("TransactWriteItems", [vec![Fault::Pass; 2], vec![Fault::Postpone; 500]].concat());
    let unknown = order(&shop, "1", 5, "0").await;
    assert_eq!(unknown.problem(), (503, "/problems/outcome-unknown".to_owned()));
    shop.dynamodb.calm();
    shop.clock.advance_seconds(60);
    shop.sweep_orders().await;
    assert_eq!(counts(&shop).await, (10, 0, 0, 0));
    let answers = shop.dynamodb.deliver().await;
    assert!(!answers.is_empty() && answers.iter().all(|status| status.as_u16() == 400), "{answers:?}");
    shop.sweep_orders().await;
    assert_eq!(counts(&shop).await, (10, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_first_part_of_an_abandoned_order_reserves_nothing() {
    let shop = Shop::builder().with_sale_keys_max(1).open().await;
    shop.stock(1, 10).await;
    shop.dynamodb.disturb("TransactWriteItems", vec![Fault::Postpone; 5]);
    let refused = order(&shop, "1", 2, "0").await;
    assert_eq!(refused.problem(), (503, "/problems/nothing-was-sold".to_owned()));
    shop.dynamodb.calm();
    // The record of the void order makes the condition of the late first part fail.
    let answers = shop.dynamodb.deliver().await;
    assert!(!answers.is_empty() && answers.iter().all(|status| status.as_u16() == 400), "{answers:?}");
    assert_eq!(counts(&shop).await, (10, 0, 0, 0));
    assert_eq!(order(&shop, "1", 10, "0").await.code(), 803);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_a_response_over_the_limit_is_refused() {
    let shop = Shop::open().await;
    let wide = |n: usize| format!("{n:04}{}", "\u{1f511}".repeat(251));
    for from in [0, 250, 500, 750] {
        let keys: Vec<String> = (from..from + 250).map(wide).collect();
        let keys = serde_json::to_string(&keys).unwrap();
        let parameters = [
            ("license_keys", keys.as_str()),
            ("product_id", "1"),
            ("activation_limit", "0"),
            ("validity", "0"),
            ("status", "available"),
        ];
        let form = [&[("api_key", keypool_tests::API_KEY)][..], &parameters].concat();
        assert_eq!(shop.post_multipart("create-license-keys", &form).await.code(), 900);
    }
    let owner = "\u{1f511}".repeat(255);
    let buy = async |quantity: &str| {
        let order =
            [("product_id", "1"), ("quantity", quantity), ("owner_name", &owner), ("owner_email", &owner)];
        shop.post("random-assign-license-keys", &order).await
    };
    let _ = shop.dynamodb.take_operations();
    let refused = buy("1000").await;
    assert_eq!(refused.code(), 804, "{:.300}", refused.text);
    assert!(refused.response()["errors"]["quantity"][0].as_str().unwrap().contains("too large"));
    let calls = shop.dynamodb.take_operations();
    assert!(calls.iter().all(|call| call == "Query" || call == "BatchGetItem"), "{calls:?}");
    assert_eq!(counts(&shop).await, (1_000, 0, 0, 0));
    assert_eq!(buy("400").await.license_keys().len(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_stale_index_is_reserved_once() {
    let shop = Shop::open().await;
    shop.stock(1, 10).await;
    let candidates = shop.draw(10).await.candidates;
    let mut sale = shop.sale(None);
    let taken = shop.store.take(&mut sale, &candidates[..6], now(&shop)).await;
    assert_eq!(taken, Ok(SaleOutcome::Done));
    let missed = shop.store.take(&mut sale, &candidates[5..], now(&shop)).await;
    let license_key = candidates[5].license_key.clone();
    assert_eq!(missed, Ok(SaleOutcome::Missed(vec![license_key])));
    assert_eq!(sale.taken().len(), 6);
}

/// A key that returns to stock gets another position, so two queries of one draw may both show it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_moves_between_two_queries_is_drawn_once() {
    let shop = Shop::open().await;
    let keys = shop.stock(1, 8).await;
    let page = shop.query_stock().await;
    let (mut before, mut after) = (page.clone(), page);
    before["Items"][3]["version"]["N"] = json!("0");
    after["Items"][4]["version"]["N"] = json!("0");
    shop.dynamodb.disturb("Query", [Fault::Answer(before), Fault::Answer(after)]);
    let bought = order(&shop, "1", 8, "0").await;
    expect_whole(&shop, &bought, 8).await;
    assert!(shop.dynamodb.is_undisturbed());
    assert_eq!(bought.license_keys().into_iter().collect::<HashSet<_>>(), HashSet::from_iter(keys));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_order_can_neither_reserve_nor_finish() {
    let shop = Shop::open().await;
    shop.stock(1, 10).await;
    let candidates = shop.draw(10).await.candidates;
    let mut sale = shop.sale(None);
    shop.store.take(&mut sale, &candidates[..4], now(&shop)).await.unwrap();
    // The lease of the sale is over, so the sweep treats it as dead. But the sale continues.
    shop.sweep_orders().await;
    assert_eq!(counts(&shop).await, (10, 0, 0, 0));
    let late = shop.store.take(&mut sale, &candidates[4..], now(&shop)).await;
    assert_eq!(late, Err(Recorded::Void.into()));
    let late = shop.finish(&sale, &candidates[4..]).await;
    assert_eq!(late, Err(Recorded::Void.into()));
    shop.store.conclude(&sale, now(&shop)).await.unwrap();
    assert_eq!(counts(&shop).await, (10, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_hands_over_a_sold_order() {
    let shop = Shop::open().await;
    shop.stock(1, 10).await;
    let candidates = shop.draw(10).await.candidates;
    let mut sale = shop.sale(None);
    shop.store.take(&mut sale, &candidates[..4], now(&shop)).await.unwrap();
    assert_eq!(shop.finish(&sale, &candidates[4..5]).await, Ok(SaleOutcome::Done));
    assert_eq!(counts(&shop).await.2, 4);
    shop.sweep_orders().await;
    assert_eq!(counts(&shop).await, (5, 5, 0, 0));
    // An attempt that is still alive puts nothing back.
    shop.store.conclude(&sale, now(&shop)).await.unwrap();
    assert_eq!(counts(&shop).await, (5, 5, 0, 0));
}

/// A manual change of one key must not keep the other keys of its part reserved.
#[tokio::test(flavor = "multi_thread")]
async fn a_manually_changed_key_does_not_block_its_part() {
    for sold in [false, true] {
        let shop = Shop::open().await;
        shop.stock(1, 10).await;
        let candidates = shop.draw(10).await.candidates;
        let mut sale = shop.sale(None);
        shop.store.take(&mut sale, &candidates[..4], now(&shop)).await.unwrap();
        let by_hand = json!({
            "TableName": "keypool",
            "Key": {"pk": {"S": format!("KEY#{}", candidates[0].license_key.as_str())}, "sk": {"S": "KEY"}},
            "UpdateExpression": "SET #s = :blocked, version = :nine",
            "ExpressionAttributeNames": {"#s": "status"},
            "ExpressionAttributeValues": {":blocked": {"S": "blocked"}, ":nine": {"N": "9"}},
        });
        shop.dynamodb_call("UpdateItem", &by_hand).await;
        if sold {
            assert_eq!(shop.finish(&sale, &candidates[4..5]).await, Ok(SaleOutcome::Done));
        }
        shop.sweep_orders().await;
        let expected = if sold { (5, 4, 0, 0) } else { (9, 0, 0, 0) };
        assert_eq!(counts(&shop).await, expected);
    }
}

fn now(shop: &Shop) -> Timestamp {
    shop.clock.now()
}
