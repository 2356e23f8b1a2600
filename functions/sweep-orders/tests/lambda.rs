//! The binary, run as Lambda runs it.

use keypool_tests::lambda::check_scheduled_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_finishes_and_undoes_orders() {
    check_scheduled_binary(env!("CARGO_BIN_EXE_sweep-orders")).await;
}
