//! Wires the function: logs, clients and the Lambda runtime around [`create_license_keys::handle`].

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    keypool_function::run(create_license_keys::handle).await
}
