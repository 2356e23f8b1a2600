use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keypool_domain::{Endpoint, Status};
use serde_json::{Value, json};

use super::LambdaFunction;
use super::event::{answered, event, form, json_body, multipart_body, sample_request};
use crate::{API_KEY, Receiver, Shop, function_resource};

/// The folder with binaries from `sam build` or `cargo lambda build`. Each function has a folder there, named
/// as in the deployment template, with `bootstrap` in it.
const ENV_BINARIES: &str = "KEYPOOL_BINARIES";

/// Returns the binary of a function: `built` by cargo, unless the environment names a folder.
pub(crate) fn binary_of(function: &str, built: &Path) -> PathBuf {
    match std::env::var_os(ENV_BINARIES) {
        Some(folder) => Path::new(&folder).join(function_resource(function)).join("bootstrap"),
        None => built.to_owned(),
    }
}

/// Checks a function's binary: `built` by cargo, unless the environment names a folder. It gets the sample's
/// request, word for word, must respond with one of `codes`, and must write `metrics`.
///
/// # Panics
/// If a check fails.
pub async fn check_binary(built: &str, endpoint: Endpoint, codes: &[u64], metrics: &[&str]) {
    let binary = binary_of(endpoint.name(), Path::new(built));
    let shop = Shop::open().await;
    shop.stock(1, 99).await;
    let mut function = LambdaFunction::start(&binary, &shop).await;
    let parameters = sample_request(endpoint);
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let only_reads = endpoint.only_reads();
    let endpoint = endpoint.name();
    let base64 = STANDARD.encode(form(&parameters));
    let good =
        || event(endpoint, "POST", &[("content-type", "application/x-www-form-urlencoded")], &base64, true);
    let expect_good = async |function: &LambdaFunction, event: Value| {
        let (status, code) = answered(&function.invoke(event).await);
        assert!(status == 200 && codes.contains(&code), "{status} {code}");
    };

    // API Gateway delivers every format like this.
    expect_good(&function, good()).await;
    expect_good(&function, event(endpoint, "POST", &[], &base64, true)).await;
    let odd_case = [("Content-TYPE", "Application/JSON")];
    expect_good(&function, event(endpoint, "POST", &odd_case, &json_body(&parameters), false)).await;
    let multipart = [("content-type", "multipart/form-data; boundary=XX")];
    let body = STANDARD.encode(multipart_body(&parameters));
    expect_good(&function, event(endpoint, "POST", &multipart, &body, true)).await;

    // An endpoint that only reads accepts all parameters in the query string, too.
    let mut get = event(endpoint, "GET", &[], "", false);
    if only_reads {
        get["rawQueryString"] = form(&parameters).into();
        expect_good(&function, get).await;
    } else {
        assert_eq!(answered(&function.invoke(get).await), (405, 0));
    }

    // The function responds to unacceptable events, and serves the next event.
    let large = STANDARD.encode("x".repeat(1_048_577));
    assert_eq!(answered(&function.invoke(event(endpoint, "POST", &[], &large, true)).await), (413, 0));
    assert_eq!(answered(&function.invoke(event(endpoint, "PUT", &[], "", false)).await), (405, 0));
    let unreadable = event(endpoint, "POST", &[("content-type", "application/json")], "{", false);
    assert_eq!(answered(&function.invoke(unreadable).await), (400, 0));
    assert_eq!(answered(&function.invoke(event(endpoint, "POST", &[], "", false)).await), (401, 100));

    // These events fail alone: no event of API Gateway, a body that is not base64, and headers that make no
    // URL (API Gateway sets these).
    let elsewhere = |headers| event(endpoint, "POST", headers, &base64, true);
    let bad_events = [
        json!({}),
        json!({"records": []}),
        event(endpoint, "POST", &[], "not base64!", true),
        elsewhere(&[("host", "a b")]),
        elsewhere(&[("host", "api.example"), ("x-forwarded-proto", "no scheme")]),
    ];
    let errors = bad_events.len();
    for bad in bad_events {
        // This error appears in API Gateway's access log.
        let error = function.invoke(bad).await.unwrap_err().to_string();
        assert!(!error.contains(API_KEY) && !error.contains(&base64), "{error}");
        expect_good(&function, good()).await;
    }

    // Lambda freezes an environment between events. Meanwhile the services close its connections.
    function.freeze();
    shop.dynamodb.cut_connections();
    shop.kms.cut_connections();
    function.thaw();
    expect_good(&function, good()).await;

    let (status, log) = function.terminate();
    assert!(!status.success(), "the function cannot choose its exit status");
    check_log(&log, metrics, errors);
}

/// Checks the binary that a schedule calls: it undoes an abandoned order and returns the keys to stock. It
/// gets the events that `EventBridge` Scheduler sends.
///
/// # Panics
/// If a check fails.
pub async fn check_scheduled_binary(built: &str) {
    let binary = binary_of(crate::SWEEP_ORDERS, Path::new(built));
    let shop = Shop::open().await;
    shop.stock(2, 5).await;
    let keys = shop.dead_order(2, 3).await;
    let mut function = LambdaFunction::start(&binary, &shop).await;
    for event in [json!({}), json!({"version": "0", "detail-type": "Scheduled Event", "detail": {}})] {
        assert!(function.invoke(event).await.is_ok());
        for key in &keys {
            assert_eq!(shop.status(key).await, Status::Available);
        }
    }
    shop.dynamodb.hang_up();
    let failed = function.invoke(json!({})).await.unwrap_err();
    assert_eq!(failed["errorType"], "DynamoDb.Unavailable", "{failed}");
    let (_, log) = function.terminate();
    check_log(&log, &["QueryLatency", "DeleteItemLatency", "OrdersUndone"], 1);
}

/// Checks the binary that the queue of orders calls: it fills orders, and returns messages that need another
/// delivery. It has the rules of a deployed stack, so it calls no shop on this machine.
///
/// # Panics
/// If a check fails.
pub async fn check_queue_binary(built: &str) {
    let binary = binary_of(crate::PROCESS_ORDERS, Path::new(built));
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    let keys = shop.stock(1, 5).await;
    let order = [("product_id", "1"), ("quantity", "2"), ("webhook_url", receiver.url.as_str())];
    assert_eq!(shop.post("random-assign-license-keys-queued", &order).await.code(), 807);
    let messages = shop.queue().receive(Duration::ZERO).await.unwrap();
    let mut function = LambdaFunction::start(&binary, &shop).await;
    // SQS hands messages to Lambda in this form (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS").
    let record = |id: &str, body: &str, receipt_handle: &str| {
        json!({
            "messageId": id, "receiptHandle": receipt_handle, "body": body,
            "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {},
            "eventSource": "aws:sqs", "awsRegion": "eu-central-1",
        })
    };
    let message = &messages[0];
    let event = json!({"Records": [
        record(&message.message_id, &message.id, &message.receipt_handle),
        record("unknown", "019b2c1e-7a3f-7c55-9d0e-2f1a6b8c4d3e", "none"),
        record("no order", "{}", "none"),
    ]});
    let answer = function.invoke(event).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": message.message_id}]}));
    let order = shop.store.queued_orders().await.unwrap().remove(0);
    assert_eq!((order.code, order.delivery.attempts), (Some(803), 1));
    assert_eq!(order.delivery.answer.unwrap(), "the webhook URL must begin with https://");
    assert_eq!((receiver.callbacks().len(), shop.in_stock(1).await), (0, keys.len() - 2));
    let (_, log) = function.terminate();
    check_log(&log, &["KeysAssigned", "CallbackFailures", "ChangeMessageVisibilityLatency"], 1);
}

/// Checks a log: all lines are JSON without an API key, and `errors` lines are errors. It contains the
/// metrics in the embedded metric format (CloudWatch User Guide), without dimensions other than `Product`.
///
/// # Panics
/// If a check fails.
pub fn check_log(log: &str, expected: &[&str], errors: usize) {
    assert!(!log.contains(API_KEY));
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    for line in &lines {
        assert_ne!(line["target"], "metrics_cloudwatch_embedded", "{line}");
    }
    let failed: Vec<&Value> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(failed.len(), errors, "{failed:?}");

    let mut seen = BTreeSet::new();
    let mut dimensions = BTreeSet::new();
    for line in &lines {
        let Some(directives) = line["_aws"]["CloudWatchMetrics"].as_array() else { continue };
        assert!(line["_aws"]["Timestamp"].is_u64());
        for directive in directives {
            assert_eq!(directive["Namespace"], "a-tests");
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                assert!(!line[name].is_null() && !metric["Unit"].is_null(), "{line}");
                let values = line[name].as_array().map_or(1, Vec::len);
                assert!(values <= 100, "CloudWatch takes 100 values: {line}");
                seen.insert(name.to_owned());
            }
            for dimension in directive["Dimensions"][0].as_array().unwrap() {
                let dimension = dimension.as_str().unwrap();
                assert!(line[dimension].is_string(), "{line}");
                dimensions.insert(dimension.to_owned());
            }
        }
    }
    for name in expected {
        assert!(seen.contains(*name), "{name} is not among {seen:?}");
    }
    // Each further dimension would add a line to every event.
    dimensions.remove("Product");
    assert!(dimensions.is_empty(), "{dimensions:?}");
}
