use clap::Args;
use keypool_domain::{Clock as _, OrderId, OrderReference, QueuedOrder, SystemClock, Timestamp};
use serde_json::json;

use super::{UNKNOWN, each_once, find, next_attempt, state};
use crate::difference::NOTHING;
use crate::exit::Exit;
use crate::output::{BAD, Output, STRONG, printable};
use crate::target::Target;
use crate::view;

/// Show queued orders without their license keys and webhook keys (1 or 2 read units each)
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool orders show 019b2c1e-7a3f-7c55-9d0e-2f1a6b8c4d3e\n  \
    keypool orders show 019b2c1e-7a3f-7c55-9d0e-2f1a6b8c4d3e --json | jq -r .last_answer\n\n\
    The id is the `webhook-id` of the callback; `keypool orders list` shows it.\n\
    Exit code 3: an order does not exist.")]
pub(crate) struct Show {
    /// The ids of the orders
    #[arg(value_name = "ID", required = true)]
    ids: Vec<OrderId>,
}

impl Show {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let mut exit = Exit::Done;
        for id in each_once(&self.ids) {
            if let Some(order) = find(&target.store, id).await? {
                output.result(&text(&order, SystemClock.now()), &view::order(&order))?;
            } else {
                exit = Exit::Partly;
                if output.is_json() {
                    output.value(&json!({"id": id.to_string(), "state": null, "reason": UNKNOWN}))?;
                } else {
                    output.note(&format!("{BAD}{id}{BAD:#}: {UNKNOWN}"));
                }
            }
        }
        Ok(exit)
    }
}

fn text(order: &QueuedOrder, now: Timestamp) -> String {
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let (request, delivery) = (&order.request, &order.delivery);
    let identifier = request.identifier.as_ref().map(OrderReference::as_str);
    format!(
        "{STRONG}{}{STRONG:#}\n  state          {}\n  code           {}\n  product        {}\n  quantity       \
         {}\n  generate       {}\n  owner          {}\n  identifier     {}\n  callback       {}\n  \
         API key        {}\n  accepted       {}\n  waits until    {}\n  attempts       {}\n  first attempt  {}\n  \
         next attempt   {}\n  last answer    {}",
        order.id,
        state(order),
        or_nothing(order.code.map(|code| code.to_string())),
        request.product_id,
        request.quantity,
        if request.generate { "yes" } else { "no" },
        view::owner(&request.owner),
        or_nothing(identifier.map(printable)),
        printable(&view::webhook_without_key(&order.webhook_url)),
        order.api_key,
        order.accepted_at,
        order.waits_until,
        delivery.attempts,
        or_nothing(delivery.first_at.map(|at| at.to_string())),
        next_attempt(order, now),
        or_nothing(delivery.answer.as_deref().map(printable)),
    )
}
