use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use keypool_domain::{Activity, Clock as _, Generator, GeneratorId, Product, ProductId, SystemClock};
use keypool_store::{Inventory, KeyFilter, Look, StockSize};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::output::{BAD, FAINT, GOOD, Output, Table, WARNING};
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
    pub(crate) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        if !self.watch {
            self.show(target, output).await?;
            return Ok(Exit::Done);
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
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted.map(|()| Exit::Done)?),
        }
    }

    async fn show(&self, target: &Target, output: Output) -> anyhow::Result<()> {
        let (mut products, generators) =
            (target.store.list::<Product>().await?, target.store.list::<Generator>().await?);
        let at_work: BTreeSet<GeneratorId> = generators
            .iter()
            .filter(|found| found.activity == Activity::Active)
            .map(|found| found.id)
            .collect();
        for product in &mut products {
            product.generator_id = product.generator_id.filter(|id| at_work.contains(id));
        }
        let inventory = {
            let progress = output.progress("reading", Some(target.store.approximate_count().await?));
            let filter = KeyFilter { product_id: self.product, ..KeyFilter::default() };
            target.store.inventory(filter, SystemClock.now(), |read| progress.add(read as u64)).await?
        };
        let mut lines = lines(&products, &inventory, self.product);
        for line in &mut lines {
            let waiting = target.store.line(line.id).await?;
            line.waited_for = waiting.iter().map(|order| order.quantity).sum();
        }
        for line in lines.iter_mut().filter(|line| line.inventory.available > 0) {
            let drawn = target.store.draw(line.id, 1, &HashSet::new(), Look::Once).await?;
            line.estimate = Some(drawn.stock);
        }
        if let (Some(id), []) = (self.product, lines.as_slice()) {
            bail!("there is no product {id}, and no key of it");
        }
        let mut table = Table::new([
            "PRODUCT",
            "NAME",
            "AVAILABLE",
            "",
            "WAITED FOR",
            "ESTIMATE",
            "ASSIGNED",
            "RESERVED",
            "BLOCKED",
            "LAST DAY",
            "LAST HOUR",
            "LASTS",
        ]);
        let most = lines.iter().map(|line| line.inventory.available).max().unwrap_or(0);
        for line in &lines {
            table.row(line.row(most));
        }
        output.table(&table, lines.iter().map(Line::value).collect())
    }
}

/// The stock of one product.
struct Line {
    id: ProductId,
    name: Option<String>,
    is_active: bool,
    /// The generator that makes its keys when the stock is empty, if it is active.
    generator_id: Option<GeneratorId>,
    inventory: Inventory,
    /// The number of keys that queued orders wait for.
    waited_for: usize,
    /// The size of the stock as one draw sees it.
    estimate: Option<StockSize>,
}

/// Builds a line for each product, and for each missing product that has keys.
fn lines(
    products: &[Product],
    inventory: &BTreeMap<ProductId, Inventory>,
    only: Option<ProductId>,
) -> Vec<Line> {
    let mut lines: BTreeMap<ProductId, Line> = inventory
        .iter()
        .map(|(id, inventory)| (*id, Line { inventory: *inventory, ..Line::without_keys(*id) }))
        .collect();
    for product in products.iter().filter(|product| only.is_none_or(|only| only == product.id)) {
        let line = lines.entry(product.id).or_insert_with(|| Line::without_keys(product.id));
        line.name = Some(product.name.as_str().to_owned());
        line.is_active = product.is_active();
        line.generator_id = product.generator_id;
    }
    lines.into_values().collect()
}

impl Line {
    fn without_keys(id: ProductId) -> Self {
        let inventory = Inventory::default();
        Self {
            id,
            name: None,
            is_active: false,
            generator_id: None,
            inventory,
            waited_for: 0,
            estimate: None,
        }
    }

    fn row(&self, most: u64) -> [String; 12] {
        let Inventory { available, assigned, reserved, blocked, sold_last_hour, sold_last_day } =
            self.inventory;
        let style = match self.inventory.hours_left() {
            _ if available == 0 && self.generator_id.is_some() => FAINT,
            _ if available == 0 => BAD,
            Some(hours) if hours < LOW_HOURS => WARNING,
            _ => GOOD,
        };
        let name = match &self.name {
            Some(name) if self.is_active => name.clone(),
            Some(name) => format!("{name} {FAINT}(inactive){FAINT:#}"),
            None => format!("{FAINT}(no such product){FAINT:#}"),
        };
        [
            self.id.to_string(),
            name,
            format!("{style}{available}{style:#}"),
            format!("{style}{}{style:#}", bar(available, most)),
            self.waited_for.to_string(),
            self.estimate_beside_count(),
            assigned.to_string(),
            reserved.to_string(),
            blocked.to_string(),
            sold_last_day.to_string(),
            sold_last_hour.to_string(),
            self.lasts(),
        ]
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
        let Inventory { available, assigned, reserved, blocked, sold_last_hour, sold_last_day } =
            self.inventory;
        json!({
            "product_id": self.id,
            "name": self.name,
            "status": if self.is_active { "active" } else { "inactive" },
            "available": available,
            "waited_for": self.waited_for,
            "estimate": self.estimate.map(StockSize::get),
            "assigned": assigned,
            "reserved": reserved,
            "blocked": blocked,
            "sold_last_hour": sold_last_hour,
            "sold_last_day": sold_last_day,
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
        let line = |available, sold_last_day| Line {
            inventory: Inventory { available, sold_last_day, ..Inventory::default() },
            ..Line::without_keys(ProductId::MIN)
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
