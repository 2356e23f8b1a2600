//! Wires the function: logs, clients and the Lambda runtime around
//! [`get_available_license_keys_count::handle`].

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    keypool_function::run(get_available_license_keys_count::handle).await
}
