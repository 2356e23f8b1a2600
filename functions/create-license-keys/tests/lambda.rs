//! The binary, run as Lambda runs it.

use keypool_tests::lambda::check_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_every_kind_of_event() {
    let parameters = [
        ("license_keys", r#"["AAAA-0001","AAAA-0002"]"#),
        ("product_id", "1"),
        ("activation_limit", "0"),
        ("validity", "0"),
        ("status", "available"),
    ];
    let metrics = ["AwsCallLatency", "KeysCreated", "DuplicateKeys"];
    check_binary(
        env!("CARGO_BIN_EXE_create-license-keys"),
        "create-license-keys",
        &parameters,
        &[900, 902],
        &metrics,
    )
    .await;
}
