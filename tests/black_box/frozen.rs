//! Freezes the process of a function when one of its calls arrives at AWS, once for each call of a request.
//! The service executes the call and responds. When the process resumes, the time for the buyer's response is
//! over. Its late response must still be true.

use std::path::Path;

use keypool_tests::Shop;
use keypool_tests::storms::{Scenario, What};

/// Freezes a request at each of its calls, and expects these calls, among others, in the undisturbed run.
async fn expect_no_lie(scenario: Scenario, calls: &[&str]) {
    let shop = Shop::open().await;
    let found = scenario.freeze_everywhere(&shop, Path::new(env!("CARGO_BIN_EXE_function"))).await;
    let frozen_at = |operation: &str| {
        let mut frozen = found.runs.iter().filter(|run| run.is_frozen).filter_map(|run| run.at.as_ref());
        frozen.any(|at| at.operation == operation)
    };
    assert!(calls.iter().all(|operation| frozen_at(operation)), "{:#?}", found.runs);
    assert!(found.violations.is_empty(), "{:#?}", found.violations);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_creation_reports_the_truth() {
    let what = |stock: &[String]| {
        let exists = stock.first().cloned().unwrap_or_default();
        What::Create(["", "-A", "-B"].map(|end| format!("{exists}{end}")).to_vec())
    };
    let scenario = Scenario { name: "create", stock: 1, what, code: 900, idempotent: false };
    expect_no_lie(scenario, &["UpdateItem", "BatchExecuteStatement", "Sign"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_generation_reports_the_truth() {
    let what = |_: &[String]| What::Generate(3);
    let scenario = Scenario { name: "generate", stock: 1, what, code: 815, idempotent: false };
    expect_no_lie(scenario, &["UpdateItem", "BatchExecuteStatement", "Sign"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_assignment_reports_the_truth() {
    let what = |stock: &[String]| What::Assign(stock.first().cloned().unwrap_or_default());
    let scenario = Scenario { name: "assign", stock: 3, what, code: 800, idempotent: false };
    expect_no_lie(scenario, &["BatchGetItem", "Sign", "UpdateItem"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_order_of_one_key_reports_the_truth() {
    let what = |_: &[String]| What::Buy { quantity: 1, generate: false };
    let scenario = Scenario { name: "one", stock: 4, what, code: 803, idempotent: false };
    expect_no_lie(scenario, &["BatchGetItem", "Query", "Sign", "UpdateItem"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_order_of_some_keys_reports_the_truth() {
    let what = |_: &[String]| What::Buy { quantity: 5, generate: false };
    let scenario = Scenario { name: "five", stock: 12, what, code: 803, idempotent: false };
    expect_no_lie(scenario, &["BatchGetItem", "Query", "Sign", "TransactWriteItems"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_order_with_an_idempotency_key_reports_the_truth() {
    let what = |_: &[String]| What::Buy { quantity: 5, generate: false };
    let scenario = Scenario { name: "once", stock: 12, what, code: 803, idempotent: true };
    expect_no_lie(scenario, &["BatchGetItem", "Query", "Sign", "TransactWriteItems"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_large_order_reports_the_truth() {
    let what = |_: &[String]| What::Buy { quantity: 120, generate: false };
    let scenario = Scenario { name: "large", stock: 140, what, code: 803, idempotent: false };
    expect_no_lie(scenario, &["BatchGetItem", "Query", "Sign", "TransactWriteItems"]).await;
}
