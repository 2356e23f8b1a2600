//! The binary, run as Lambda runs it.

use keypool_tests::lambda::check_scheduled_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_brings_orders_to_their_end() {
    check_scheduled_binary(env!("CARGO_BIN_EXE_sweep-orders")).await;
}
