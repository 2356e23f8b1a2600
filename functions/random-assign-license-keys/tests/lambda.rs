//! The binary, run as Lambda runs it.

use keypool_tests::lambda::check_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_every_kind_of_event() {
    let parameters = [("product_id", "1"), ("quantity", "2"), ("generate", "1")];
    let metrics = ["AwsCallLatency", "KeysAssigned", "KeysGenerated"];
    check_binary(
        env!("CARGO_BIN_EXE_random-assign-license-keys"),
        "random-assign-license-keys",
        &parameters,
        &[803],
        &metrics,
    )
    .await;
}
