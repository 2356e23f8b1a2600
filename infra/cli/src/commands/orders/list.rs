use clap::Args;
use keypool_domain::{OrderState, ProductId, QueuedOrder};

use super::{next_attempt, state};
use crate::difference::or_nothing;
use crate::exit::Exit;
use crate::moment::to_the_second;
use crate::output::{Column, Output, Table};
use crate::target::Target;
use crate::view;

/// List queued orders that are not delivered yet, oldest first.
///
/// An order that waits for keys ends at the time under ENDS if there are too few until then. A decided order
/// is filled (code 803) or ended (802, 806), and its callback is retried until the shop accepts it. The
/// callback of a dead order is not retried.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool orders list\n  \
    keypool orders list --waiting --product 42\n  \
    keypool orders list --undelivered --json | jq -r '.[] | select(.state == \"dead\") | .id' \\\n    \
    | xargs keypool orders redeliver\n\n\
    Costs a read unit for 4 KB of orders (some eight).")]
pub(crate) struct List {
    /// Only orders that wait for keys
    #[arg(long)]
    waiting: bool,
    /// Only orders that are filled or ended, but not delivered
    #[arg(long, conflicts_with = "waiting")]
    undelivered: bool,
    /// Only orders for this product
    #[arg(long, value_name = "NUMBER")]
    product: Option<ProductId>,
}

impl List {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let mut orders = target.store.queued_orders().await?;
        orders.retain(|order| self.wants(order));
        output.table(&Table::of(&orders, COLUMNS), orders.iter().map(view::order).collect())?;
        if orders.is_empty() {
            output.note("there are none");
        }
        Ok(Exit::Done)
    }

    fn wants(&self, order: &QueuedOrder) -> bool {
        let is_of_product = self.product.is_none_or(|product| product == order.request.product_id);
        is_of_product
            && (!self.waiting || order.state == OrderState::Waiting)
            && (!self.undelivered || !order.state.is_open())
    }
}

const COLUMNS: &[Column<QueuedOrder>] = &[
    ("ORDER", |order| order.id.to_string()),
    ("PRODUCT", |order| order.request.product_id.to_string()),
    ("QUANTITY", |order| order.request.quantity.to_string()),
    ("STATE", state),
    ("CODE", |order| or_nothing(order.code)),
    ("ACCEPTED", |order| to_the_second(order.accepted_at)),
    ("ENDS", |order| or_nothing(order.state.is_open().then(|| to_the_second(order.waits_until)))),
    ("ATTEMPTS", |order| order.delivery.attempts.to_string()),
    ("NEXT ATTEMPT", next_attempt),
    ("LAST ANSWER", |order| or_nothing(order.delivery.answer.as_ref())),
];
