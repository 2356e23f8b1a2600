use askama::Template;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::Value;

use super::{Context, Failure, Frame, LINKS, render, text};
use crate::Desk;
use crate::commands;
use crate::form::Fields;

pub(super) fn routes() -> Router<Desk> {
    Router::new().route("/check", get(page).post(check))
}

/// The result of a check.
struct Checked {
    holds: bool,
    fault: String,
    key: String,
    /// The signed content: name and value of each member.
    says: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "check.html")]
struct Page {
    frame: Frame,
    response: String,
    checked: Option<Checked>,
}

async fn page(context: Context) -> Html<String> {
    render(&Page { frame: context.frame("Check"), response: String::new(), checked: None })
}

async fn check(context: Context, fields: Fields) -> Result<Html<String>, Failure> {
    let response = fields.text("response").to_owned();
    let folder = tempfile::tempdir().map_err(|error| Failure::Command(error.to_string()))?;
    let file = folder.path().join("response.json");
    std::fs::write(&file, &response).map_err(|error| Failure::Command(error.to_string()))?;
    let file = file.to_string_lossy().into_owned();
    let outcome: Value = commands::value(&context.desk.commands, ["verify".to_owned(), file]).await?;
    let says = outcome["says"].as_object().into_iter().flatten();
    let checked = Checked {
        holds: outcome["holds"] == true,
        fault: text(&outcome, "fault"),
        key: text(&outcome, "key"),
        says: says.map(|(name, _)| (name.clone(), text(&outcome["says"], name))).collect(),
    };
    Ok(render(&Page { frame: context.frame("Check"), response, checked: Some(checked) }))
}
