//! The process ends at a call to AWS: at each one that a request makes, before the service saw it, after it did what it was
//! asked to, and while the call is still under way. Whatever was left half done, no key is lost.

use keypool_tests::Shop;
use keypool_tests::history::{Scenario, What};

/// Cuts a request off everywhere, and expects that its undisturbed run makes these calls (among others, in this order).
async fn expect_nothing_lost(scenario: Scenario, calls: &[&str]) {
    let shop = Shop::open().await;
    let found = scenario.crash_everywhere(&shop, async |_| {}).await;
    let mut made = found.calls.iter();
    assert!(calls.iter().all(|call| made.any(|made| made == call)), "{:?}", found.calls);
    assert!(found.crashes >= 2 * found.calls.len(), "{found:?}");
    assert!(found.violations.is_empty(), "{:#?}", found.violations);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_key_is_assigned_by_name_loses_nothing() {
    let what = |stock: &[String]| What::Assign(stock[0].clone());
    // The second request finds the key sold, if the first one has sold it: it cannot be told apart from another's.
    let scenario = Scenario { name: "assign", stock: 3, what, code: 800, idempotent: false };
    expect_nothing_lost(scenario, &["BatchGetItem", "GetItem", "Sign", "UpdateItem"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_one_key_is_sold_loses_nothing() {
    let what = |_: &[String]| What::Buy { quantity: 1, generate: false };
    let scenario = Scenario { name: "one", stock: 4, what, code: 803, idempotent: false };
    expect_nothing_lost(scenario, &["BatchGetItem", "Query", "Sign", "UpdateItem"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_keys_are_sold_loses_nothing() {
    let what = |_: &[String]| What::Buy { quantity: 3, generate: false };
    let scenario = Scenario { name: "three", stock: 10, what, code: 803, idempotent: false };
    expect_nothing_lost(scenario, &["BatchGetItem", "Query", "Sign", "TransactWriteItems"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_one_key_is_made_for_an_order_loses_nothing() {
    let what = |_: &[String]| What::Buy { quantity: 1, generate: true };
    let scenario = Scenario { name: "fresh", stock: 0, what, code: 803, idempotent: false };
    expect_nothing_lost(scenario, &["Query", "UpdateItem", "Sign", "PutItem"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_keys_are_made_for_an_order_loses_nothing() {
    let what = |_: &[String]| What::Buy { quantity: 3, generate: true };
    let scenario = Scenario { name: "fresh-three", stock: 2, what, code: 803, idempotent: false };
    expect_nothing_lost(scenario, &["Query", "UpdateItem", "Sign", "TransactWriteItems"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_keys_are_created_loses_nothing() {
    // One of them exists.
    let what = |stock: &[String]| {
        What::Create((0..4).map(|n| format!("{}{}", stock[0], ["", "-A", "-B", "-C"][n])).collect())
    };
    let scenario = Scenario { name: "create", stock: 1, what, code: 900, idempotent: false };
    expect_nothing_lost(scenario, &["UpdateItem", "PutItem", "PutItem", "PutItem", "PutItem", "Sign"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_keys_are_generated_loses_nothing() {
    let scenario =
        Scenario { name: "generate", stock: 1, what: |_| What::Generate(3), code: 815, idempotent: false };
    expect_nothing_lost(scenario, &["UpdateItem", "PutItem", "PutItem", "PutItem"]).await;
}
