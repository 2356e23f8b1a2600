//! A small SQS with two standard queues. It has the operations that keypool uses, with the limits and the
//! error names of the service (Amazon Simple Queue Service API Reference). No crate has an SQS server to
//! embed.
//!
//! Messages are in memory only. A restart loses them, and the sweep finds their orders.

mod api;
mod broker;
mod queue;

use std::sync::Arc;
use std::{fmt, io};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use keypool_domain::Clock;

use crate::server::{Server, bind};
use broker::Broker;
pub use queue::{DeliveryFaults, QueueSettings};

/// The account of the embedded queues.
const ACCOUNT: &str = "000000000000";
/// The name of the queue.
const QUEUE: &str = "keypool";
/// The name of its dead letter queue.
const DEAD_LETTER_QUEUE: &str = "keypool-dead-letters";
/// The largest request that is read, in bytes: a message of 1 MiB, each byte escaped in JSON.
const REQUEST_BYTES_MAX: usize = 6 * 1024 * 1024 + 64 * 1024;

/// The state of the HTTP handler.
#[derive(Clone)]
struct Endpoint {
    broker: Arc<Broker>,
    url: String,
}

/// The embedded SQS: a queue and its dead letter queue.
pub struct Sqs {
    server: Server,
    broker: Arc<Broker>,
}

impl fmt::Debug for Sqs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sqs").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Sqs {
    /// Starts the service on a free port. All its times follow `clock`.
    pub async fn start(clock: Arc<dyn Clock>, settings: QueueSettings) -> io::Result<Self> {
        let broker = Arc::new(Broker::new(clock, settings));
        let listener = bind(0).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .fallback(api::handle)
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .with_state(Endpoint { broker: Arc::clone(&broker), url });
        Ok(Self { server: Server::start_router(listener, router)?, broker })
    }

    /// The URL of the service.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The URL of the queue.
    #[must_use]
    pub fn queue_url(&self) -> String {
        queue_url(&self.url(), QUEUE)
    }

    /// The URL of the dead letter queue.
    #[must_use]
    pub fn dead_letter_queue_url(&self) -> String {
        queue_url(&self.url(), DEAD_LETTER_QUEUE)
    }

    /// Sets the faults of the queue from now on. The dead letter queue has none.
    pub fn set_faults(&self, faults: DeliveryFaults) {
        // The queue with this name always exists.
        let _ = self.broker.with_queue(QUEUE, |queue, _| {
            queue.faults = faults;
            Ok(())
        });
    }

    /// Makes waiting receives read the clock again. A test calls this after it has moved its clock.
    pub fn clock_moved(&self) {
        self.broker.wake_receives();
    }

    /// Waits until exactly `count` receives wait for a message.
    pub async fn receives_wait(&self, count: usize) {
        self.broker.receives_wait(count).await;
    }

    /// Stops the service: waiting receives return without a message.
    pub async fn stop(self) {
        self.broker.stop_waiting();
        self.server.stop().await;
    }
}

fn queue_url(service_url: &str, name: &str) -> String {
    format!("{service_url}/{ACCOUNT}/{name}")
}
