//! An operator's commands for queued orders.

mod change;
mod list;
mod show;

use clap::Subcommand;
use keypool_domain::{Clock as _, OrderId, OrderState, QueuedOrder, SystemClock};
use keypool_store::{Store, StoreError};

use crate::difference::NOTHING;
use crate::exit::Exit;
use crate::moment::to_the_second;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum Orders {
    List(list::List),
    Show(show::Show),
    Redeliver(change::Redeliver),
    Cancel(change::Cancel),
}

impl Orders {
    pub(crate) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        match self {
            Self::List(list) => list.run(target, output).await,
            Self::Show(show) => show.run(target, output).await,
            Self::Redeliver(redeliver) => redeliver.run(target, output).await,
            Self::Cancel(cancel) => cancel.run(target, output).await,
        }
    }
}

/// Finds an order in the queue or among the delivered ones.
async fn find(store: &Store, id: &OrderId) -> Result<Option<QueuedOrder>, StoreError> {
    match store.queued_order(id).await? {
        Some(order) => Ok(Some(order)),
        None => store.delivered_order(id).await,
    }
}

/// The message for an id without an order.
const UNKNOWN: &str = "there is no such order; delivered orders are kept for 30 days";

/// The ids without repetitions, in the given order.
fn each_once(ids: &[OrderId]) -> Vec<&OrderId> {
    let mut seen = std::collections::HashSet::new();
    ids.iter().filter(|id| seen.insert(*id)).collect()
}

/// The state for people: `waiting`, or `waiting (cancelled)` until a worker ends the order.
fn state(order: &QueuedOrder) -> String {
    let cancelled = if order.is_cancelled { " (cancelled)" } else { "" };
    format!("{}{cancelled}", order.state)
}

/// The time of the next attempt to deliver the callback: `now` if it is due, `-` if none follows.
fn next_attempt(order: &QueuedOrder) -> String {
    match order.delivery.next_at {
        _ if order.state != OrderState::Decided => NOTHING.to_owned(),
        Some(at) if at > SystemClock.now() => to_the_second(at),
        _ => "now".to_owned(),
    }
}
