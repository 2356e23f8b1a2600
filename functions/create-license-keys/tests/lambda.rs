//! The binary, run as Lambda runs it.

use std::path::Path;

use keypool_domain::Endpoint;
use keypool_tests::lambda::{LambdaFunction, answered, check_binary, check_log, form_event};
use keypool_tests::{API_KEY, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_every_kind_of_event() {
    let metrics = ["BatchExecuteStatementLatency", "KeysCreated", "DuplicateKeys"];
    let built = env!("CARGO_BIN_EXE_create-license-keys");
    check_binary(built, Endpoint::CreateLicenseKeys, &[900, 902], &metrics).await;
}

/// The function makes more calls of one operation than a line of a metric has values.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keys_log_no_error() {
    let shop = Shop::open().await;
    let mut function =
        LambdaFunction::start(Path::new(env!("CARGO_BIN_EXE_create-license-keys")), &shop).await;
    let keys: Vec<String> = (0..1_000).map(|number| format!(r#""KEY-{number}""#)).collect();
    let keys = format!("[{}]", keys.join(","));
    let parameters = [
        ("api_key", API_KEY),
        ("license_keys", &keys),
        ("product_id", "1"),
        ("activation_limit", "1"),
        ("validity", "365"),
        ("status", "available"),
    ];
    let event = form_event(Endpoint::CreateLicenseKeys, &parameters);
    assert_eq!(answered(&function.invoke(event).await), (200, 900));
    let (_, log) = function.terminate();
    check_log(&log, &["KeysCreated", "BatchExecuteStatementLatency"], 0);
}
