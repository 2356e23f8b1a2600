use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use keypool_domain::{OrderId, OrderState, ProductId, QueuedOrder, Timestamp};
use keypool_function::{Desk, FunctionError, measure};

/// The delay of an order's message after which the sweep sends another one.
const LATE: Duration = Duration::from_mins(1);
/// The delay of the second message for a product's line, which is served twice a minute.
const SECOND_LOOK: Duration = Duration::from_secs(30);
/// The number of messages that are sent side by side.
const SIDE_BY_SIDE: usize = 16;

/// Sends messages for orders that need one: those without a message for a minute, those that waited too long,
/// and those with a late delivery. Has the line of each product with waiting orders served twice.
pub(crate) async fn wake_orders(desk: &Desk) -> Result<(), FunctionError> {
    let orders = desk.store().queued_orders().await?;
    let now = desk.clock().now();
    let first_in_line = first_in_line(&orders);
    let mut messages: Vec<(OrderId, Duration)> = Vec::new();
    messages.extend(
        orders.iter().filter(|order| is_late(order, now)).map(|order| (order.id.clone(), Duration::ZERO)),
    );
    for id in first_in_line.into_values() {
        messages.extend([(id.clone(), Duration::ZERO), (id, SECOND_LOOK)]);
    }
    let sending = messages.into_iter().map(|(id, after)| async move { desk.wake(&id, after).await });
    let mut sent = futures_util::stream::iter(sending).buffer_unordered(SIDE_BY_SIDE);
    let mut outcome = Ok(());
    while let Some(result) = sent.next().await {
        outcome = outcome.and(result);
    }
    let oldest = |is_meant: fn(&QueuedOrder) -> bool| {
        let oldest = orders.iter().find(|order| is_meant(order));
        oldest.map_or(Duration::ZERO, |order| now.since(order.accepted_at))
    };
    // A dead order has an alarm of its own.
    measure::oldest_orders(
        oldest(|order| order.state.is_open()),
        oldest(|order| order.state == OrderState::Decided),
    );
    outcome
}

/// The first order in the line of each product.
fn first_in_line(orders: &[QueuedOrder]) -> BTreeMap<ProductId, OrderId> {
    let waiting = orders.iter().filter(|order| order.state == OrderState::Waiting);
    // The map keeps the last one that is inserted.
    waiting.rev().map(|order| (order.request.product_id, order.id.clone())).collect()
}

fn is_late(order: &QueuedOrder, now: Timestamp) -> bool {
    match order.state {
        OrderState::Queued => order.accepted_at.after(LATE) <= now,
        OrderState::Waiting => order.is_over(now),
        OrderState::Decided => order.delivery.next_at.is_none_or(|next_at| next_at.after(LATE) <= now),
        OrderState::Delivered | OrderState::Dead => false,
    }
}
