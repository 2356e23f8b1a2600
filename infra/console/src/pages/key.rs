use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::{Html, Response};
use axum::routing::{get, post};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::find::Row;
use super::{Context, Failure, Frame, LINKS, render, text};
use crate::Desk;
use crate::access::Message;
use crate::commands;
use crate::form::Fields;

pub(super) fn routes() -> Router<Desk> {
    Router::new()
        .route("/key", get(page))
        .route("/key/confirm", post(confirm))
        .route("/key/change", post(change))
}

/// The length of `YYYY-MM-DD`, the beginning of a time.
const DATE_CHARACTERS: usize = 10;

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    key: String,
}

/// An action on a key: its word, the statuses it is possible in, and what it will do.
struct Action {
    name: &'static str,
    label: &'static str,
    from: &'static [&'static str],
    will: &'static str,
}

const ACTIONS: [Action; 5] = [
    Action {
        name: "block",
        label: "Block",
        from: &["available", "assigned", "reserved"],
        will: "The key is not sold and not replaced while it is blocked. Its owner stays known.",
    },
    Action {
        name: "unblock",
        label: "Unblock",
        from: &["blocked"],
        will: "The key returns to its owner, or to the stock if it has none.",
    },
    Action {
        name: "release",
        label: "Release",
        from: &["assigned", "reserved"],
        will: "The key returns to the stock, and another buyer can get it. Its owner, who knows it, loses it.",
    },
    Action {
        name: "replace",
        label: "Replace",
        from: &["assigned"],
        will: "The key is blocked for good. Its owner gets another key of the same product, which you must send.",
    },
    Action {
        name: "assign",
        label: "Assign",
        from: &["available", "reserved"],
        will: "The key leaves the stock and becomes the owner's.",
    },
];

/// An entry of the key's history.
pub(super) struct Entry {
    pub(super) at: String,
    pub(super) principal: String,
    pub(super) action: String,
    pub(super) subject: String,
    pub(super) reason: String,
    pub(super) changes: Vec<(String, String, String)>,
}

impl Entry {
    pub(super) fn of(entry: &Value) -> Self {
        let (before, after) = (&entry["before"], &entry["after"]);
        let names = [before, after].into_iter().filter_map(Value::as_object).flat_map(|object| object.keys());
        let mut names: Vec<&String> = names.filter(|name| *name != "reason").collect();
        names.sort();
        names.dedup();
        let changes = names.into_iter().map(|name| (name.clone(), text(before, name), text(after, name)));
        Self {
            at: text(entry, "at"),
            principal: text(entry, "principal"),
            action: text(entry, "action"),
            subject: text(entry, "subject"),
            reason: text(after, "reason"),
            changes: changes.filter(|(_, before, after)| before != after).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "key.html")]
struct Page {
    frame: Frame,
    row: Row,
    replaced_by: String,
    facts: Vec<(&'static str, String)>,
    actions: Vec<&'static Action>,
    history: Vec<Entry>,
    /// A message about the last change; empty if there was none.
    done: String,
}

async fn page(context: Context, Query(Named { key }): Query<Named>) -> Result<Html<String>, Failure> {
    let commands = &context.desk.commands;
    let value = find(&context, &key).await?;
    // The trail has a part for each month, so a shorter time costs fewer queries.
    let created_at = text(&value, "created_at");
    let since = format!("--since={}", created_at.get(..DATE_CHARACTERS).unwrap_or("3650d"));
    let subject = format!("--subject={key}");
    let history: Vec<Value> = commands::values(commands, ["audit", &since, "--limit=200", &subject]).await?;
    let row = Row::of(&value);
    let actions = ACTIONS.iter().filter(|action| action.from.contains(&row.status.as_str()));
    let or_unlimited =
        |name| Some(text(&value, name)).filter(|text| text != "0").unwrap_or("unlimited".into());
    let facts = vec![
        ("Activations", or_unlimited("activation_limit")),
        ("Days valid", or_unlimited("validity")),
        ("Numeric id", text(&value, "id")),
        ("Created", created_at),
        ("Changed", text(&value, "updated_at")),
    ];
    Ok(render(&Page {
        frame: context.frame("Find"),
        replaced_by: text(&value, "replaced_by"),
        actions: actions.collect(),
        facts,
        row,
        history: history.iter().filter(|entry| entry["subject"] == key).map(Entry::of).collect(),
        done: context.take_message().done,
    }))
}

async fn find(context: &Context, key: &str) -> Result<Value, Failure> {
    let printed = commands::run(&context.desk.commands, ["keys", "show", "--", key]).await?;
    let value = printed.values.into_iter().next().filter(|value| !value["status"].is_null());
    value.ok_or_else(|| Failure::Command("there is no such license key".to_owned()))
}

#[derive(Template)]
#[template(path = "key_confirm.html")]
struct Confirm {
    frame: Frame,
    action: &'static Action,
    row: Row,
    reason: String,
    owner_name: String,
    owner_email: String,
    generate: bool,
}

fn action(fields: &Fields) -> Result<&'static Action, Failure> {
    ACTIONS.iter().find(|action| action.name == fields.text("action")).ok_or(Failure::Form)
}

/// Says what will happen, and asks for a confirmation.
async fn confirm(context: Context, fields: Fields) -> Result<Html<String>, Failure> {
    let row = Row::of(&find(&context, fields.text("key")).await?);
    Ok(render(&Confirm {
        frame: context.frame("Find"),
        action: action(&fields)?,
        row,
        reason: fields.text("reason").to_owned(),
        owner_name: fields.text("owner_name").to_owned(),
        owner_email: fields.text("owner_email").to_owned(),
        generate: !fields.text("generate").is_empty(),
    }))
}

/// Makes the change, then loads the page of the key.
async fn change(context: Context, fields: Fields) -> Result<Response, Failure> {
    let (action, key) = (action(&fields)?, fields.text("key"));
    let mut arguments = vec!["keys".to_owned(), action.name.to_owned()];
    arguments.extend(fields.options("reason", "reason"));
    match action.name {
        "assign" => {
            arguments.extend(fields.options("owner_name", "owner-name"));
            arguments.extend(fields.options("owner_email", "owner-email"));
        }
        // The page has said that its owner loses the key.
        "release" => arguments.extend(fields.flag("owned", "take-from-owner")),
        "replace" => arguments.extend(fields.flag("generate", "generate")),
        _ => {}
    }
    arguments.extend(["--".to_owned(), key.to_owned()]);
    let outcome: Value = commands::value(&context.desk.commands, arguments).await?;
    if outcome["changed"] != true {
        return Err(Failure::Command(format!("not changed: {}", text(&outcome, "reason"))));
    }
    let done = match outcome["replaced_by"].as_str() {
        Some(successor) => format!("Replaced by {successor}."),
        None => format!("The key is {} now.", text(&outcome["after"], "status")),
    };
    let key = utf8_percent_encode(key, NON_ALPHANUMERIC);
    Ok(context.done(Message { done, ..Message::default() }, &format!("key?key={key}")))
}
