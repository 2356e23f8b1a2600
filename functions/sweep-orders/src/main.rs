//! Wires the function: logs, clients and the Lambda runtime around [`sweep_orders::handle`].

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    keypool_function::run_on_schedule(sweep_orders::handle).await
}
