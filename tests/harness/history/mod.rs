//! What buyers ordered and what they were told, held against the table: no key sold twice, none lost, none that nobody
//! has put there.

mod buyer;
mod called;
mod check;
mod disturbance;
mod entry;
mod figures;
mod freeze;
mod mix;
mod order;
mod scenario;
mod table;
mod trial;
mod worker;

pub use self::called::Called;
pub use self::check::{Kind as ViolationKind, Violation};
pub use self::entry::{Entry, Outcome, PublicKeys, Row, Told};
pub use self::figures::{Figures, Queued, Unavailable};
pub use self::freeze::{FrozenRun, FrozenRuns};
pub use self::mix::Mix;
pub use self::order::{Order, What};
pub use self::scenario::{Disturbance, Expected, Found, Scenario};
pub use self::table::{Stored, Table};
pub use self::trial::Trial;
pub use self::worker::{Before, WorkerScenario};

use crate::Sweep;

/// What all owners are called, all created keys, all made ones: no log line may hold it.
pub(crate) const OWNER: &str = "Buyer-Number-";
pub(crate) const CREATED: &str = "CREATED-KEY-";
pub(crate) const MADE: &str = "MADE-KEY-";

/// What the function `sweep-orders` does every minute. What it cannot do it does the next time.
pub const SWEEP: Sweep = |desk| {
    Box::pin(async move {
        let _ = sweep_orders::handle(desk).await;
    })
};

/// All that was ordered on a table, and the stock before.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The keys that were in stock at first.
    pub initial_stock: Vec<String>,
    /// What was ordered, with what came of it.
    pub entries: Vec<Entry>,
    /// What shops were told about queued orders, each order once.
    pub called: Vec<Called>,
}

impl History {
    /// Holds it against the table, and says which invariants do not hold.
    #[must_use]
    pub fn check(&self, table: &Table) -> Vec<Violation> {
        check::Check::new(self, table).run()
    }
}
