use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Entry, History, Outcome, Table, Violation, ViolationKind, What};
use crate::Promise;

/// The results of a run.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The seed that repeats the run.
    pub seed: u64,
    /// Orders that buyers placed, including repeated ones.
    pub orders: usize,
    /// The number of requests.
    pub requests: u64,
    /// Responses by code. Code 0 counts the orders without a response.
    pub answers: BTreeMap<u64, usize>,
    /// Keys in the table.
    pub keys: usize,
    /// Assigned keys.
    pub keys_sold: usize,
    /// Orders of keys that ended with a 503, by its promise.
    pub unavailable: BTreeMap<Promise, Unavailable>,
    /// Orders that were done although their buyers got no response and had no `Idempotency-Key` to repeat
    /// them.
    pub done_unanswered: usize,
    /// Faults by service and kind.
    pub faults: BTreeMap<String, u64>,
    /// Repeated requests with a response equal byte for byte.
    pub replays: u64,
    /// The number of verified signatures.
    pub signatures: u64,
    /// The outcomes of accepted queued orders.
    pub queued: Queued,
    /// The duration.
    pub took: Duration,
    /// The violated invariants.
    pub violations: Vec<Violation>,
}

/// The outcomes of queued orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queued {
    /// The number of orders.
    pub placed: usize,
    /// The ended orders by the code of their callback.
    pub ended: BTreeMap<u64, usize>,
    /// The number of callbacks that arrived.
    pub callbacks: usize,
    /// Orders whose shop accepted the callback more than once.
    pub taken_again: usize,
}

/// Orders that ended with one kind of 503.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unavailable {
    /// Their number.
    pub orders: usize,
    /// Those whose owners have keys.
    pub with_keys: usize,
}

impl Figures {
    pub(super) fn of(seed: u64, history: &History, table: &Table) -> Self {
        let mut answers = BTreeMap::new();
        for entry in &history.entries {
            let code = match &entry.outcome {
                Outcome::SignedResult(told) => told.code,
                Outcome::Nothing | Outcome::Unavailable(_) | Outcome::Refused => 0,
            };
            *answers.entry(code).or_default() += 1;
        }
        let sold = || table.keys.values().filter(|key| key.status == "assigned");
        let owners: std::collections::HashSet<&str> = sold().map(|key| key.row.owner.as_str()).collect();
        let has_keys = |entry: &Entry| owners.contains(entry.order.owner.as_str());
        let is_sale = |entry: &&Entry| !matches!(entry.order.what, What::Create(_) | What::Generate(_));
        let unanswered = |entry: &&Entry| matches!(entry.outcome, Outcome::Nothing | Outcome::Unavailable(_));
        let mut unavailable = BTreeMap::from(Promise::ALL.map(|promise| (promise, Unavailable::default())));
        for entry in history.entries.iter().filter(is_sale) {
            if let Outcome::Unavailable(promise) = entry.outcome {
                let figures = unavailable.entry(promise).or_default();
                figures.orders += 1;
                figures.with_keys += usize::from(has_keys(entry));
            }
        }
        let done_unanswered = history.entries.iter().filter(is_sale).filter(unanswered);
        Self {
            seed,
            orders: history.entries.len(),
            requests: 0,
            answers,
            keys: table.keys.len(),
            keys_sold: sold().count(),
            unavailable,
            done_unanswered: done_unanswered.filter(|entry| has_keys(entry)).count(),
            faults: BTreeMap::new(),
            replays: 0,
            signatures: 0,
            queued: Queued::of(history),
            took: Duration::ZERO,
            violations: history.check(table),
        }
    }

    /// Returns the number of violations of a kind.
    #[must_use]
    pub fn violations_of(&self, kind: ViolationKind) -> usize {
        self.violations.iter().filter(|violation| violation.kind == kind).count()
    }

    /// Returns the number of orders with keys despite a promise that nothing was sold.
    #[must_use]
    pub fn false_nothing(&self) -> usize {
        self.with_keys(Promise::NothingSold)
    }

    /// Returns the number of orders with keys and a 503 that left the outcome unknown.
    #[must_use]
    pub fn unknown_sold(&self) -> usize {
        self.with_keys(Promise::OutcomeUnknown)
    }

    /// Returns the number of orders with keys and a 503 without a type.
    #[must_use]
    pub fn untyped_sold(&self) -> usize {
        self.with_keys(Promise::Untyped)
    }

    fn with_keys(&self, promise: Promise) -> usize {
        self.unavailable.get(&promise).map_or(0, |figures| figures.with_keys)
    }

    /// Returns the number of orders with this code.
    #[must_use]
    pub fn answered(&self, code: u64) -> usize {
        self.answers.get(&code).copied().unwrap_or(0)
    }
}

impl Queued {
    fn of(history: &History) -> Self {
        let is_queued = |entry: &&Entry| matches!(entry.order.what, What::Queue { .. });
        let mut ended = BTreeMap::new();
        for call in &history.called {
            *ended.entry(call.told.code).or_default() += 1;
        }
        Self {
            placed: history.entries.iter().filter(is_queued).count(),
            ended,
            callbacks: history.called.iter().map(|call| call.callbacks).sum(),
            taken_again: history.called.iter().filter(|call| call.taken > 1).count(),
        }
    }
}

impl fmt::Display for Figures {
    /// Writes a table in Markdown, and the violations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| seed {} | |\n|---|---:|", self.seed)?;
        writeln!(f, "| orders | {} |", self.orders)?;
        writeln!(f, "| requests sent | {} |", self.requests)?;
        for (code, orders) in &self.answers {
            match code {
                0 => writeln!(f, "| orders without an answer | {orders} |"),
                _ => writeln!(f, "| orders answered {code} | {orders} |"),
            }?;
        }
        writeln!(f, "| keys in the table | {} |", self.keys)?;
        writeln!(f, "| keys given away | {} |", self.keys_sold)?;
        writeln!(f, "| orders done, but unanswered | {} |", self.done_unanswered)?;
        for (promise, Unavailable { orders, with_keys }) in &self.unavailable {
            let (told, figure) = match promise {
                Promise::NothingSold => ("nothing was sold", "false_nothing"),
                Promise::OutcomeUnknown => ("outcome unknown", "unknown_sold"),
                Promise::Untyped => ("no type", "untyped_sold"),
            };
            writeln!(f, "| orders answered 503, {told} | {orders} |")?;
            writeln!(f, "| … and sold (`{figure}`) | {with_keys} |")?;
        }
        let faults: u64 = self.faults.values().sum();
        writeln!(f, "| faults | {faults} |")?;
        for (name, count) in &self.faults {
            writeln!(f, "| {name} | {count} |")?;
        }
        let Queued { placed, ended, callbacks, taken_again } = &self.queued;
        writeln!(f, "| queued orders placed | {placed} |")?;
        for (code, orders) in ended {
            writeln!(f, "| … their shops told {code} | {orders} |")?;
        }
        writeln!(f, "| callbacks that arrived | {callbacks} |")?;
        writeln!(f, "| … of orders taken more than once | {taken_again} |")?;
        writeln!(f, "| replays checked | {} |", self.replays)?;
        writeln!(f, "| signatures checked | {} |", self.signatures)?;
        writeln!(f, "| seconds | {} |", self.took.as_secs())?;
        writeln!(f, "| **keys sold twice** | **{}** |", self.violations_of(ViolationKind::SoldTwice))?;
        writeln!(f, "| **keys lost** | **{}** |", self.violations_of(ViolationKind::Lost))?;
        let false_nothing = self.violations_of(ViolationKind::FalseNothing);
        writeln!(f, "| **keys sold in spite of a promise** | **{false_nothing}** |")?;
        writeln!(f, "| **other violations** | **{}** |", self.violations_of(ViolationKind::Other))?;
        for Violation { text, .. } in self.violations.iter().take(20) {
            writeln!(f, "\n- {text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storms::{Order, Row, Stored};

    /// Returns the figures of a history of one order that ended with a 503, whose owner may have a key.
    fn of(promise: Promise, what: What, with_key: bool) -> Figures {
        let owner = "Buyer-Number-1".to_owned();
        let order = Order { what, product: 11, owner: owner.clone(), mark: 1, idempotency_key: None };
        let history = History {
            initial_stock: vec!["CREATED-KEY-1".to_owned()],
            entries: vec![Entry { order, outcome: Outcome::Unavailable(promise) }],
            called: Vec::new(),
        };
        let row = Row {
            license_key: "CREATED-KEY-1".to_owned(),
            id: 1,
            assigned_at: String::new(),
            product: 11,
            owner: if with_key { owner } else { String::new() },
        };
        let status = if with_key { "assigned" } else { "available" };
        let stored =
            Stored { row, status: status.to_owned(), mark: 0, in_stock: !with_key, replaced_by: None };
        let keys = [("CREATED-KEY-1".to_owned(), stored)].into();
        Figures::of(1, &history, &Table { keys, ..Table::default() })
    }

    fn sales() -> [What; 2] {
        [What::Buy { quantity: 1, generate: false }, What::Assign("CREATED-KEY-1".to_owned())]
    }

    #[test]
    fn a_promise_of_no_sale_is_checked_against_the_table() {
        for what in sales() {
            let kept = of(Promise::NothingSold, what.clone(), false);
            assert_eq!((kept.violations.len(), kept.false_nothing()), (0, 0));
            let broken = of(Promise::NothingSold, what, true);
            let kinds: Vec<ViolationKind> =
                broken.violations.iter().map(|violation| violation.kind).collect();
            assert_eq!((kinds, broken.false_nothing()), (vec![ViolationKind::FalseNothing], 1), "{broken}");
        }
    }

    #[test]
    fn an_unknown_outcome_is_counted_but_no_violation() {
        for what in sales() {
            for with_key in [false, true] {
                let sold = usize::from(with_key);
                let unknown = of(Promise::OutcomeUnknown, what.clone(), with_key);
                assert_eq!((unknown.unknown_sold(), unknown.untyped_sold()), (sold, 0));
                assert_eq!((unknown.done_unanswered, &unknown.violations[..]), (sold, &[][..]));
                let untyped = of(Promise::Untyped, what.clone(), with_key);
                assert_eq!((untyped.unknown_sold(), untyped.untyped_sold()), (0, sold));
                assert_eq!((untyped.done_unanswered, &untyped.violations[..]), (sold, &[][..]));
                let line =
                    format!("| orders answered 503, no type | 1 |\n| … and sold (`untyped_sold`) | {sold} |");
                assert!(untyped.to_string().contains(&line), "{untyped}");
            }
        }
    }
}
