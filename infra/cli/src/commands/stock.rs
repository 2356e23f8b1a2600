use std::collections::HashSet;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use keypool_domain::{Clock as _, Generator, GeneratorId, Product, ProductId, SystemClock};
use keypool_store::{Inventory, KeyFilter, Look, StockSize};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::output::{BAD, Column, FAINT, GOOD, Output, Table, WARNING};
use crate::target::Target;

/// Show the stock and the sales of each product.
///
/// The command reads the whole table: some 4 read units for a hundred keys, a few cents for ten million.
/// LASTS is the time until the stock is sold out at the rate of the last 24 hours; "made when sold" is a
/// product with a generator and an empty stock. ESTIMATE is the size of the stock as one draw sees it, and
/// its deviation from the count. The metric `StockEstimate` has it for every draw, so an alarm needs no
/// count. WAITED FOR is the number of keys that queued orders wait for; new keys go to them first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool stock\n  \
    keypool stock --product 42 --json\n  \
    keypool stock --watch --every 300\n\n\
    Ctrl-C ends --watch.")]
pub(crate) struct Stock {
    /// Only this product
    #[arg(long, value_name = "NUMBER")]
    product: Option<ProductId>,
    /// Refresh the table until interrupted
    #[arg(long)]
    watch: bool,
    /// The seconds between two refreshes
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "watch", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,
}

/// The width of a bar, in columns.
const BAR: u64 = 20;
/// A stock that lasts fewer hours than this is shown as low.
const LOW_HOURS: u64 = 48;

impl Stock {
    pub(crate) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        if !self.watch {
            return self.show(target, output).await;
        }
        let mut schedule = tokio::time::interval(Duration::from_secs(self.every));
        schedule.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let watch = async {
            loop {
                schedule.tick().await;
                if output.is_terminal() {
                    output.clear_screen()?;
                }
                self.show(target, output).await?;
                // Each refresh reads the whole table, so stop if nobody reads the output.
                if !output.is_read() {
                    return Ok(Exit::Done);
                }
            }
        };
        tokio::select! {
            ended = watch => ended,
            () = output.interrupted() => Ok(Exit::Done),
        }
    }

    async fn show(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let (mut products, generators) =
            (target.store.list::<Product>().await?, target.store.list::<Generator>().await?);
        products.retain(|product| self.product.is_none_or(|only| only == product.id));
        let mut stocks = {
            let progress = output.progress("reading", Some(target.store.approximate_count().await?));
            let filter = KeyFilter { product_id: self.product, ..KeyFilter::default() };
            target.store.inventory(filter, SystemClock.now(), |read| progress.add(read as u64)).await?
        };
        for product in &products {
            stocks.entry(product.id).or_default();
        }
        if let (Some(id), true) = (self.product, stocks.is_empty()) {
            bail!("there is no product {id}, and no key of it");
        }
        let most = stocks.values().map(|inventory| inventory.available).max().unwrap_or(0);
        let mut lines = Vec::new();
        for (id, inventory) in stocks {
            let product = products.iter().find(|product| product.id == id).cloned();
            let generator_id = product.as_ref().and_then(|product| product.generator_id);
            let is_active = |id: &GeneratorId| {
                generators.iter().any(|generator| generator.id == *id && generator.is_active())
            };
            let waiting = target.store.line(id).await?;
            let estimate = if inventory.available > 0 {
                Some(target.store.draw(id, 1, &HashSet::new(), Look::Once).await?.stock)
            } else {
                None
            };
            lines.push(Line {
                id,
                product,
                generator_id: generator_id.filter(is_active),
                inventory,
                waited_for: waiting.iter().map(|order| order.quantity).sum(),
                estimate,
                most,
            });
        }
        output.table(&Table::of(&lines, COLUMNS), lines.iter().map(Line::value).collect())
    }
}

/// The stock of one product.
struct Line {
    id: ProductId,
    /// `None` if there are keys, but no such product.
    product: Option<Product>,
    /// The generator that makes its keys when the stock is empty, if it is active.
    generator_id: Option<GeneratorId>,
    inventory: Inventory,
    /// The number of keys that queued orders wait for.
    waited_for: usize,
    /// The size of the stock as one draw sees it.
    estimate: Option<StockSize>,
    /// The size of the largest stock in the list.
    most: u64,
}

const COLUMNS: &[Column<Line>] = &[
    ("PRODUCT", |line| line.id.to_string()),
    ("NAME", Line::name),
    ("AVAILABLE", |line| line.styled(&line.inventory.available.to_string())),
    ("", |line| line.styled(&bar(line.inventory.available, line.most))),
    ("WAITED FOR", |line| line.waited_for.to_string()),
    ("ESTIMATE", Line::estimate_beside_count),
    ("ASSIGNED", |line| line.inventory.assigned.to_string()),
    ("RESERVED", |line| line.inventory.reserved.to_string()),
    ("BLOCKED", |line| line.inventory.blocked.to_string()),
    ("LAST DAY", |line| line.inventory.sold_last_day().to_string()),
    ("LAST HOUR", |line| line.inventory.sold_last_hour().to_string()),
    ("LASTS", Line::lasts),
];

impl Line {
    fn name(&self) -> String {
        match &self.product {
            Some(product) if product.is_active() => product.name.as_str().to_owned(),
            Some(product) => format!("{} {FAINT}(inactive){FAINT:#}", product.name.as_str()),
            None => format!("{FAINT}(no such product){FAINT:#}"),
        }
    }

    /// A text in the color of the stock's state.
    fn styled(&self, text: &str) -> String {
        let style = match self.inventory.hours_left() {
            _ if self.inventory.available == 0 && self.generator_id.is_some() => FAINT,
            _ if self.inventory.available == 0 => BAD,
            Some(hours) if hours < LOW_HOURS => WARNING,
            _ => GOOD,
        };
        format!("{style}{text}{style:#}")
    }

    /// The estimate of one draw and its deviation from the count. The alarm for a low stock uses this metric.
    fn estimate_beside_count(&self) -> String {
        match self.estimate {
            None => String::new(),
            Some(StockSize::Exact(_)) => "exact".to_owned(),
            Some(StockSize::Estimate(keys)) => {
                let count = i128::from(self.inventory.available).max(1);
                let percent = (i128::try_from(keys).unwrap_or(i128::MAX) - count) * 100 / count;
                format!("{keys} ({percent:+} %)")
            }
        }
    }

    fn lasts(&self) -> String {
        match self.inventory.hours_left() {
            _ if self.inventory.available == 0 && self.generator_id.is_some() => "made when sold".to_owned(),
            _ if self.inventory.available == 0 => "sold out".to_owned(),
            None => "-".to_owned(),
            Some(hours @ 0..LOW_HOURS) => format!("{hours} hours"),
            Some(hours @ LOW_HOURS..8_760) => format!("{} days", hours / 24),
            Some(_) => "over a year".to_owned(),
        }
    }

    fn value(&self) -> Value {
        let Inventory { available, assigned, reserved, blocked, sold_by_hour, sold_by_day } = self.inventory;
        json!({
            "product_id": self.id,
            "name": self.product.as_ref().map(|product| product.name.as_str()),
            "status": if self.product.as_ref().is_some_and(Product::is_active) { "active" } else { "inactive" },
            "available": available,
            "waited_for": self.waited_for,
            "estimate": self.estimate.map(StockSize::get),
            "assigned": assigned,
            "reserved": reserved,
            "blocked": blocked,
            "sold_last_hour": self.inventory.sold_last_hour(),
            "sold_last_day": self.inventory.sold_last_day(),
            "sold_by_hour": sold_by_hour,
            "sold_by_day": sold_by_day,
            "generator_id": self.generator_id,
            "hours_left": self.inventory.hours_left(),
        })
    }
}

/// Draws a bar for `count` out of `most`. A count above zero is always visible.
fn bar(count: u64, most: u64) -> String {
    let eighths = (count * BAR * 8).checked_div(most).unwrap_or(0).max(u64::from(count > 0));
    let last = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let full = (0..eighths / 8).map(|_| '█');
    let part = usize::try_from(eighths % 8).ok().filter(|part| *part > 0).and_then(|part| last.get(part));
    full.chain(part.copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Line {
        fn without_keys(id: ProductId) -> Self {
            let (product, generator_id, inventory, estimate) = (None, None, Inventory::default(), None);
            Self { id, product, generator_id, inventory, waited_for: 0, estimate, most: 0 }
        }
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(0, 0), "");
        assert_eq!(bar(0, 9), "");
        assert_eq!(bar(1, 1_000_000), "▏");
        assert_eq!(bar(1, 2), "█".repeat(10));
        assert_eq!(bar(7, 7), "█".repeat(20));
        assert_eq!(bar(33, 64), format!("{}▎", "█".repeat(10)));
    }

    #[test]
    fn an_estimate_shows_its_deviation_from_the_count() {
        let line = |estimate| Line {
            inventory: Inventory { available: 1_000, ..Inventory::default() },
            estimate,
            ..Line::without_keys(ProductId::MIN)
        };
        assert_eq!(line(None).estimate_beside_count(), "");
        assert_eq!(line(Some(StockSize::Exact(1_000))).estimate_beside_count(), "exact");
        assert_eq!(line(Some(StockSize::Estimate(1_210))).estimate_beside_count(), "1210 (+21 %)");
        assert_eq!(line(Some(StockSize::Estimate(900))).estimate_beside_count(), "900 (-10 %)");
    }

    #[test]
    fn a_stock_lasts_hours_days_or_years() {
        let line = |available, sold| {
            let sold_by_hour = std::array::from_fn(|hour| if hour == 12 { sold } else { 0 });
            let inventory = Inventory { available, sold_by_hour, ..Inventory::default() };
            Line { inventory, ..Line::without_keys(ProductId::MIN) }
        };
        let with_generator = Line { generator_id: Some(GeneratorId::MIN), ..line(0, 5) };
        assert_eq!(with_generator.lasts(), "made when sold");
        assert_eq!(line(0, 5).lasts(), "sold out");
        assert_eq!(line(5, 0).lasts(), "-");
        assert_eq!(line(10, 24).lasts(), "10 hours");
        assert_eq!(line(240, 24).lasts(), "10 days");
        assert_eq!(line(1_000_000, 1).lasts(), "over a year");
    }
}
