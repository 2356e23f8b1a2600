//! The binary, run as Lambda runs it.

use keypool_tests::lambda::check_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_every_kind_of_event() {
    let parameters = [("generator_id", "1"), ("quantity", "3")];
    let metrics = ["AwsCallLatency", "KeysGenerated"];
    check_binary(env!("CARGO_BIN_EXE_generate"), "generate", &parameters, &[815], &metrics).await;
}
