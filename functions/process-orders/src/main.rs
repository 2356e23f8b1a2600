//! Wires the function: logs, clients and the Lambda runtime around [`process_orders::Worker`].

use std::sync::Arc;

use keypool_callback::{CallbackClient, CallbackLimits, SystemResolver};
use process_orders::Worker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let client = CallbackClient::new(Arc::new(SystemResolver), CallbackLimits::default())?;
    keypool_function::run_on_queue(move |desk, batch| {
        let worker = Worker::new(desk, client.clone());
        async move { worker.process_batch(batch).await }
    })
    .await
}
