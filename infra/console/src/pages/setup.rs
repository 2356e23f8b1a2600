//! Products, generators, API keys and signing keys: four pages of one form. Each is a list with a form to
//! create another, and actions on each row.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header;
use keypool_domain::Endpoint;
use serde::Deserialize;
use serde_json::Value;

use super::{Context, Failure, Frame, LINKS, render, text};
use crate::Desk;
use crate::access::Message;
use crate::commands;
use crate::form::Fields;

/// A kind of record that an operator sets up.
struct Resource {
    title: &'static str,
    path: &'static str,
    /// The subcommand.
    noun: &'static str,
    /// The member that names a row for its actions.
    id: &'static str,
    /// Heading and member of each column.
    columns: &'static [(&'static str, &'static str)],
    /// The fields of the form that creates one.
    fields: &'static [Field],
    /// The fields of the form that changes one.
    changes: &'static [Field],
    note: &'static str,
    /// The actions that need a confirmation, each with its effect.
    confirmed: &'static [(&'static str, &'static str)],
}

/// A field of a form, and the option of the subcommand that it becomes.
struct Field {
    label: &'static str,
    option: &'static str,
    hint: &'static str,
    is_required: bool,
}

const fn field(label: &'static str, option: &'static str, hint: &'static str) -> Field {
    Field { label, option, hint, is_required: false }
}

const fn required(label: &'static str, option: &'static str, hint: &'static str) -> Field {
    Field { label, option, hint, is_required: true }
}

// The fields that forms share.
const PREFIX: Field = field("Prefix", "prefix", "");
const SUFFIX: Field = field("Suffix", "suffix", "");
const ACTIVATIONS: Field = field("Activations", "activation-limit", "0 is unlimited");
const DAYS_VALID: Field = field("Days valid", "validity", "0 is unlimited");
const KEYS_PER_ORDER: Field = field("Keys an order", "keys-per-order", "1 to 1,000");
const KEYS_PER_HOUR: Field = field("Keys an hour", "keys-per-hour", "");
const LAST_DAY: Field = field("Last day", "expires", "YYYY-MM-DD");

const PRODUCTS: Resource = Resource {
    title: "Products",
    path: "products",
    noun: "product",
    id: "id",
    columns: &[
        ("Id", "id"),
        ("Name", "name"),
        ("Status", "status"),
        ("Generator", "generator_id"),
        ("Signing key", "signing_key"),
    ],
    fields: &[
        required("Name", "name", ""),
        field("Id", "id", "the shop's number; the next free one if empty"),
    ],
    changes: &[
        field("Name", "name", ""),
        field("Generator", "generator", "the number of one of its generators"),
    ],
    note: "",
    confirmed: &[(
        "disable",
        "To shops the product does not exist until it is enabled again. Its keys stay.",
    )],
};

const GENERATORS: Resource = Resource {
    title: "Generators",
    path: "generators",
    noun: "generator",
    id: "id",
    columns: &[
        ("Id", "id"),
        ("Product", "product_id"),
        ("Status", "status"),
        ("Method", "method"),
        ("Prefix", "prefix"),
        ("Suffix", "suffix"),
        ("Activations", "activation_limit"),
        ("Days valid", "validity"),
    ],
    fields: &[
        required("Product", "product", "the product's number"),
        field("Method", "method", "uuid or chunk-system; uuid if empty"),
        PREFIX,
        SUFFIX,
        field("Characters", "charset", "chunk-system only"),
        field("Chunks", "chunks", "chunk-system only; 4 if empty"),
        field("Characters in a chunk", "chunk-length", "chunk-system only; 4 if empty"),
        ACTIVATIONS,
        DAYS_VALID,
    ],
    changes: &[PREFIX, SUFFIX, ACTIVATIONS, DAYS_VALID],
    note: "A product's first generator becomes its default.",
    confirmed: &[("disable", "To shops the generator does not exist. Its product sells only keys in stock.")],
};

const API_KEYS: Resource = Resource {
    title: "API keys",
    path: "api-keys",
    noun: "api-key",
    id: "sha256",
    columns: &[
        ("Name", "name"),
        ("Status", "status"),
        ("Endpoints", "capabilities"),
        ("Networks", "networks"),
        ("Valid until", "valid_until"),
        ("Products", "products"),
        ("Keys an order", "keys_per_order"),
        ("Keys an hour", "keys_per_hour"),
    ],
    fields: &[
        required("Name", "name", ""),
        field("Endpoints", "capability", "one a line; all if empty"),
        field("Networks", "network", "addresses or CIDR, one a line; any if empty"),
        field("Products", "product", "numbers, one a line; all if empty"),
        KEYS_PER_ORDER,
        KEYS_PER_HOUR,
        LAST_DAY,
    ],
    changes: &[field("Name", "name", ""), KEYS_PER_ORDER, KEYS_PER_HOUR, LAST_DAY],
    note: "keypool stores a hash of an API key only. The page shows a new key once.",
    confirmed: &[
        ("disable", "After at most 60 seconds, requests with this key get code 101."),
        (
            "rotate",
            "keypool creates a key with the same rights, and shows it once. The old key stays valid for 24 hours.",
        ),
    ],
};

const SIGNING_KEYS: Resource = Resource {
    title: "Signing keys",
    path: "signing-keys",
    noun: "signing-key",
    id: "kid",
    columns: &[
        ("Product", "product_id"),
        ("KMS key", "signing_key"),
        ("Retired", "retired_at"),
        ("Thumbprint", "kid"),
        ("Fault", "fault"),
    ],
    fields: &[required("Product", "product", "the product that it signs for")],
    changes: &[],
    note: "A key without a product is the global one. Public keys of retired keys stay available.",
    confirmed: &[(
        "rotate",
        "keypool creates a new key, which signs for the product from then on. On AWS this takes five minutes. The old \
         key is retired, and its public key stays available, to check old responses.",
    )],
};

const ALL: [&Resource; 4] = [&PRODUCTS, &GENERATORS, &API_KEYS, &SIGNING_KEYS];

impl Resource {
    fn of(path: &str) -> Result<&'static Self, Failure> {
        ALL.into_iter().find(|resource| resource.path == path).ok_or(Failure::NotFound)
    }

    /// The name of one of them, for people.
    fn name_of(&self, value: &Value) -> String {
        let name = text(value, "name");
        if self.is(&SIGNING_KEYS) {
            format!("the signing key of product {}", text(value, "product_id"))
        } else if name.is_empty() {
            format!("{} {}", self.noun, text(value, "id"))
        } else {
            name
        }
    }

    /// Runs a subcommand that changes one of them, and loads the list, which says that it is `done`.
    async fn act(&self, context: &Context, arguments: Vec<String>, done: &str) -> Result<Response, Failure> {
        let commands = &context.desk.commands;
        // A new signing key takes five minutes on AWS.
        let (printed, is_done) = if self.is(&SIGNING_KEYS) {
            commands::run_detached(commands, arguments).await?
        } else {
            (commands::run(commands, arguments).await?, true)
        };
        let done = if is_done { done } else { "This is still running. The terminal reports its end." };
        let done = [&[done.to_owned()], &*printed.notes].concat().join(" ");
        let secret = printed.values.first().map(|made| text(made, "api_key")).unwrap_or_default();
        Ok(context.done(Message { done, secret }, self.path))
    }

    fn is(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

pub(super) fn routes() -> Router<Desk> {
    let lists = ALL.into_iter().fold(Router::new(), |router, resource| {
        router.route(
            &format!("/{}", resource.path),
            get(move |context: Context| async move { show(&context, resource).await }),
        )
    });
    lists
        .route("/setup/{path}/create", post(create))
        .route("/setup/{path}/change", post(change))
        .route("/setup/{path}/confirm", post(confirm))
        .route("/public-key.pem", get(public_key))
}

struct Row {
    id: String,
    /// The row for people.
    name: String,
    cells: Vec<Cell>,
    /// The verb that switches it: `disable` or `enable`; empty if it cannot be switched.
    switch: &'static str,
    can_rotate: bool,
    product: String,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct Page {
    frame: Frame,
    resource: &'static Resource,
    rows: Vec<Row>,
    message: Message,
}

async fn show(context: &Context, resource: &'static Resource) -> Result<Html<String>, Failure> {
    let values: Vec<Value> = commands::value(&context.desk.commands, [resource.noun, "list"]).await?;
    let row = |value: &Value| Row {
        id: text(value, resource.id),
        name: resource.name_of(value),
        cells: resource.columns.iter().map(|(_, member)| Cell::of(value, member)).collect(),
        switch: match value["status"].as_str() {
            Some("active") => "disable",
            Some(_) => "enable",
            None => "",
        },
        can_rotate: resource.is(&API_KEYS)
            || resource.is(&SIGNING_KEYS) && !value["product_id"].is_null() && value["retired_at"].is_null(),
        product: text(value, "product_id"),
    };
    let rows = values.iter().map(row).collect();
    let message = context.take_message();
    Ok(render(&Page { frame: context.frame(resource.title), resource, rows, message }))
}

struct Cell {
    text: String,
    is_time: bool,
}

impl Cell {
    /// The cell of a member. The whole list of endpoints is long, so it is `all`.
    fn of(value: &Value, member: &str) -> Self {
        let text = match value[member].as_array() {
            Some(all) if member == "capabilities" && all.len() == Endpoint::ALL.len() => "all".to_owned(),
            _ => text(value, member),
        };
        Self { text, is_time: matches!(member, "retired_at" | "valid_until") }
    }
}

/// The options that the fields of a form become. A field with several lines is an option for each.
fn options(fields: &Fields, of: &[Field]) -> Vec<String> {
    let lines = |field: &Field| {
        let lines = fields.text(field.option).lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(|line| format!("--{}={line}", field.option)).collect::<Vec<_>>()
    };
    of.iter().flat_map(lines).collect()
}

async fn create(context: Context, Path(path): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let resource = Resource::of(&path)?;
    let mut arguments = vec![resource.noun.to_owned(), "create".to_owned()];
    arguments.extend(options(&fields, resource.fields));
    resource.act(&context, arguments, "Created.").await
}

#[derive(Template)]
#[template(path = "setup_confirm.html")]
struct Confirm {
    frame: Frame,
    resource: &'static Resource,
    will: &'static str,
    verb: String,
    id: String,
    name: String,
    product: String,
}

/// Says what will happen and asks for a confirmation, if the action needs one. Else does it.
async fn confirm(context: Context, Path(path): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let resource = Resource::of(&path)?;
    let [verb, id, name, product] =
        ["verb", "id", "name", "product"].map(|field| fields.text(field).to_owned());
    let will = resource.confirmed.iter().find(|(confirmed, _)| *confirmed == verb);
    let Some((_, will)) = will else { return change(context, Path(path), fields).await };
    Ok(render(&Confirm { frame: context.frame(resource.title), resource, will, verb, id, name, product })
        .into_response())
}

/// Changes a row: `enable`, `disable`, `rotate`, or `update` with the fields that are filled in.
async fn change(context: Context, Path(path): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let resource = Resource::of(&path)?;
    let (verb, id) = (fields.text("verb"), fields.text("id"));
    let mut arguments = vec![resource.noun.to_owned(), verb.to_owned()];
    match verb {
        "rotate" if resource.is(&SIGNING_KEYS) => arguments.extend(fields.options("product", "product")),
        "enable" | "disable" | "rotate" => {}
        "update" => arguments.extend(options(&fields, resource.changes)),
        _ => return Err(Failure::Form),
    }
    if !resource.is(&SIGNING_KEYS) {
        arguments.extend(["--".to_owned(), id.to_owned()]);
    }
    resource.act(&context, arguments, "Done.").await
}

#[derive(Deserialize)]
struct Of {
    #[serde(default)]
    kid: String,
}

/// The public half of a signing key, as a file.
async fn public_key(context: Context, Query(of): Query<Of>) -> Result<Response, Failure> {
    let key = format!("--key={}", of.kid);
    let printed = commands::run(&context.desk.commands, ["signing-key", "public-key", &key]).await?;
    let value = printed.values.into_iter().next().unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, "application/x-pem-file"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"public-key.pem\""),
    ];
    Ok((headers, text(&value, "pem")).into_response())
}
