//! Very many orders in a storm: everything that AWS does now and then, all the time, and at the end every key is where it
//! belongs.
//!
//! `cargo bench -p keypool-tests --bench storm -- --orders 100000 --seed 7` prints a table in Markdown and exits with 1
//! when an invariant does not hold. The same seed brings the same orders and the same faults again.

#![expect(clippy::print_stdout, reason = "what it found is what it is for")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use keypool_tests::history::{Mix, SWEEP, Trial};
use keypool_tests::{Rates, Shop, lines_with, log_quietly};

/// Many buyers order in a storm of faults; afterwards every key must be where it belongs.
#[derive(Debug, Parser)]
#[command(name = "storm")]
struct Arguments {
    /// How many orders are placed
    #[arg(long, default_value_t = 1_000)]
    orders: u32,
    /// The number that brings the same orders and the same faults again
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many buyers place them side by side
    #[arg(long, default_value_t = 24)]
    buyers: u32,
    /// How many times as many faults happen; 0: none, to see what they cost
    #[arg(long, default_value_t = 1)]
    strength: u32,
    /// How many keys one write sells at most: orders of more are large ones
    #[arg(long, default_value_t = keypool_store::SALE_KEYS_MAX)]
    sale_keys_max: usize,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_quietly();
    let trial = Trial {
        seed: arguments.seed,
        orders: arguments.orders,
        buyers: arguments.buyers,
        mix: Mix::USUAL,
        rates: Rates::STORM.times(arguments.strength),
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
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            bar.set_position(placed.load(Ordering::Relaxed));
        }
    };
    let figures = tokio::select! {
        figures = trial.run(&shop, &placed) => figures,
        () = watch => return ExitCode::FAILURE,
    };
    bar.finish_and_clear();
    println!("{figures}");
    // What a violation came from stands in the functions' own log.
    for line in lines_with(r#""status":500"#) {
        println!("- {line}\n");
    }
    if figures.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
