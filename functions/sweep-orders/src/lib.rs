//! Once a minute: brings large orders to their end that were given up half done, because an environment died
//! or ran out of time. What was decided is handed over; all else goes back into stock.
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
