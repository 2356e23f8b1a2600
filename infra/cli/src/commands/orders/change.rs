use clap::Args;
use keypool_domain::{OrderChangeRefusal, OrderId, QueuedOrder};
use keypool_store::{StoreError, UpdateOutcome};

use super::{UNKNOWN, each_once, find};
use crate::commands::change::{Changed, Kind, Reason, change_all};
use crate::exit::Exit;
use crate::output::Output;
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
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        change(target, output, Change::Redeliver, &self.ids, &self.reason).await
    }
}

impl Cancel {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
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
    output: &Output,
    change: Change,
    ids: &[OrderId],
    reason: &Reason,
) -> anyhow::Result<Exit> {
    let ids = each_once(ids).into_iter().cloned().collect();
    let kind = Kind { noun: "orders", member: "id", name: OrderId::to_string, remark: Some(change.note()) };
    change_all(kind, ids, output, async |id| change_one(target, change, id, reason).await).await
}

/// Changes one order, on condition that nobody else changes it in between.
async fn change_one(
    target: &Target,
    change: Change,
    id: &OrderId,
    reason: &Reason,
) -> anyhow::Result<Result<Changed, String>> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(seen) = find(&target.store, id).await? else { return Ok(Err(UNKNOWN.to_owned())) };
        let next = match change.next(&seen) {
            Ok(next) => next,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let before = Some(view::order_progress(&seen));
        let after = Some(reason.with(view::order_progress(&next)));
        let entry = target.entry(change.action(), format!("order {id}"), before, after).await?;
        let written: Result<UpdateOutcome, StoreError> = match change {
            Change::Redeliver => target.store.redeliver(&seen, &next, &entry).await,
            Change::Cancel => target.store.cancel(&seen, &next, &entry).await,
        };
        if written? == UpdateOutcome::Updated {
            let text = format!("{} → {}", seen.state, change.becomes());
            return Ok(Ok(Changed { text, records: [view::order(&seen), view::order(&next)] }));
        }
    }
    Ok(Err("a worker keeps changing it; try again".to_owned()))
}
