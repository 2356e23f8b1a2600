//! The binary, run as Lambda runs it.

use keypool_domain::Endpoint;
use keypool_tests::lambda::check_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_every_kind_of_event() {
    let metrics = ["BatchGetItemLatency", "QueryLatency", "SignLatency"];
    let built = env!("CARGO_BIN_EXE_get-license-keys");
    check_binary(built, Endpoint::GetLicenseKeys, &[730], &metrics).await;
}
