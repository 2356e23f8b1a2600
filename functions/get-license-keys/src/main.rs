//! Wires the function: logs, clients and the Lambda runtime around [`get_license_keys::handle`].

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    keypool_function::run(get_license_keys::handle).await
}
