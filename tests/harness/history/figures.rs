use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Entry, History, Outcome, Table, Violation, ViolationKind, What};

/// What a trial came to.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The number that brings the same trial again.
    pub seed: u64,
    /// Orders that buyers placed, those included that they placed anew.
    pub orders: usize,
    /// Requests that were sent.
    pub requests: u64,
    /// Answers by code; those who got none are code 0.
    pub answers: BTreeMap<u64, usize>,
    /// Keys in the table.
    pub keys: usize,
    /// Keys that were given away.
    pub keys_sold: usize,
    /// Orders that were done though their buyers got no answer, and had no `Idempotency-Key` to ask again.
    pub done_unanswered: usize,
    /// Faults by service and kind.
    pub faults: BTreeMap<String, u64>,
    /// Answered requests that were sent again, and had the same answer byte for byte.
    pub replays: u64,
    /// Signatures that were checked.
    pub signatures: u64,
    /// How long it took.
    pub took: Duration,
    /// Invariants that do not hold.
    pub violations: Vec<Violation>,
}

impl Figures {
    pub(super) fn of(seed: u64, history: &History, table: &Table) -> Self {
        let mut answers = BTreeMap::new();
        for entry in &history.entries {
            let code = match &entry.outcome {
                Outcome::Told(told) => told.code,
                Outcome::Nothing | Outcome::Refused => 0,
            };
            *answers.entry(code).or_default() += 1;
        }
        let sold = || table.keys.values().filter(|key| key.status == "assigned");
        let owners: std::collections::HashSet<&str> = sold().map(|key| key.row.owner.as_str()).collect();
        let unanswered = |entry: &&Entry| {
            entry.outcome == Outcome::Nothing
                && matches!(entry.order.what, What::Buy { .. } | What::Assign(_))
                && owners.contains(entry.order.owner.as_str())
        };
        Self {
            seed,
            orders: history.entries.len(),
            requests: 0,
            answers,
            keys: table.keys.len(),
            keys_sold: sold().count(),
            done_unanswered: history.entries.iter().filter(unanswered).count(),
            faults: BTreeMap::new(),
            replays: 0,
            signatures: 0,
            took: Duration::ZERO,
            violations: history.check(table),
        }
    }

    /// How many violations there are of a kind.
    #[must_use]
    pub fn violations_of(&self, kind: ViolationKind) -> usize {
        self.violations.iter().filter(|violation| violation.kind == kind).count()
    }

    /// How many orders were answered by a code.
    #[must_use]
    pub fn answered(&self, code: u64) -> usize {
        self.answers.get(&code).copied().unwrap_or(0)
    }
}

impl fmt::Display for Figures {
    /// A table in Markdown, and what is wrong.
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
        let faults: u64 = self.faults.values().sum();
        writeln!(f, "| faults | {faults} |")?;
        for (name, count) in &self.faults {
            writeln!(f, "| {name} | {count} |")?;
        }
        writeln!(f, "| replays checked | {} |", self.replays)?;
        writeln!(f, "| signatures checked | {} |", self.signatures)?;
        writeln!(f, "| seconds | {} |", self.took.as_secs())?;
        writeln!(f, "| **keys sold twice** | **{}** |", self.violations_of(ViolationKind::SoldTwice))?;
        writeln!(f, "| **keys lost** | **{}** |", self.violations_of(ViolationKind::Lost))?;
        writeln!(f, "| **other violations** | **{}** |", self.violations_of(ViolationKind::Other))?;
        for Violation { text, .. } in self.violations.iter().take(20) {
            writeln!(f, "\n- {text}")?;
        }
        Ok(())
    }
}
