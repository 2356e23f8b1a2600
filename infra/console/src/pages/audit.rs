use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::Html;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;

use super::key::Entry;
use super::{Context, Failure, Frame, LINKS, render};
use crate::Desk;
use crate::commands;

pub(super) fn routes() -> Router<Desk> {
    Router::new().route("/audit", get(page))
}

#[derive(Deserialize)]
#[serde(default)]
struct Filter {
    since: String,
    action: String,
    subject: String,
}

impl Default for Filter {
    fn default() -> Self {
        Self { since: "30d".to_owned(), action: String::new(), subject: String::new() }
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    filter: Filter,
    entries: Vec<Entry>,
}

async fn page(context: Context, Query(filter): Query<Filter>) -> Result<Html<String>, Failure> {
    let mut arguments =
        vec!["audit".to_owned(), "--limit=200".to_owned(), format!("--since={}", filter.since)];
    for (name, value) in [("action", &filter.action), ("subject", &filter.subject)] {
        if !value.is_empty() {
            arguments.push(format!("--{name}={value}"));
        }
    }
    let entries: Vec<Value> = commands::values(&context.desk.commands, arguments).await?;
    let entries = entries.iter().map(Entry::of).collect();
    Ok(render(&Page { frame: context.frame("Audit"), filter, entries }))
}
