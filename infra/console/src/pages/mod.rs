//! The pages, one file for each. A page runs subcommands, reads their JSON, and fills a template.

mod audit;
mod check;
mod find;
mod import;
mod key;
mod orders;
mod setup;
mod stock;

use askama::Template;
use axum::Router;
use axum::extract::{Extension, FromRequestParts};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::StatusCode;
use http::request::Parts;
use serde_json::Value;

use crate::Desk;
use crate::HOME;
use crate::access::{FormToken, Message};

pub(crate) use stock::LastCount;

/// The content of the frame around every page.
pub(crate) struct Frame {
    /// The page's title, which also marks its link.
    pub(crate) title: &'static str,
    /// The target of the subcommands, in words.
    pub(crate) target: String,
    /// The token for the page's forms.
    pub(crate) token: String,
    /// The version of the command, in the addresses of assets.
    pub(crate) version: &'static str,
}

/// The links at the top.
const LINKS: [(&str, &str); 10] = [
    ("Stock", ""),
    ("Find", "/find"),
    ("Orders", "/orders"),
    ("Products", "/products"),
    ("Generators", "/generators"),
    ("API keys", "/api-keys"),
    ("Signing keys", "/signing-keys"),
    ("Check", "/check"),
    ("Audit", "/audit"),
    ("Import", "/import"),
];

/// The parts of a request that a page needs.
pub(crate) struct Context {
    pub(crate) desk: Desk,
    token: FormToken,
}

impl Context {
    pub(crate) fn frame(&self, title: &'static str) -> Frame {
        Frame {
            title,
            target: self.desk.commands.target().to_owned(),
            token: self.token.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Answers a change: leaves a message, and loads the page that shows it. So a reload does not repeat the
    /// change.
    pub(crate) fn done(&self, message: Message, path: &str) -> Response {
        self.desk.access.leave(&self.token, message);
        Redirect::to(&format!("{HOME}/{path}")).into_response()
    }

    /// Takes the message about the last change. A page takes it after everything that may fail.
    pub(crate) fn take_message(&self) -> Message {
        self.desk.access.take_message(&self.token)
    }
}

impl FromRequestParts<Desk> for Context {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, desk: &Desk) -> Result<Self, Failure> {
        let token = Extension::<FormToken>::from_request_parts(parts, desk).await;
        let Extension(token) = token.map_err(|_| Failure::NoSession)?;
        Ok(Self { desk: desk.clone(), token })
    }
}

/// The routes of all pages, which need a session.
pub(crate) fn routes() -> Router<Desk> {
    Router::new()
        .merge(stock::routes())
        .merge(find::routes())
        .merge(key::routes())
        .merge(orders::routes())
        .merge(setup::routes())
        .merge(check::routes())
        .merge(audit::routes())
        .merge(import::routes())
}

pub(crate) async fn not_found() -> Failure {
    Failure::NotFound
}

/// A page that could not be shown, or a change that was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The subcommand failed with this error.
    #[error("{0}")]
    Command(String),
    /// The subcommand did not accept the text of a field.
    #[error("{0}")]
    Arguments(String),
    /// The output of the subcommand is not what the page reads: a bug.
    #[error("the console cannot read what the command printed: {0}")]
    Unreadable(String),
    /// The request has no session.
    #[error("This browser has no session. Open the link that the command printed in the terminal.")]
    NoSession,
    /// The link was used before, or is not one of this console.
    #[error("This link was used before. The terminal shows a new one.")]
    Link,
    /// There is no such page.
    #[error("There is no such page.")]
    NotFound,
    /// The form does not come from a page of this session.
    #[error("The form is too old, or does not come from this console. Load the page again.")]
    ForeignForm,
    /// The form cannot be read.
    #[error("The form cannot be read.")]
    Form,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    text: String,
    version: &'static str,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Command(_) | Self::Arguments(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoSession | Self::Link | Self::ForeignForm => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Form => StatusCode::BAD_REQUEST,
        };
        let page = FailurePage { text: self.to_string(), version: env!("CARGO_PKG_VERSION") };
        (status, render(&page)).into_response()
    }
}

/// Fills a template. Every template is checked when the console is compiled, and writing into memory cannot
/// fail.
pub(crate) fn render(template: &impl Template) -> Html<String> {
    Html(template.render().unwrap_or_default())
}

/// The text of a member; empty if it is absent or null.
pub(crate) fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let texts =
                values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            texts.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
