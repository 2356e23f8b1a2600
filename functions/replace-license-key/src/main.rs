//! Wires the function: logs, clients and the Lambda runtime around [`replace_license_key::handle`].

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    keypool_function::run(replace_license_key::handle).await
}
