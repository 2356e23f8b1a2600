use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::Html;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;

use super::orders::Order;
use super::{Context, Failure, Frame, LINKS, render, text};
use crate::Desk;
use crate::commands;

/// The number of keys on a page of results.
const PAGE: &str = "50";

pub(super) fn routes() -> Router<Desk> {
    Router::new().route("/find", get(page)).route("/find/owner", get(of_owner))
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
    /// The place where the page before ended.
    #[serde(default)]
    after: String,
}

/// A row of results.
pub(super) struct Row {
    pub(super) license_key: String,
    pub(super) product: String,
    pub(super) status: String,
    pub(super) owner: String,
    pub(super) email: String,
    pub(super) order: String,
    pub(super) assigned_at: String,
}

impl Row {
    pub(super) fn of(key: &Value) -> Self {
        Self {
            license_key: text(key, "license_key"),
            product: text(key, "product_id"),
            status: text(key, "status"),
            owner: text(key, "owner_name"),
            email: text(key, "owner_email"),
            order: text(key, "order"),
            assigned_at: text(key, "assigned_at"),
        }
    }
}

#[derive(Template)]
#[template(path = "find.html")]
struct Page {
    frame: Frame,
    query: String,
    /// The key of this very text, and the keys of the order of this reference.
    rows: Vec<Row>,
    /// The queued order with this id, if there is one.
    orders: Vec<Order>,
}

/// Looks for a license key and an order. Both are cheap, because an index finds them.
async fn page(context: Context, Query(search): Query<Search>) -> Result<Html<String>, Failure> {
    let query = search.q.trim();
    let (mut rows, mut orders) = (Vec::new(), Vec::new());
    if !query.is_empty() {
        let order = format!("--order={query}");
        let (key, of_order, queued) = tokio::try_join!(
            if_possible(&context, ["keys", "show", "--", query]),
            if_possible(&context, ["keys", "list", &order, "--limit=1000"]),
            if_possible(&context, ["orders", "show", "--", query]),
        )?;
        rows.extend(key.iter().filter(|key| !key["status"].is_null()).map(Row::of));
        rows.extend(
            of_order.iter().flat_map(|list| list["keys"].as_array().into_iter().flatten()).map(Row::of),
        );
        orders.extend(queued.iter().filter(|order| !order["state"].is_null()).map(Order::of));
    }
    Ok(render(&Page { frame: context.frame("Find"), query: query.to_owned(), rows, orders }))
}

/// Runs a search. A text that cannot be a key or a reference is not found.
async fn if_possible<const N: usize>(context: &Context, arguments: [&str; N]) -> Result<Vec<Value>, Failure> {
    match commands::run(&context.desk.commands, arguments).await {
        Ok(printed) => Ok(printed.values),
        Err(Failure::Arguments(_)) => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

#[derive(Template)]
#[template(path = "find_owner.html")]
struct OwnerPage {
    query: String,
    rows: Vec<Row>,
    /// The place where the next page begins; empty at the end.
    next: String,
    is_first: bool,
}

/// Looks for an owner: one page of keys, and the place where the next begins.
async fn of_owner(context: Context, Query(search): Query<Search>) -> Result<Html<String>, Failure> {
    let query = search.q.trim();
    let mut arguments = vec!["keys".to_owned(), "list".to_owned(), format!("--owner={query}")];
    arguments.push(format!("--limit={PAGE}"));
    if !search.after.is_empty() {
        arguments.push(format!("--after={}", search.after));
    }
    let list: Value = commands::value(&context.desk.commands, arguments).await?;
    let rows = list["keys"].as_array().into_iter().flatten().map(Row::of).collect();
    let (next, is_first) = (text(&list, "next"), search.after.is_empty());
    Ok(render(&OwnerPage { query: query.to_owned(), rows, next, is_first }))
}
