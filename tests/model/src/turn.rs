//! The next step of an attempt: after a draw, after an answer, or without an answer.

use crate::attempt::{At, Attempt, Told};
use crate::picks::{Keys, Picks};
use crate::protocol::Rule;
use crate::scenario::{Scenario, State};
use crate::settle::Settle;
use crate::table::{AttemptId, Record, Response, Table};

/// An attempt with all it can see. It reads only those items of the table that came with the answer to its
/// write.
pub(crate) struct Turn<'a> {
    scenario: &'a Scenario,
    table: &'a Table,
    id: AttemptId,
    attempt: &'a mut Attempt,
    signed: &'a mut Keys,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(scenario: &'a Scenario, state: &'a mut State, id: AttemptId) -> Self {
        let index = usize::from(id);
        Self {
            scenario,
            table: &state.table,
            id,
            attempt: &mut state.attempts[index],
            signed: &mut state.history.signed[index],
        }
    }

    fn record(&self) -> Option<Record> {
        self.scenario.record(self.table, self.id)
    }

    /// Reads the record before any write.
    pub(crate) fn reads(&mut self) {
        match self.record() {
            Some(Record::Open(other)) if self.scenario.keeps(Rule::TakesOver) => {
                self.attempt.at = At::Replacing(Settle::begin(self.scenario, self.table, other));
            }
            _ => self.replaces_record(),
        }
    }

    /// Continues if the record is free.
    fn replaces_record(&mut self) {
        match self.record().filter(|record| record.is_free()) {
            Some(record) => {
                self.attempt.at = At::Drawing;
                if self.scenario.is_large(self.id) {
                    self.attempt.replaces = record;
                }
            }
            None => self.attempt.ends_with(self.lost()),
        }
    }

    /// Draws these keys. Signs the response if they are the last.
    pub(crate) fn draws(&mut self, picks: Picks) {
        let takes = self.scenario.takes(self.id, self.attempt);
        self.attempt.draws_left -= 1;
        self.attempt.at = if takes { At::Taking(picks) } else { At::Selling(picks) };
        if !takes && self.scenario.keeps(Rule::SignsFirst) {
            *self.signed = self.attempt.taken_keys().and(picks.keys());
        }
    }

    /// Ends with this answer, and undoes a large order that has taken parts. No write under way with an
    /// unknown outcome can sell.
    pub(crate) fn fails(&mut self, told: Told) {
        self.attempt.tell(told);
        if self.attempt.taken_parts() > 0 {
            self.settles();
        } else {
            self.attempt.end();
        }
    }

    /// True if another attempt replaced the key that this attempt wants to replace.
    fn is_replaced(&self) -> bool {
        self.scenario.request(self.id).replaces_key && self.table.replaced_by.is_some_and(|by| by != self.id)
    }

    /// Ends when there are too few keys, or when the key was replaced before. Only the record shows whether
    /// another attempt sold keys to the same buyer.
    pub(crate) fn refuses(&mut self) {
        match self.record() {
            Some(Record::Done(_)) => self.fails(self.lost()),
            _ => self.fails(Told::Refused),
        }
    }

    /// Gets the answer to the pending write.
    pub(crate) fn answered(&mut self, done: bool) {
        match self.attempt.at {
            At::Replacing(settle) => match settle.answered(self.scenario, self.table) {
                Some(settle) => self.attempt.at = At::Replacing(settle),
                None => self.replaces_record(),
            },
            At::Selling(_) | At::Resending(_) if done => self.sold(),
            At::Selling(_) | At::Resending(_) if self.is_replaced() => self.refuses(),
            At::Selling(_) | At::Resending(_) if !self.scenario.is_large(self.id) => {
                self.missed(Record::is_free);
            }
            At::Recording(keys) => {
                let told = if done { Told::Sold(Response { by: self.id, keys }) } else { Told::Unknown };
                self.attempt.ends_with(told);
            }
            At::Taking(picks) if done => {
                let part = usize::from(self.attempt.taken_parts());
                self.attempt.taken[part] = picks.keys();
                self.attempt.at = At::Drawing;
            }
            At::Taking(_) if self.attempt.taken_parts() == 0 => {
                let (scenario, replaces) = (self.scenario, self.attempt.replaces);
                self.missed(|record| record.may_be_replaced(scenario, replaces));
            }
            At::Taking(_) | At::Selling(_) | At::Resending(_) => {
                let mine = self.id;
                self.missed(|record| record == Record::Open(mine));
            }
            At::Burying if done => {
                self.attempt.at = At::Settling(Settle::begin(self.scenario, self.table, self.id));
            }
            At::Burying => self.settles(),
            At::Settling(settle) => match settle.answered(self.scenario, self.table) {
                Some(settle) => self.attempt.at = At::Settling(settle),
                None => self.attempt.end(),
            },
            At::Reading | At::Drawing | At::Ended => {}
        }
    }

    /// Handles a time-out: the outcome of the pending write is unknown, and it may still arrive.
    pub(crate) fn gets_no_answer(&mut self) {
        let resolves = self.scenario.keeps(Rule::ResolvesUnknownOutcome);
        match self.attempt.at {
            At::Selling(picks) if resolves => self.attempt.at = At::Resending(picks),
            At::Selling(_) => self.fails(Told::NothingSold),
            At::Resending(_) => self.fails(Told::Unknown),
            // The order was never sold. The part may be taken.
            At::Taking(_) => {
                self.attempt.tell(Told::NothingSold);
                if resolves && self.attempt.taken_parts() == 0 {
                    self.attempt.at = At::Burying;
                } else {
                    self.settles();
                }
            }
            At::Replacing(_) => self.attempt.ends_with(Told::NothingSold),
            _ => self.attempt.ends_with(Told::Unknown),
        }
    }

    /// Returns the answer of an attempt that does not hold its record. It has sold only if the record says
    /// so.
    fn lost(&self) -> Told {
        match self.record() {
            Some(Record::Done(response)) => Told::Sold(response),
            Some(Record::Open(by)) if by != self.id => Told::InProgress,
            _ => Told::NothingSold,
        }
    }

    /// Handles a refused write. If the record still allows it, a key was missed, and the attempt draws
    /// others.
    fn missed(&mut self, allows: impl Fn(Record) -> bool) {
        if self.record().is_some_and(|record| !allows(record)) {
            let told = self.lost();
            self.fails(told);
        } else if self.attempt.draws_left > 0 {
            self.attempt.at = At::Drawing;
        } else {
            self.fails(Told::NothingSold);
        }
    }

    /// Handles a sale. Without their rules the attempt signs, or records, the response only now.
    fn sold(&mut self) {
        let (At::Selling(picks) | At::Resending(picks)) = self.attempt.at else { return };
        let keys = self.attempt.taken_keys().and(picks.keys());
        *self.signed = keys;
        let is_large = self.scenario.is_large(self.id);
        if !is_large && self.record().is_some() && !self.scenario.keeps(Rule::RecordsResponseInSale) {
            self.attempt.at = At::Recording(keys);
            return;
        }
        self.attempt.tell(Told::Sold(Response { by: self.id, keys }));
        if is_large {
            self.attempt.at = At::Settling(Settle::hand_over(self.scenario, self.id, self.attempt.taken));
        } else {
            self.attempt.end();
        }
    }

    /// Voids and undoes its own large order. (If the void finds it done, the attempt hands it over.)
    fn settles(&mut self) {
        self.attempt.at = At::Settling(Settle::void(self.scenario, self.table, self.id));
    }
}
