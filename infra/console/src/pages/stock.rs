use askama::Template;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;

use super::{Context, Failure, Frame, LINKS, render, text};
use crate::Desk;
use crate::commands;

/// The width of a bar, in units of its drawing.
const BAR: u64 = 1_000;

pub(super) fn routes() -> Router<Desk> {
    Router::new().route("/", get(page)).route("/stock", get(table)).route("/doctor", get(doctor))
}

#[derive(Template)]
#[template(path = "stock.html")]
struct Page {
    frame: Frame,
}

async fn page(context: Context) -> Html<String> {
    render(&Page { frame: context.frame("Stock") })
}

/// The stock of a product, as `keypool stock --json` prints it.
#[derive(Deserialize)]
struct Stock {
    product_id: u32,
    name: Option<String>,
    status: String,
    available: u64,
    assigned: u64,
    reserved: u64,
    blocked: u64,
    waited_for: u64,
    estimate: Option<u64>,
    generator_id: Option<u32>,
    sold_last_hour: u64,
    sold_last_day: u64,
    hours_left: Option<u64>,
    /// Sales in each of the last 24 hours, the youngest last.
    #[serde(default)]
    sold_by_hour: Vec<u64>,
    /// Sales on each of the last 30 days, the youngest last.
    #[serde(default)]
    sold_by_day: Vec<u64>,
}

/// A part of a bar: its kind, and where it begins and ends.
struct Part {
    kind: &'static str,
    start: u64,
    width: u64,
}

impl Stock {
    fn total(&self) -> u64 {
        self.available + self.assigned + self.reserved + self.blocked
    }

    fn parts(&self) -> Vec<Part> {
        let counts = [
            ("available", self.available),
            ("assigned", self.assigned),
            ("reserved", self.reserved),
            ("blocked", self.blocked),
        ];
        let (total, mut sum) = (self.total().max(1), 0);
        let parts = counts.into_iter().map(|(kind, count)| {
            let start = sum * BAR / total;
            sum += count;
            Part { kind, start, width: sum * BAR / total - start }
        });
        parts.filter(|part| part.width > 0).collect()
    }

    /// The time until the stock is sold out, in words.
    fn lasts(&self) -> String {
        match self.hours_left {
            _ if self.available == 0 && self.generator_id.is_some() => "keys are generated".to_owned(),
            _ if self.available == 0 => "sold out".to_owned(),
            None => "no sale yet".to_owned(),
            Some(1) => "1 hour".to_owned(),
            Some(hours @ 0..48) => format!("{hours} hours"),
            Some(hours @ 48..8_760) => format!("{} days", hours / 24),
            Some(_) => "over a year".to_owned(),
        }
    }

    fn is_low(&self) -> bool {
        self.generator_id.is_none() && (self.available == 0 || self.hours_left.is_some_and(|hours| hours < 48))
    }
}

#[derive(Template)]
#[template(path = "stock_table.html")]
struct Table {
    products: Vec<Stock>,
}

async fn table(context: Context) -> Result<Html<String>, Failure> {
    let products = commands::value(&*context.desk.commands, ["stock"]).await?;
    Ok(render(&Table { products }))
}

struct Finding {
    level: String,
    check: String,
    said: String,
    way_out: String,
}

#[derive(Template)]
#[template(path = "doctor.html")]
struct Doctor {
    faults: String,
    warnings: String,
    findings: Vec<Finding>,
}

async fn doctor(context: Context) -> Result<Html<String>, Failure> {
    let report: Value = commands::value(&*context.desk.commands, ["doctor"]).await?;
    let finding = |check: &Value| Finding {
        level: text(check, "level"),
        check: text(check, "check"),
        said: text(check, "said"),
        way_out: text(check, "way_out"),
    };
    let mut findings: Vec<Finding> = report["checks"].as_array().into_iter().flatten().map(finding).collect();
    findings.sort_by_key(|finding| ["fault", "warning"].iter().position(|level| *level == finding.level).unwrap_or(2));
    Ok(render(&Doctor { faults: text(&report, "faults"), warnings: text(&report, "warnings"), findings }))
}
