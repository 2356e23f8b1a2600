//! Wires the function: logs, clients and the Lambda runtime around [`generate::handle`].

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    keypool_function::run(generate::handle).await
}
