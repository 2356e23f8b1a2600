//! The binary, run as Lambda runs it.

use keypool_tests::lambda::check_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_every_kind_of_event() {
    let parameters = [("license_key", "AAAA-0001"), ("owner_name", "Test User")];
    let metrics = ["AwsCallLatency"];
    check_binary(
        env!("CARGO_BIN_EXE_assign-license-key"),
        "assign-license-key",
        &parameters,
        &[801],
        &metrics,
    )
    .await;
}
