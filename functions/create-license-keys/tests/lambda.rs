//! The binary, run as Lambda runs it.

use keypool_domain::Endpoint;
use keypool_tests::lambda::check_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_every_kind_of_event() {
    let metrics = ["AwsCallLatency", "KeysCreated", "DuplicateKeys"];
    let built = env!("CARGO_BIN_EXE_create-license-keys");
    check_binary(built, Endpoint::CreateLicenseKeys, &[900, 902], &metrics).await;
}
