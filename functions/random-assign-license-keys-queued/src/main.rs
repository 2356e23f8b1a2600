//! Wires the function: logs, clients and the Lambda runtime around
//! [`random_assign_license_keys_queued::handle`].

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    keypool_function::run_with_queue(random_assign_license_keys_queued::handle).await
}
