//! Finishes or undoes, once a minute, the large orders that an environment left half done because it died or
//! ran out of time. Assigns the keys of decided orders; returns all others to stock.
//!
//! It also wakes the worker for queued orders whose message was lost or whose time has come.

mod queue;

use std::sync::Arc;

use keypool_function::{Desk, FunctionError, measure};
use keypool_store::Swept;

/// Answers one event of the schedule.
pub async fn handle(desk: Arc<Desk>) -> Result<(), FunctionError> {
    let (swept, woken) = tokio::join!(sweep(&desk), queue::wake_orders(&desk));
    swept.and(woken)
}

async fn sweep(desk: &Desk) -> Result<(), FunctionError> {
    let swept = desk.store().sweep(desk.clock().now()).await?;
    measure::orders_swept(swept.finished, swept.undone);
    if swept != Swept::default() {
        tracing::info!(finished = swept.finished, undone = swept.undone, failed = swept.failed, "swept");
    }
    match swept.failed {
        0 => Ok(()),
        orders => Err(FunctionError::LeftUndone { orders }),
    }
}
