use clap::Args;
use keypool_domain::{OrderId, OrderReference, QueuedOrder};
use serde_json::json;

use super::{UNKNOWN, each_once, find, next_attempt, state};
use crate::difference::or_nothing;
use crate::exit::Exit;
use crate::output::{BAD, Output, STRONG, fields, printable};
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
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let mut exit = Exit::Done;
        for id in each_once(&self.ids) {
            if let Some(order) = find(&target.store, id).await? {
                output.result(&text(&order), &view::order(&order))?;
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

fn text(order: &QueuedOrder) -> String {
    let (request, delivery) = (&order.request, &order.delivery);
    let identifier = request.identifier.as_ref().map(OrderReference::as_str);
    let fields = fields(
        "  ",
        &[
            ("state", state(order)),
            ("code", or_nothing(order.code)),
            ("product", request.product_id.to_string()),
            ("quantity", request.quantity.to_string()),
            ("generate", if request.generate { "yes" } else { "no" }.to_owned()),
            ("owner", view::owner(&request.owner)),
            ("identifier", or_nothing(identifier.map(printable))),
            ("callback", printable(&view::webhook_without_key(&order.webhook_url))),
            ("API key", order.api_key.to_string()),
            ("accepted", order.accepted_at.to_string()),
            ("waits until", order.waits_until.to_string()),
            ("attempts", delivery.attempts.to_string()),
            ("first attempt", or_nothing(delivery.first_at)),
            ("next attempt", next_attempt(order)),
            ("last answer", or_nothing(delivery.answer.as_deref().map(printable))),
        ],
    );
    format!("{STRONG}{}{STRONG:#}\n{fields}", order.id)
}
