//! Fills queued orders and calls the shop back. Each message names an order, and the table holds its state.
//! So a message may be lost, repeated, late or out of order.
//!
//! This file takes messages, `fill` fills orders and serves the lines of products, `deliver` delivers the
//! callbacks.

mod deliver;
mod fill;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use keypool_callback::CallbackClient;
use keypool_domain::{OrderId, OrderState};
use keypool_function::{Desk, FunctionError};
use keypool_queue::Received;

/// The time for which a message is hidden after a failure, multiplied by the times it was received.
const AFTER_FAILURE: Duration = Duration::from_secs(20);
/// The longest time for which a message is hidden after a failure.
const AFTER_FAILURES_MAX: Duration = Duration::from_mins(10);

/// The next step of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Delete it: nothing is left to do.
    Done,
    /// Deliver it again after this time.
    Again(Duration),
}

/// Fills orders and delivers callbacks.
#[derive(Debug, Clone)]
pub struct Worker {
    desk: Arc<Desk>,
    client: CallbackClient,
}

impl Worker {
    /// Makes a worker for a desk that has a queue.
    #[must_use]
    pub fn new(desk: Arc<Desk>, client: CallbackClient) -> Self {
        Self { desk, client }
    }

    /// Processes messages side by side, and hides those that must come back. Returns their ids.
    pub async fn process_batch(&self, messages: Vec<Received>) -> Vec<String> {
        let processed = messages.into_iter().map(|message| async move {
            let failures = message.receive_count.max(1);
            match self.process(&message.id, failures).await {
                Next::Done => None,
                Next::Again(after) => {
                    // If this fails, the message comes back when its time-out is over.
                    if let Err(error) = self.desk.hide(&message.receipt_handle, after).await {
                        tracing::warn!(%error, "a message could not be hidden");
                    }
                    Some(message.message_id)
                }
            }
        });
        join_all(processed).await.into_iter().flatten().collect()
    }

    /// Takes the next step of an order whose message was received `received` times.
    pub async fn process(&self, order: &str, received: u32) -> Next {
        let Ok(id) = order.parse::<OrderId>() else {
            tracing::error!("a message names no order");
            return Next::Done;
        };
        match self.step(&id).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(order = %id, %error, "an order failed and will be retried");
                Next::Again((AFTER_FAILURE * received).min(AFTER_FAILURES_MAX))
            }
        }
    }

    async fn step(&self, id: &OrderId) -> Result<Next, FunctionError> {
        // An order that is not in the queue was delivered, or was never accepted.
        let Some(mut order) = self.desk.store().queued_order(id).await? else { return Ok(Next::Done) };
        if order.state.is_open() {
            self.fill_in_turn(&mut order).await?;
        }
        match order.state {
            OrderState::Decided => self.deliver(order).await,
            // The sweep wakes the line of a product.
            _ => Ok(Next::Done),
        }
    }
}
