use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::Html;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

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
    fn has_sales(&self) -> bool {
        self.sold_by_day.iter().any(|sold| *sold > 0)
    }

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
        self.generator_id.is_none()
            && (self.available == 0 || self.hours_left.is_some_and(|hours| hours < 48))
    }
}

/// A count of all stocks.
pub(crate) struct Count {
    products: Vec<Stock>,
    at: SystemTime,
    took: Duration,
}

/// The last count. One page counts at a time, and the others wait for its count.
pub(crate) type LastCount = Mutex<Option<Arc<Count>>>;

/// A count that took longer than this is shown again, because a large table is slow and expensive to read.
const SLOW: Duration = Duration::from_secs(1);
/// The time for which a slow count is shown again.
const SHOWN_FOR: Duration = Duration::from_mins(1);

impl Count {
    fn is_recent(&self) -> bool {
        self.took > SLOW && self.at.elapsed().is_ok_and(|age| age < SHOWN_FOR)
    }

    /// The time of the count in seconds since 1970.
    fn unix(&self) -> u64 {
        self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

#[derive(Deserialize)]
struct Asked {
    /// True if the user wants a new count.
    #[serde(default)]
    again: bool,
}

#[derive(Template)]
#[template(path = "stock_table.html")]
struct Table {
    count: Arc<Count>,
}

async fn table(context: Context, Query(asked): Query<Asked>) -> Result<Html<String>, Failure> {
    let mut last = context.desk.last_count.lock().await;
    if let Some(count) = last.clone().filter(|count| !asked.again && count.is_recent()) {
        return Ok(render(&Table { count }));
    }
    let (at, begun) = (SystemTime::now(), Instant::now());
    let products = commands::value(&context.desk.commands, ["stock"]).await?;
    let count = Arc::new(Count { products, at, took: begun.elapsed() });
    *last = Some(Arc::clone(&count));
    Ok(render(&Table { count }))
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
    /// Faults, then warnings.
    faults: Vec<Finding>,
    passed: Vec<Finding>,
}

async fn doctor(context: Context) -> Result<Html<String>, Failure> {
    let report: Value = commands::value(&context.desk.commands, ["doctor"]).await?;
    let finding = |check: &Value| Finding {
        level: text(check, "level"),
        check: text(check, "check"),
        said: text(check, "said"),
        way_out: text(check, "way_out"),
    };
    let findings = report["checks"].as_array().into_iter().flatten().map(finding);
    let (passed, mut faults): (Vec<_>, Vec<_>) = findings.partition(|finding| finding.level == "ok");
    faults.sort_by(|one, other| one.level.cmp(&other.level));
    Ok(render(&Doctor { faults, passed }))
}
