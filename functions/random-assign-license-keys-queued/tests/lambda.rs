//! The binary, run as Lambda runs it.

use keypool_domain::Endpoint;
use keypool_tests::lambda::check_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_every_kind_of_event() {
    let metrics = ["PutItemLatency", "SendMessageLatency", "OrdersQueued"];
    let built = env!("CARGO_BIN_EXE_random-assign-license-keys-queued");
    check_binary(built, Endpoint::RandomAssignLicenseKeysQueued, &[807], &metrics).await;
}
