//! Runs with faults, and the check of what they leave: no key is sold twice, lost, or of unknown origin.
//!
//! A [`StormRun`] has many buyers and random faults. A [`Scenario`] repeats one request with a fault at each of its
//! calls. Both keep the history of orders and responses, and compare it with the table.

mod buyer;
mod called;
mod check;
mod entry;
mod fault_case;
mod fault_rates;
mod figures;
mod freeze;
mod mix;
mod order;
mod repeated_fault;
mod scenario;
mod seeded_faults;
mod storm_run;
mod table;
mod worker;

pub use self::called::Called;
pub use self::check::{Kind as ViolationKind, Violation};
pub use self::entry::{Entry, Outcome, PublicKeys, Row, SignedResult};
pub use self::fault_rates::FaultRates;
pub use self::figures::{Figures, Queued, Unavailable};
pub use self::freeze::{FrozenRun, FrozenRuns};
pub use self::mix::Mix;
pub use self::order::{Order, What};
pub use self::repeated_fault::RepeatedFault;
pub use self::scenario::{Expected, FaultCase, Found, Scenario};
pub use self::seeded_faults::SeededFaults;
pub use self::storm_run::StormRun;
pub use self::table::{Stored, Table};
pub use self::worker::{Before, WorkerScenario};

use crate::Sweep;

/// The prefixes of all owners, created keys and generated keys. No log line may contain them.
pub(crate) const OWNER: &str = "Buyer-Number-";
pub(crate) const CREATED: &str = "CREATED-KEY-";
pub(crate) const MADE: &str = "MADE-KEY-";

/// The work of the function `sweep-orders`. A failure waits for the next sweep.
pub const SWEEP: Sweep = |desk| {
    Box::pin(async move {
        let _ = sweep_orders::handle(desk).await;
    })
};

/// All orders on a table, and its initial stock.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The keys in stock at the start.
    pub initial_stock: Vec<String>,
    /// The orders with their outcomes.
    pub entries: Vec<Entry>,
    /// The callbacks of queued orders, one element for each order.
    pub called: Vec<Called>,
}

impl History {
    /// Compares the history with the table. Returns the violated invariants.
    #[must_use]
    pub fn check(&self, table: &Table) -> Vec<Violation> {
        check::Check::new(self, table).run()
    }
}
