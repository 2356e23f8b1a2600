//! The page for imports: the received files, the columns of one as keypool understands them, and its
//! progress.

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use http::header;
use serde::Deserialize;
use serde_json::Value;

use super::{Context, Failure, Frame, LINKS, render, text};
use crate::access::FormToken;
use crate::commands::{self, Printed};
use crate::form::Fields;
use crate::imports::{self, Received, Settings};
use crate::{Desk, HOME};

pub(super) fn routes() -> Router<Desk> {
    Router::new()
        .route("/import", get(list).post(receive))
        .route("/import/{id}", get(page))
        .route("/import/{id}/preview", post(preview))
        .route("/import/{id}/run", post(run))
        .route("/import/{id}/progress", get(progress))
        .route("/import/{id}/stop", post(stop))
        .route("/import/{id}/remove", post(remove))
        .route("/import/{id}/receipt", get(receipt))
}

#[derive(Template)]
#[template(path = "imports.html")]
struct ListPage {
    frame: Frame,
    files: Vec<(Received, String)>,
}

async fn list(context: Context) -> Html<String> {
    let imports = &context.desk.imports;
    let files = imports.list().into_iter().map(|received| {
        let state =
            imports.state(&received).map_or_else(String::new, |state| Job::of(&received, state).in_words());
        (received, state)
    });
    render(&ListPage { frame: context.frame("Import"), files: files.collect() })
}

#[derive(Deserialize)]
struct Upload {
    #[serde(default)]
    name: String,
}

/// Receives a file. The script sends the form's token as a header, because the body is the file.
async fn receive(
    State(desk): State<Desk>,
    Query(upload): Query<Upload>,
    request: Request,
) -> Result<String, Failure> {
    let token = request.extensions().get::<FormToken>().ok_or(Failure::NoSession)?;
    let sent = request.headers().get("x-form-token").and_then(|value| value.to_str().ok());
    if !sent.is_some_and(|sent| token.is(sent)) {
        return Err(Failure::ForeignForm);
    }
    let id = desk.access.new_id();
    let received = desk.imports.receive(id, &upload.name, request.into_body()).await;
    let received = received.map_err(|error| Failure::Command(format!("cannot store the file: {error}")))?;
    Ok(format!("{HOME}/import/{}", received.id))
}

#[derive(Template)]
#[template(path = "import.html")]
struct Page {
    frame: Frame,
    received: Received,
    settings: Settings,
    products: Vec<(String, String)>,
    job: Option<Job>,
}

/// A job, as the page shows it.
struct Job {
    id: String,
    state: imports::State,
}

impl Job {
    fn of(received: &Received, state: imports::State) -> Self {
        Self { id: received.id.clone(), state }
    }

    fn is_running(&self) -> bool {
        self.state.ended.is_none()
    }

    fn error(&self) -> Option<&str> {
        self.state.ended.as_ref()?.error.as_deref()
    }

    fn member(&self, name: &str) -> String {
        self.state.summary.as_ref().map(|summary| text(summary, name)).unwrap_or_default()
    }

    fn warnings(&self) -> Vec<String> {
        let warnings = self.state.summary.as_ref().and_then(|summary| summary["warnings"].as_array());
        warnings.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn in_words(&self) -> String {
        let what = if self.state.is_rehearsal { "rehearsal" } else { "import" };
        match (&self.state.ended, self.member("state").as_str()) {
            (None, _) => format!("{what} is running"),
            (Some(ended), _) if ended.error.is_some() => format!("{what} failed"),
            (_, state) => format!("{what} {state}"),
        }
    }
}

fn find(context: &Context, id: &str) -> Result<Received, Failure> {
    context.desk.imports.find(id).ok_or(Failure::NotFound)
}

async fn page(context: Context, Path(id): Path<String>) -> Result<Html<String>, Failure> {
    let received = find(&context, &id)?;
    let products: Vec<Value> = commands::value(&context.desk.commands, ["product", "list"]).await?;
    let products = products.iter().map(|product| (text(product, "id"), text(product, "name")));
    Ok(render(&Page {
        frame: context.frame("Import"),
        settings: received.settings(),
        products: products.collect(),
        job: context.desk.imports.state(&received).map(|state| Job::of(&received, state)),
        received,
    }))
}

fn settings(fields: &Fields) -> Settings {
    let field = |name| fields.text(name).to_owned();
    Settings {
        product: field("product"),
        status: field("status"),
        activation_limit: field("activation_limit"),
        validity: field("validity"),
        columns: field("columns"),
    }
}

#[derive(Template)]
#[template(path = "import_preview.html")]
struct Preview {
    columns: String,
    lines: String,
    error: String,
    /// Each line: its number, its cells, and the reason if it would be refused.
    first: Vec<(String, Vec<String>, String)>,
}

/// The members of a line, in the order of the preview's columns.
const MEMBERS: [&str; 7] =
    ["license_key", "product_id", "status", "owner_name", "owner_email", "activation_limit", "validity"];

/// Shows the first lines as the settings of the form make keypool understand them.
async fn preview(context: Context, Path(id): Path<String>, fields: Fields) -> Result<Html<String>, Failure> {
    let received = find(&context, &id)?;
    let settings = if received.has_begun() { received.settings() } else { settings(&fields) };
    let mut arguments = settings.arguments(&received.file());
    arguments.insert(2, "--preview".to_owned());
    let (value, error) = match commands::run(&context.desk.commands, arguments).await {
        Ok(Printed { values, .. }) => (values.into_iter().next().unwrap_or_default(), String::new()),
        Err(Failure::Command(error) | Failure::Arguments(error)) => {
            (Value::Null, error.replace(&*received.file().to_string_lossy(), &received.name))
        }
        Err(failure) => return Err(failure),
    };
    let line = |line: &Value| {
        let cells = MEMBERS.map(|member| text(line, member)).into();
        (text(line, "line"), cells, text(line, "refused"))
    };
    let first = value["first"].as_array().into_iter().flatten().map(line).collect();
    Ok(render(&Preview { columns: text(&value, "columns"), lines: text(&value, "lines"), error, first }))
}

/// Starts an import or a rehearsal.
async fn run(context: Context, Path(id): Path<String>, fields: Fields) -> Result<Redirect, Failure> {
    let received = find(&context, &id)?;
    let is_rehearsal = match fields.text("verb") {
        "rehearse" => true,
        "import" => false,
        _ => return Err(Failure::Form),
    };
    if !received.has_begun() {
        received.save(&settings(&fields)).map_err(|error| Failure::Command(error.to_string()))?;
    }
    if !context.desk.imports.start(&received, &context.desk.commands, is_rehearsal) {
        return Err(Failure::Command("an import of this file is running".to_owned()));
    }
    Ok(Redirect::to(&format!("{HOME}/import/{id}")))
}

#[derive(Template)]
#[template(path = "import_progress.html")]
struct Progress {
    job: Option<Job>,
}

async fn progress(context: Context, Path(id): Path<String>) -> Result<Html<String>, Failure> {
    let received = find(&context, &id)?;
    let job = context.desk.imports.state(&received).map(|state| Job::of(&received, state));
    Ok(render(&Progress { job }))
}

async fn stop(context: Context, Path(id): Path<String>, _fields: Fields) -> Result<Redirect, Failure> {
    context.desk.imports.stop(&find(&context, &id)?);
    Ok(Redirect::to(&format!("{HOME}/import/{id}")))
}

async fn remove(context: Context, Path(id): Path<String>, _fields: Fields) -> Result<Redirect, Failure> {
    let removed = context.desk.imports.remove(&find(&context, &id)?);
    match removed {
        Ok(true) => Ok(Redirect::to(&format!("{HOME}/import"))),
        Ok(false) => Err(Failure::Command("an import of this file is running: stop it first".to_owned())),
        Err(error) => Err(Failure::Command(format!("cannot remove the file: {error}"))),
    }
}

#[derive(Deserialize)]
struct Of {
    #[serde(default)]
    rehearsal: bool,
}

async fn receipt(
    context: Context,
    Path(id): Path<String>,
    Query(of): Query<Of>,
) -> Result<Response, Failure> {
    let received = find(&context, &id)?;
    let lines = std::fs::read(received.receipt(of.rehearsal)).map_err(|_| Failure::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"receipt.jsonl\""),
    ];
    Ok((headers, Body::from(lines)).into_response())
}
