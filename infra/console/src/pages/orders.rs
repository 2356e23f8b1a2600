use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::{Html, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;

use super::{Context, Failure, Frame, LINKS, render, text};
use crate::Desk;
use crate::access::Message;
use crate::commands;
use crate::form::Fields;

pub(super) fn routes() -> Router<Desk> {
    Router::new()
        .route("/orders", get(page))
        .route("/orders/confirm", post(confirm))
        .route("/orders/change", post(change))
}

#[derive(Deserialize)]
struct Wanted {
    /// `waiting`, `undelivered`, or empty for all.
    #[serde(default)]
    only: String,
}

/// A queued order, as `keypool orders --json` prints it.
pub(super) struct Order {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) product: String,
    pub(super) quantity: String,
    pub(super) identifier: String,
    pub(super) owner: String,
    pub(super) accepted_at: String,
    pub(super) waits_until: String,
    pub(super) attempts: String,
    pub(super) next_attempt_at: String,
    pub(super) answer: String,
    pub(super) callback: String,
    pub(super) code: String,
    pub(super) is_cancelled: bool,
}

impl Order {
    pub(super) fn of(order: &Value) -> Self {
        Self {
            id: text(order, "id"),
            state: text(order, "state"),
            product: text(order, "product_id"),
            quantity: text(order, "quantity"),
            identifier: text(order, "identifier"),
            owner: [text(order, "owner_name"), text(order, "owner_email")].join(" ").trim().to_owned(),
            accepted_at: text(order, "accepted_at"),
            waits_until: text(order, "waits_until"),
            attempts: text(order, "attempts"),
            next_attempt_at: text(order, "next_attempt_at"),
            answer: text(order, "last_answer"),
            callback: text(order, "callback"),
            code: text(order, "code"),
            is_cancelled: order["cancelled"] == true,
        }
    }

    /// True if the order can still be cancelled.
    pub(super) fn is_open(&self) -> bool {
        !self.is_cancelled && matches!(self.state.as_str(), "queued" | "waiting")
    }

    /// True if the callback can be delivered again.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "decided" | "dead" | "delivered")
    }
}

#[derive(Template)]
#[template(path = "orders.html")]
struct Page {
    frame: Frame,
    only: String,
    orders: Vec<Order>,
    done: String,
}

async fn page(context: Context, Query(Wanted { only }): Query<Wanted>) -> Result<Html<String>, Failure> {
    let mut arguments = vec!["orders", "list"];
    match only.as_str() {
        "waiting" => arguments.push("--waiting"),
        "undelivered" => arguments.push("--undelivered"),
        _ => {}
    }
    let orders: Vec<Value> = commands::value(&context.desk.commands, arguments).await?;
    let orders = orders.iter().map(Order::of).collect();
    Ok(render(&Page { frame: context.frame("Orders"), only, orders, done: context.take_message().done }))
}

#[derive(Template)]
#[template(path = "orders_confirm.html")]
struct Confirm {
    frame: Frame,
    verb: String,
    id: String,
    reason: String,
    will: &'static str,
}

/// The effect of an action on an order, for its confirmation.
fn will(verb: &str) -> Result<&'static str, Failure> {
    match verb {
        "redeliver" => Ok("keypool calls the shop back again within a minute, with the same response."),
        "cancel" => Ok("The order ends without keys. keypool calls the shop back with code 802."),
        _ => Err(Failure::Form),
    }
}

async fn confirm(context: Context, fields: Fields) -> Result<Html<String>, Failure> {
    let [verb, id, reason] = ["verb", "id", "reason"].map(|name| fields.text(name).to_owned());
    Ok(render(&Confirm { frame: context.frame("Orders"), will: will(&verb)?, verb, id, reason }))
}

async fn change(context: Context, fields: Fields) -> Result<Response, Failure> {
    let (verb, id) = (fields.text("verb"), fields.text("id"));
    will(verb)?;
    let mut arguments = vec!["orders".to_owned(), verb.to_owned()];
    arguments.extend(fields.options("reason", "reason"));
    arguments.extend(["--".to_owned(), id.to_owned()]);
    let outcome: Value = commands::value(&context.desk.commands, arguments).await?;
    if outcome["changed"] != true {
        return Err(Failure::Command(format!("not changed: {}", text(&outcome, "reason"))));
    }
    let done = if verb == "cancel" { "The order is cancelled." } else { "The callback is due now." };
    Ok(context.done(Message { done: done.to_owned(), ..Message::default() }, "orders"))
}
