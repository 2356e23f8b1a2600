//! Wires the function: logs, clients and the Lambda runtime around [`update_license_key::handle`].

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    keypool_function::run(update_license_key::handle).await
}
