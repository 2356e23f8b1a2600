use clap::Args;
use keypool_domain::{OrderChangeRefusal, OrderId, QueuedOrder};
use keypool_store::{StoreError, UpdateOutcome};
use serde_json::json;

use super::{UNKNOWN, each_once, find};
use crate::commands::change::Reason;
use crate::exit::Exit;
use crate::output::{BAD, GOOD, Output};
use crate::target::Target;
use crate::view;

/// The most attempts at an order that a worker changes in between.
const ATTEMPTS_MAX: usize = 5;

/// Send the callback again: it is due at once, and is retried for as long as that of a new order.
///
/// The orders must be filled or ended: decided, dead, or delivered in the last 30 days. The shop gets the
/// same response with the same `webhook-id`, so that it can recognize a repeated callback.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool orders redeliver 019b2c1e-7a3f-7c55-9d0e-2f1a6b8c4d3e --reason \"the shop is up again\"\n  \
    keypool orders list --undelivered --json | jq -r '.[].id' | xargs keypool orders redeliver\n\n\
    The sweep wakes the worker within a minute; `keypool orders show ID` shows the shop's response.\n\
    Exit code 3: an order was not changed.\n\
    Costs 1 or 2 read units and 4 to 6 write units an order.")]
pub(crate) struct Redeliver {
    /// The ids of the orders
    #[arg(value_name = "ID", required = true)]
    ids: Vec<OrderId>,
    #[command(flatten)]
    reason: Reason,
}

/// End orders that are not filled yet; the callback reports too few keys (code 802).
///
/// The orders must be queued or waiting for keys. No key is assigned, unless a worker fills the order at this
/// very moment.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    keypool orders cancel 019b2c1e-7a3f-7c55-9d0e-2f1a6b8c4d3e --reason \"the buyer got the money back\"\n\n\
    The sweep wakes the worker within a minute; `keypool orders show ID` shows the end of the order.\n\
    Exit code 3: an order was not changed.\n\
    Costs 1 or 2 read units and 4 write units an order.")]
pub(crate) struct Cancel {
    /// The ids of the orders
    #[arg(value_name = "ID", required = true)]
    ids: Vec<OrderId>,
    #[command(flatten)]
    reason: Reason,
}

impl Redeliver {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        change(target, output, Change::Redeliver, &self.ids, &self.reason).await
    }
}

impl Cancel {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        change(target, output, Change::Cancel, &self.ids, &self.reason).await
    }
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Redeliver,
    Cancel,
}

impl Change {
    const fn action(self) -> &'static str {
        match self {
            Self::Redeliver => "orders.redeliver",
            Self::Cancel => "orders.cancel",
        }
    }

    /// The state of a changed order, in words.
    const fn becomes(self) -> &'static str {
        match self {
            Self::Redeliver => "due now",
            Self::Cancel => "cancelled",
        }
    }

    const fn note(self) -> &'static str {
        match self {
            Self::Redeliver => {
                "The sweep wakes the worker within a minute. `keypool orders show ID` shows the shop's response."
            }
            Self::Cancel => {
                "The sweep wakes the worker within a minute, and the worker calls the shop back. A worker may \
                 have filled the order at this moment: `keypool orders show ID` shows it."
            }
        }
    }

    fn next(self, order: &QueuedOrder) -> Result<QueuedOrder, OrderChangeRefusal> {
        match self {
            Self::Redeliver => order.redelivered(),
            Self::Cancel => order.cancelled(),
        }
    }
}

/// Changes the orders, and prints the outcome of each.
async fn change(
    target: &Target,
    output: Output,
    change: Change,
    ids: &[OrderId],
    reason: &Reason,
) -> anyhow::Result<Exit> {
    let ids = each_once(ids);
    let (mut refused, mut failure) = (0, None);
    for id in &ids {
        let outcome = match &failure {
            Some(_) => Err("not tried".to_owned()),
            None => change_one(target, change, id, reason).await.unwrap_or_else(|error| {
                let why = format!("the outcome is unknown: {error:#}");
                failure = Some(error);
                Err(why)
            }),
        };
        match outcome {
            Ok((before, after)) => {
                let text = format!("{GOOD}{id}{GOOD:#}  {} → {}", before.state, change.becomes());
                let value = json!({
                    "id": id.to_string(),
                    "changed": true,
                    "before": view::order(&before),
                    "after": view::order(&after),
                });
                output.result(&text, &value)?;
            }
            Err(why) => {
                refused += 1;
                let value = json!({"id": id.to_string(), "changed": false, "reason": why});
                output.result(&format!("{BAD}{id}{BAD:#}  not changed: {why}"), &value)?;
            }
        }
    }
    if refused < ids.len() {
        output.note(change.note());
    }
    if refused == 0 {
        return Ok(Exit::Done);
    }
    output.note(&format!("{} of {} changed, {refused} not", ids.len() - refused, ids.len()));
    match failure {
        Some(error) if refused == ids.len() => Err(error),
        _ => Ok(Exit::Partly),
    }
}

/// Changes one order, on condition that nobody else changes it in between.
async fn change_one(
    target: &Target,
    change: Change,
    id: &OrderId,
    reason: &Reason,
) -> anyhow::Result<Result<(QueuedOrder, QueuedOrder), String>> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(seen) = find(&target.store, id).await? else { return Ok(Err(UNKNOWN.to_owned())) };
        let next = match change.next(&seen) {
            Ok(next) => next,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let mut after = view::order_progress(&next);
        reason.note(&mut after);
        let before = Some(view::order_progress(&seen));
        let entry = target.entry(change.action(), format!("order {id}"), before, Some(after)).await?;
        let written: Result<UpdateOutcome, StoreError> = match change {
            Change::Redeliver => target.store.redeliver(&seen, &next, &entry).await,
            Change::Cancel => target.store.cancel(&seen, &next, &entry).await,
        };
        if written? == UpdateOutcome::Updated {
            return Ok(Ok((seen, next)));
        }
    }
    Ok(Err("a worker keeps changing it; try again".to_owned()))
}
