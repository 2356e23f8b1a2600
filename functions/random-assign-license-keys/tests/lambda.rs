//! The binary, run as Lambda runs it.

use std::path::Path;

use keypool_domain::Endpoint;
use keypool_tests::lambda::{LambdaFunction, answered, check_binary, check_log, form_event};
use keypool_tests::{API_KEY, Fault, Shop};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_every_kind_of_event() {
    let metrics = ["QueryLatency", "SignLatency", "TransactWriteItemsLatency", "KeysAssigned"];
    let built = env!("CARGO_BIN_EXE_random-assign-license-keys");
    check_binary(built, Endpoint::RandomAssignLicenseKeys, &[803], &metrics).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_write_the_metrics_that_alarms_watch() {
    let shop = Shop::open().await;
    shop.stock(1, 3).await;
    let binary = Path::new(env!("CARGO_BIN_EXE_random-assign-license-keys"));
    let mut function = LambdaFunction::start(binary, &shop).await;
    let order = |quantity: &str, generate: &str| {
        let parameters =
            [("api_key", API_KEY), ("product_id", "1"), ("quantity", quantity), ("generate", generate)];
        form_event(Endpoint::RandomAssignLicenseKeys, &parameters)
    };
    assert_eq!(answered(&function.invoke(order("4", "0")).await), (200, 802));
    assert_eq!(answered(&function.invoke(order("4", "1")).await), (200, 803));
    // Another buyer was quicker.
    let sold = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "a test's",
        "Item": {"status": {"S": "assigned"}, "version": {"N": "2"}},
    });
    shop.dynamodb.disturb("UpdateItem", [Fault::Error(sold)]);
    assert_eq!(answered(&function.invoke(order("1", "0")).await), (200, 803));
    shop.kms.disturb("Sign", vec![Fault::error("ThrottlingException"); 100]);
    assert_eq!(answered(&function.invoke(order("1", "0")).await), (503, 0));
    let (_, log) = function.terminate();
    check_log(
        &log,
        &["OutOfStock", "StockEstimate", "KeysGenerated", "ContentionRetries", "Failures", "KmsThrottles"],
        1,
    );
}

/// An environment whose clock is ahead takes every request for an old one, and sells nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_shows_in_metrics_and_log() {
    let shop = Shop::open().await;
    shop.stock(1, 1).await;
    let binary = Path::new(env!("CARGO_BIN_EXE_random-assign-license-keys"));
    let mut function = LambdaFunction::start(binary, &shop).await;
    let order = [("api_key", API_KEY), ("product_id", "1"), ("quantity", "1")];
    let mut order = form_event(Endpoint::RandomAssignLicenseKeys, &order);
    let received = &mut order["requestContext"]["timeEpoch"];
    *received = json!(received.as_i64().unwrap() - 3_000);
    assert_eq!(answered(&function.invoke(order).await), (503, 0));
    let (_, log) = function.terminate();
    check_log(&log, &["LateRequests", "Failures"], 1);
    let failed: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["level"] == "ERROR")
        .collect();
    assert!(failed[0]["under_way_ms"].as_u64() >= Some(3_000), "{failed:?}");
}

/// The function makes more calls of one operation than a line of a metric has values.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_500_keys_logs_no_error() {
    let shop = Shop::open().await;
    shop.stock(1, 500).await;
    let binary = Path::new(env!("CARGO_BIN_EXE_random-assign-license-keys"));
    let mut function = LambdaFunction::start(binary, &shop).await;
    let order = [("api_key", API_KEY), ("product_id", "1"), ("quantity", "500")];
    let order = form_event(Endpoint::RandomAssignLicenseKeys, &order);
    assert_eq!(answered(&function.invoke(order).await), (200, 803));
    let (_, log) = function.terminate();
    check_log(&log, &["KeysAssigned", "TransactWriteItemsLatency"], 0);
}
