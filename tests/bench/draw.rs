//! Simulates draws: calls and misses of a sale of one key, by the size of the stock and the number of
//! environments. Each case runs with kept windows and without.
//!
//! `cargo bench -p keypool-tests --bench draw` simulates a rush in memory, with the sizes and rules of the
//! functions. A draw reads 24 keys from a random position, a sale writes 30 ms later, and an environment
//! keeps a window for 5 s. New keys replace sold ones, so the size of the stock is constant. The same seed
//! repeats the same sales.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]
#![expect(clippy::cast_precision_loss, reason = "ratios need a few digits")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use keypool_domain::{Randomness, pick};
use keypool_store::{StockSize, candidate_window};
use keypool_tests::SeededRandomness;

/// The time from a draw to the write, and from a signature to the write.
const SIGN_AND_WRITE_MS: u64 = 30;
/// The time for which an environment keeps a window.
const KEPT_MS: u64 = 5_000;
/// Sales of each environment in a second. One environment can make about twenty, one after the other.
const SALES_A_SECOND: usize = 5;
const SALES: u32 = 20_000;

/// The keys in stock, by position.
type Stock = BTreeMap<u64, u64>;

/// Unused keys of a draw, with their positions.
struct Window {
    keys: Vec<(u64, u64)>,
    stock: usize,
    drawn_at: u64,
}

/// A sale under way: its candidates, and the number of misses it has left.
struct Sale {
    window: Window,
    misses_left: u32,
}

#[derive(Default)]
struct Figures {
    queries: u32,
    misses: u32,
    /// Calls in sequence of all sales.
    calls: u32,
    squared_error: f64,
}

struct Rush {
    stock: Stock,
    next_key: u64,
    randomness: SeededRandomness,
    /// The smallest estimate of a stock whose windows are kept. `None` keeps no window.
    kept_from: Option<usize>,
    figures: Figures,
}

impl Rush {
    fn position(&self) -> u64 {
        let mut bytes = [0; 8];
        self.randomness.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn put_one(&mut self) {
        let position = self.position();
        self.stock.insert(position, self.next_key);
        self.next_key += 1;
    }

    fn draw(&mut self, now: u64) -> Window {
        self.figures.queries += 1;
        self.figures.calls += 1;
        let start = self.position();
        let room = candidate_window(1);
        let mut keys: Vec<(u64, u64)> = self
            .stock
            .range(start..)
            .chain(self.stock.range(..start))
            .take(room)
            .map(|(p, k)| (*p, *k))
            .collect();
        let end = keys.last().map_or(start, |(position, _)| *position);
        let fraction = end.wrapping_sub(start) as f64 / u64::MAX as f64;
        let stock = StockSize::of_span(keys.len(), fraction).get();
        let size = self.stock.len() as f64;
        self.figures.squared_error += (stock as f64 / size - 1.0).powi(2);
        let count = keys.len();
        Window { keys: pick(&mut keys, count, &self.randomness), stock, drawn_at: now }
    }

    /// Begins a sale: from the kept window if it is fresh, else from a new draw.
    fn begin(&mut self, kept: Option<Window>, now: u64) -> Sale {
        match kept.filter(|window| now - window.drawn_at <= KEPT_MS) {
            Some(window) => Sale { window, misses_left: 1 },
            None => Sale { window: self.draw(now), misses_left: 2 },
        }
    }

    /// Writes the sale of a candidate. Returns true if the key was still for sale.
    fn write(&mut self, sale: &mut Sale, now: u64) -> bool {
        let (position, key) = sale.window.keys.remove(0);
        if self.stock.get(&position) == Some(&key) {
            self.stock.remove(&position);
            self.put_one();
            return true;
        }
        self.figures.misses += 1;
        sale.misses_left -= 1;
        if sale.misses_left == 0 || sale.window.keys.is_empty() {
            sale.window = self.draw(now);
            sale.misses_left = 2;
        }
        false
    }

    /// Runs the rush with this number of environments.
    fn run(mut self, environments: usize) -> Figures {
        let mut kept: Vec<Option<Window>> = (0..environments).map(|_| None).collect();
        // The time, a number that makes events unique, and the environment.
        let mut events: BinaryHeap<Reverse<(u64, u64, usize)>> = BinaryHeap::new();
        let mut under_way: BTreeMap<usize, Sale> = BTreeMap::new();
        for environment in 0..environments {
            events.push(Reverse((self.pause(), environment as u64, environment)));
        }
        let (mut number, mut sold) = (environments as u64, 0);
        while let Some(Reverse((now, _, environment))) = events.pop() {
            let is_sold = match under_way.get_mut(&environment) {
                None => {
                    let sale = self.begin(kept[environment].take(), now);
                    under_way.insert(environment, sale);
                    false
                }
                Some(sale) => self.write(sale, now),
            };
            let wait = if is_sold {
                sold += 1;
                let sale = under_way.remove(&environment);
                kept[environment] = sale.map(|sale| sale.window).filter(|window| self.keeps(window));
                self.pause()
            } else {
                self.figures.calls += 2;
                SIGN_AND_WRITE_MS
            };
            if sold == SALES {
                break;
            }
            number += 1;
            events.push(Reverse((now + wait, number, environment)));
        }
        self.figures
    }

    fn keeps(&self, window: &Window) -> bool {
        self.kept_from.is_some_and(|least| window.stock >= least) && !window.keys.is_empty()
    }

    /// The time until an environment's next sale.
    fn pause(&self) -> u64 {
        self.randomness.below(2_000 / SALES_A_SECOND) as u64
    }
}

fn main() {
    println!("{SALES} sales of one key, {SALES_A_SECOND} a second in each environment\n");
    println!(
        "| stock | environments | windows | queries a sale | calls in sequence a sale | misses in 1,000 sales | error of the estimate |"
    );
    println!("|---:|---:|---|---:|---:|---:|---:|");
    for size in [100, 1_000, 5_000, 10_000, 100_000, 1_000_000] {
        for environments in [1, 5, 20, 50] {
            for (name, kept_from) in [("none", None), ("all kept", Some(0))] {
                let mut rush = Rush {
                    stock: Stock::new(),
                    next_key: 0,
                    randomness: SeededRandomness::new(7),
                    kept_from,
                    figures: Figures::default(),
                };
                for _ in 0..size {
                    rush.put_one();
                }
                let figures = rush.run(environments);
                let a_sale = |count: u32| f64::from(count) / f64::from(SALES);
                let error = (figures.squared_error / f64::from(figures.queries)).sqrt();
                println!(
                    "| {size} | {environments} | {name} | {:.2} | {:.2} | {:.1} | {:.0} % |",
                    a_sale(figures.queries),
                    a_sale(figures.calls),
                    1_000.0 * a_sale(figures.misses),
                    100.0 * error,
                );
            }
        }
    }
}
