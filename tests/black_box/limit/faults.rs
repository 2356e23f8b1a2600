//! Disturbs the write that counts. Keys may count twice, but they always count.

use keypool_tests::{Fault, Receiver, Shop};

use super::{KEY, buy, counted, per_hour, post, requests, shop_with_limit, wait_of};

/// Sends one request to an endpoint with these faults at its count. Returns the keys sold, ordered and
/// counted.
async fn disturbed(nth: usize, faults: &[Fault]) -> (u64, u64, u64) {
    let (shop, receiver) = (shop_with_limit(9, 10).await, Receiver::start().await);
    let (endpoint, form, keys, code) = requests(&receiver.url, "KEY-1-000000")[nth].clone();
    shop.dynamodb.disturb("UpdateLimit", faults.to_vec());
    let response = post(&shop, endpoint, &form).await;
    assert!(shop.dynamodb.is_undisturbed(), "all faults were used");
    if response.status == 503 {
        assert_eq!(response.problem().1, "/problems/nothing-was-sold");
        shop.process_orders().await;
        assert_eq!((shop.in_stock(1).await, receiver.rows().len()), (10, 0), "{endpoint}: nothing was sold");
        return (0, keys, counted(&shop).await);
    }
    assert_eq!(response.code(), code, "{endpoint}: {}", response.text);
    (keys, keys, counted(&shop).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_whose_response_is_lost_counts_twice_at_most() {
    for nth in 0..4 {
        // The first write finds no item, and the second one makes it. The SDK repeats the second write, which
        // meets its own item.
        let (sold, keys, counted) = disturbed(nth, &[Fault::Pass, Fault::LoseResponse]).await;
        assert_eq!((sold, counted), (keys, 2 * keys), "{nth}");
        let (sold, keys, counted) = disturbed(nth, &[Fault::LoseRequest]).await;
        assert_eq!((sold, counted), (keys, keys), "{nth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_count_is_retried() {
    let throttle = Fault::error("ProvisionedThroughputExceededException");
    let conflict = Fault::error("TransactionConflictException");
    for nth in 0..4 {
        let (sold, keys, counted) = disturbed(nth, &[throttle.clone(), conflict.clone()]).await;
        assert_eq!((sold, counted), (keys, keys), "{nth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_count_nothing_is_sold() {
    for nth in 0..4 {
        // The SDK gives up after five attempts.
        let (sold, _, counted) = disturbed(nth, &vec![Fault::LoseRequest; 5]).await;
        assert_eq!((sold, counted), (0, 0), "{nth}");
        let lost = [vec![Fault::Pass], vec![Fault::LoseResponse; 5]].concat();
        let (sold, keys, counted) = disturbed(nth, &lost).await;
        assert!(sold == 0 && counted >= keys, "{nth}: {counted}");
        let denied = [Fault::error("AccessDeniedException")];
        let (sold, _, counted) = disturbed(nth, &denied).await;
        assert_eq!((sold, counted), (0, 0), "{nth}");
    }
}

/// A function that dies after the count has sold nothing, and the keys count.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_dies_at_the_count_has_sold_nothing() {
    for (number, fault, expected) in [(1, Fault::DieBefore, 0), (2, Fault::DieAfter, 2)] {
        let shop = shop_with_limit(9, 10).await;
        let environment = shop.environment(number, 1, 0).await;
        let form = [("api_key", KEY), ("product_id", "1"), ("quantity", "1")];
        assert_eq!(environment.post(super::RANDOM, &form, None).await.unwrap().code(), 803);
        let two = [("api_key", KEY), ("product_id", "1"), ("quantity", "2")];
        shop.dynamodb.disturb("UpdateLimit", [fault]);
        assert!(environment.post(super::RANDOM, &two, None).await.is_err(), "the environment died");
        assert_eq!((shop.in_stock(1).await, counted(&shop).await), (9, 1 + expected));
    }
}

/// A sale that fails after the count stays counted. Its next attempt counts once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_fails_after_the_count_stays_counted() {
    let shop = shop_with_limit(3, 10).await;
    shop.dynamodb.disturb("TransactWriteItems", [Fault::error("AccessDeniedException")]);
    let failed = buy(&shop, "2").await;
    assert_eq!((failed.status, counted(&shop).await), (503, 2), "{}", failed.text);
    wait_of(&buy(&shop, "2").await);
    assert_eq!((buy(&shop, "1").await.code(), shop.in_stock(1).await), (803, 9));
}

/// A buyer who misses a key draws again and counts once. A large order counts once, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_several_writes_counts_once() {
    let shop = shop_with_limit(300, 500).await;
    shop.dynamodb.disturb("UpdateItem", [Fault::error("ConditionalCheckFailedException")]);
    assert_eq!((buy(&shop, "1").await.code(), counted(&shop).await), (803, 1));
    assert_eq!((buy(&shop, "299").await.code(), counted(&shop).await), (803, 300));
    // The refusal comes before any key is reserved.
    let _ = shop.dynamodb.take_calls();
    wait_of(&buy(&shop, "150").await);
    assert!(!shop.dynamodb.take_operations().contains(&"TransactWriteItems".to_owned()));
    let other = shop.environment(1, 1, 0).await;
    let form = [("api_key", KEY), ("product_id", "1"), ("quantity", "150")];
    assert_eq!(other.post(super::RANDOM, &form, None).await.unwrap().code(), 104);
    assert!(!shop.dynamodb.take_operations().contains(&"TransactWriteItems".to_owned()));
}

/// Many requests meet at the start of a minute: one of them replaces the item, and no count is lost.
#[tokio::test(flavor = "multi_thread")]
async fn counts_that_meet_in_a_new_minute_all_count() {
    let shop = Shop::open().await;
    shop.stock(1, 200).await;
    super::add_api_key(&shop, KEY, per_hour(150)).await;
    for round in 1..=3_u64 {
        let requests = (0..40).map(|_| buy(&shop, "1"));
        let sold = futures_util::future::join_all(requests).await;
        assert!(sold.iter().all(|response| response.code() == 803));
        assert_eq!(counted(&shop).await, 40 * round);
        shop.clock.advance_seconds(60);
    }
}

/// The attempt that stored its keys counted them. A later attempt continues with these keys, even at the
/// limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_generation_counts_once() {
    let shop = shop_with_limit(60, 0).await;
    let form = [("api_key", KEY), ("generator_id", "1"), ("quantity", "60")];
    let once = async || shop.send(shop.request("generate").header("idempotency-key", "a").form(&form)).await;
    shop.dynamodb.disturb("BatchExecuteStatement", [Fault::Pass, Fault::error("ValidationException")]);
    assert_eq!((once().await.status, counted(&shop).await), (500, 60));
    let answer = once().await;
    assert_eq!((answer.license_keys().len(), counted(&shop).await), (60, 60), "{}", answer.text);
    wait_of(&post(&shop, "generate", &[("generator_id", "1"), ("quantity", "1")]).await);
}
