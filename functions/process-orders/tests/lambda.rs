//! The binary, run as Lambda runs it.

use keypool_tests::lambda::check_queue_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_fills_orders_and_returns_messages() {
    check_queue_binary(env!("CARGO_BIN_EXE_process-orders")).await;
}
