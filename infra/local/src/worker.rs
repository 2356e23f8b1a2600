//! Lambda's part between the queue and `process-orders`: receives messages, passes them to the worker, and
//! deletes those that need no further delivery.

use std::time::Duration;

use keypool_aws::FailedCall;
use keypool_queue::Queue;
use process_orders::Worker;

/// The time that a receive waits for messages.
const WAIT: Duration = Duration::from_secs(20);

/// The pause after the queue failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Serves the queue until it is dropped.
pub(crate) async fn serve(queue: Queue, worker: Worker) {
    loop {
        if let Err(error) = serve_batch(&queue, &worker, WAIT).await {
            tracing::warn!(%error, "the queue of orders failed");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}

/// Receives and processes a batch of messages. Returns their number.
pub async fn serve_batch(queue: &Queue, worker: &Worker, wait: Duration) -> Result<usize, FailedCall> {
    let messages = queue.receive(wait).await?;
    let count = messages.len();
    let handles: Vec<(String, String)> =
        messages.iter().map(|message| (message.message_id.clone(), message.receipt_handle.clone())).collect();
    let failed = worker.process_batch(messages).await;
    for (id, handle) in handles {
        if !failed.contains(&id) {
            queue.delete(&handle).await?;
        }
    }
    Ok(count)
}
