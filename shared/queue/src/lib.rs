//! The queue that wakes the worker. A message holds only the id of an order: the table holds the rest.
//!
//! SQS may deliver a message twice and out of order. The embedded SQS loses its messages when it restarts.

mod queue;

pub use queue::{HIDE_MAX, Queue, Received, WAIT_MAX, WAKE_AFTER_MAX};
