//! Settling an entry: void the attempt if it is open, then hand its parts over or undo them.
//!
//! A sweep settles entries. An attempt settles its own entry, and a later attempt one of the same record.

use crate::picks::Keys;
use crate::protocol::Rule;
use crate::scenario::Scenario;
use crate::table::{AttemptId, PARTS_MAX, Parts, Record, Table};
use crate::write::Write;

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Void the attempt.
    Voiding,
    /// Delete the next part. Only without [`Rule::DeletesPartWithKeys`].
    DeletingPart,
    /// Change the keys of the next part.
    ChangingKeys,
    /// Delete the entry.
    DeletingEntry,
}

/// A process that settles an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Settle {
    attempt: AttemptId,
    stage: Stage,
    hands_over: bool,
    /// The parts with unchanged keys.
    parts: Parts,
}

impl Settle {
    /// Starts to settle an attempt. An open record may be voided at any moment, since there is no clock.
    pub(crate) fn begin(scenario: &Scenario, table: &Table, attempt: AttemptId) -> Self {
        let begun = Self::void(scenario, table, attempt);
        if scenario.record(table, attempt) == Some(Record::Open(attempt)) {
            begun
        } else {
            begun.decides(scenario, table)
        }
    }

    /// Voids an attempt without reading the record first.
    pub(crate) fn void(scenario: &Scenario, table: &Table, attempt: AttemptId) -> Self {
        let reads_later = scenario.keeps(Rule::ReadsPartsAfterVoid);
        let parts = if reads_later { [Keys::NONE; PARTS_MAX] } else { table.parts(attempt) };
        Self { attempt, stage: Stage::Voiding, hands_over: false, parts }
    }

    /// Hands over the parts that this attempt has taken and sold, from its memory.
    pub(crate) fn hand_over(scenario: &Scenario, attempt: AttemptId, parts: Parts) -> Self {
        Self { attempt, stage: Stage::Voiding, hands_over: true, parts }.starts(scenario)
    }

    /// The attempt to settle.
    #[must_use]
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// True before the answer to the void.
    #[must_use]
    pub fn is_voiding(&self) -> bool {
        self.stage == Stage::Voiding
    }

    /// The next write.
    #[must_use]
    pub fn pending(&self) -> Write {
        let attempt = self.attempt;
        let (part, keys) = self.part().unwrap_or_default();
        match self.stage {
            Stage::Voiding => Write::Void { attempt },
            Stage::DeletingPart => Write::DeletePart { attempt, part },
            Stage::ChangingKeys if self.hands_over => Write::HandOver { attempt, part, keys },
            Stage::ChangingKeys => Write::Undo { attempt, part, keys },
            Stage::DeletingEntry => Write::DeleteEntry { attempt },
        }
    }

    /// Continues after the answer to the pending write. `None` when the attempt is settled.
    ///
    /// A refused change of a part means that another process has made it.
    pub(crate) fn answered(mut self, scenario: &Scenario, table: &Table) -> Option<Self> {
        match self.stage {
            Stage::Voiding => Some(self.decides(scenario, table)),
            Stage::DeletingPart => Some(Self { stage: Stage::ChangingKeys, ..self }),
            Stage::ChangingKeys => {
                if let Some((part, _)) = self.part() {
                    self.parts[usize::from(part)] = Keys::NONE;
                }
                self.next_part(scenario)
            }
            Stage::DeletingEntry if scenario.keeps(Rule::DeletesEntryLast) => None,
            Stage::DeletingEntry => self.next_part(scenario),
        }
    }

    /// Decides by the record, and reads the parts.
    fn decides(self, scenario: &Scenario, table: &Table) -> Self {
        let hands_over =
            scenario.record(table, self.attempt).is_some_and(|record| record.is_done_by(self.attempt));
        let reads = scenario.keeps(Rule::ReadsPartsAfterVoid);
        let parts = if reads { table.parts(self.attempt) } else { self.parts };
        Self { hands_over, parts, ..self }.starts(scenario)
    }

    fn starts(self, scenario: &Scenario) -> Self {
        let last = Self { stage: Stage::DeletingEntry, ..self };
        if scenario.keeps(Rule::DeletesEntryLast) { self.next_part(scenario).unwrap_or(last) } else { last }
    }

    fn next_part(self, scenario: &Scenario) -> Option<Self> {
        let stage = match self.part() {
            Some(_) if scenario.keeps(Rule::DeletesPartWithKeys) => Stage::ChangingKeys,
            Some(_) => Stage::DeletingPart,
            None if scenario.keeps(Rule::DeletesEntryLast) => Stage::DeletingEntry,
            None => return None,
        };
        Some(Self { stage, ..self })
    }

    fn part(self) -> Option<(u8, Keys)> {
        (0..).zip(self.parts).find(|(_, keys)| !keys.is_empty())
    }
}
