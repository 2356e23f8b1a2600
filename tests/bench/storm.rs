//! Places very many orders in a storm: every rare fault of AWS, all the time. At the end every key must be
//! where it belongs.
//!
//! `cargo bench -p keypool-tests --bench storm -- --orders 100000 --seed 7` prints a table in Markdown and
//! exits with 1 if an invariant is violated. The same seed repeats the same orders and the same faults.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its results")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use keypool_tests::storms::{FaultRates, Mix, SWEEP, StormRun};
use keypool_tests::{Shop, lines_with, log_quietly};

/// The interval of the progress on a terminal.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);
/// The interval of the progress in a log.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Many buyers order in a storm of faults; afterwards every key must be where it belongs.
#[derive(Debug, Parser)]
#[command(name = "storm")]
struct Arguments {
    /// Number of orders
    #[arg(long, default_value_t = 1_000)]
    orders: u32,
    /// Seed: the same seed repeats the same orders and the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of buyers that place orders side by side
    #[arg(long, default_value_t = 24)]
    buyers: u32,
    /// Factor for the number of faults; 0 disables them, for comparison
    #[arg(long, default_value_t = 1)]
    strength: u32,
    /// Largest number of keys that one write sells; orders of more are large ones
    #[arg(long, default_value_t = keypool_store::SALE_KEYS_MAX)]
    sale_keys_max: usize,
    /// Flag that `cargo bench` passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_quietly();
    let run = StormRun {
        seed: arguments.seed,
        orders: arguments.orders,
        buyers: arguments.buyers,
        mix: Mix::USUAL,
        rates: FaultRates::STORM.times(arguments.strength),
        sweep: SWEEP,
    };
    let shop =
        Shop::builder().with_checkout_timeouts().with_sale_keys_max(arguments.sale_keys_max).open().await;
    let placed = AtomicU64::new(0);
    let bar = ProgressBar::new(u64::from(arguments.orders));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} orders, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    let watch = async {
        let mut ticks = tokio::time::interval(if bar.is_hidden() { LOG_INTERVAL } else { TERMINAL_INTERVAL });
        loop {
            ticks.tick().await;
            bar.set_position(placed.load(Ordering::Relaxed));
            if bar.is_hidden() {
                eprintln!("{} of {} orders", bar.position(), arguments.orders);
            }
        }
    };
    let figures = tokio::select! {
        figures = run.run(&shop, &placed) => figures,
        () = watch => return ExitCode::FAILURE,
    };
    bar.finish_and_clear();
    println!("{figures}");
    // The functions' own log shows the cause of a violation.
    for line in lines_with(r#""status":500"#) {
        println!("- {line}\n");
    }
    if figures.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
