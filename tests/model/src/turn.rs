//! The next step of an attempt: after a draw, after an answer, and when no answer comes.

use crate::attempt::{At, Attempt, Told};
use crate::desk::{Desk, State};
use crate::picks::{Keys, Picks};
use crate::protocol::Rule;
use crate::settle::Settle;
use crate::table::{AttemptId, Record, Response, Status, Table};

/// An attempt with all it can see. Of the table it looks only at items that came with the answer to its
/// write.
pub(crate) struct Turn<'a> {
    desk: &'a Desk,
    table: &'a Table,
    id: AttemptId,
    attempt: &'a mut Attempt,
    signed: &'a mut Keys,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(desk: &'a Desk, state: &'a mut State, id: AttemptId) -> Self {
        let index = usize::from(id);
        Self {
            desk,
            table: &state.table,
            id,
            attempt: &mut state.attempts[index],
            signed: &mut state.history.signed[index],
        }
    }

    fn record(&self) -> Option<Record> {
        self.desk.record(self.table, self.id)
    }

    /// Reads the record, before anything is written.
    pub(crate) fn reads(&mut self) {
        match self.record() {
            Some(Record::Open(other)) if self.desk.keeps(Rule::TakesOver) => {
                self.attempt.at = At::Replacing(Settle::begin(self.desk, self.table, other));
            }
            _ => self.replaces_record(),
        }
    }

    /// Goes on if the record is free.
    fn replaces_record(&mut self) {
        match self.record().filter(|record| record.is_free()) {
            Some(record) => {
                self.attempt.at = At::Drawing;
                if self.desk.is_large(self.id) {
                    self.attempt.replaces = record;
                }
            }
            None => self.attempt.ends_with(self.lost()),
        }
    }

    /// Draws these keys. Signs the response if they are the last.
    pub(crate) fn draws(&mut self, picks: Picks) {
        let is_large = self.desk.is_large(self.id);
        let takes = self.desk.takes(self.id, self.attempt);
        self.attempt.draws_left -= 1;
        self.attempt.at = match (is_large, takes) {
            (true, true) => At::Taking(picks),
            (true, false) => At::Finishing(picks),
            (false, _) => At::Selling(picks),
        };
        if !takes && self.desk.keeps(Rule::SignsFirst) {
            *self.signed = self.attempt.taken_keys().and(picks.keys());
        }
    }

    /// Ends with this answer, and undoes a large order that has taken parts. No write of unknown outcome is
    /// under way that could sell.
    pub(crate) fn fails(&mut self, told: Told) {
        self.attempt.tell(told);
        if self.attempt.taken_parts() > 0 {
            self.settles();
        } else {
            self.attempt.end();
        }
    }

    /// True if the key that the attempt is to replace was replaced by another attempt.
    fn is_replaced(&self) -> bool {
        self.desk.request(self.id).replaces_key && self.table.replaced_by.is_some_and(|by| by != self.id)
    }

    /// Finds too few keys, or a key that was replaced before. Only the record shows whether another attempt has
    /// sold them to this very buyer.
    pub(crate) fn refuses(&mut self) {
        match self.record() {
            Some(Record::Done(_)) => self.fails(self.lost()),
            _ => self.fails(Told::Refused),
        }
    }

    /// Gets the answer to the pending write.
    pub(crate) fn answered(&mut self, done: bool) {
        match self.attempt.at {
            At::Replacing(settle) => match settle.answered(self.desk, self.table) {
                Some(settle) => self.attempt.at = At::Replacing(settle),
                None => self.replaces_record(),
            },
            At::Selling(_) | At::Resending(_) | At::Finishing(_) if done => self.sold(),
            At::Selling(_) if self.is_replaced() => self.refuses(),
            At::Selling(_) => self.missed(Record::is_free),
            At::Resending(_) => match self.record() {
                None => self.attempt.ends_with(Told::Unknown),
                Some(_) => self.attempt.ends_with(self.lost()),
            },
            At::Fencing(picks) => {
                let told = if done { Told::NothingSold } else { self.fence_refused(picks) };
                self.attempt.ends_with(told);
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
                let (desk, replaces) = (self.desk, self.attempt.replaces);
                self.missed(|record| record.may_be_replaced(desk, replaces));
            }
            At::Taking(_) | At::Finishing(_) => {
                let mine = self.id;
                self.missed(|record| record == Record::Open(mine));
            }
            At::Burying if done => {
                self.attempt.at = At::Settling(Settle::begin(self.desk, self.table, self.id));
            }
            At::Burying => self.settles(),
            At::Settling(settle) => {
                if settle.is_voiding() && self.attempt.told == Told::Nothing {
                    self.attempt.tell(self.lost());
                }
                match settle.answered(self.desk, self.table) {
                    Some(settle) => self.attempt.at = At::Settling(settle),
                    None => self.attempt.end(),
                }
            }
            At::Reading | At::Drawing | At::Ended => {}
        }
    }

    /// Gets no answer in time: the outcome of the pending write is unknown, and it may still arrive.
    pub(crate) fn gets_no_answer(&mut self) {
        let resolves = self.desk.keeps(Rule::ResolvesUnknownOutcome);
        match self.attempt.at {
            At::Selling(picks) if resolves && self.desk.request(self.id).makes_fresh_keys => {
                self.attempt.at = At::Resending(picks);
            }
            At::Selling(picks) if resolves => self.attempt.at = At::Fencing(picks),
            At::Finishing(_) if resolves => self.settles(),
            // The finish was never sent, so nothing can be sold. The part may be taken.
            At::Taking(_) => {
                self.attempt.tell(Told::NothingSold);
                if resolves && self.attempt.taken_parts() == 0 {
                    self.attempt.at = At::Burying;
                } else {
                    self.settles();
                }
            }
            At::Finishing(_) => self.fails(Told::NothingSold),
            At::Replacing(_) | At::Selling(_) => self.attempt.ends_with(Told::NothingSold),
            _ => self.attempt.ends_with(Told::Unknown),
        }
    }

    /// The answer of an attempt that does not hold its record, and has not sold under it unless the record
    /// says so.
    fn lost(&self) -> Told {
        match self.record() {
            Some(Record::Done(response)) => Told::Sold(response),
            Some(Record::Open(by)) if by != self.id => Told::InProgress,
            _ => Told::NothingSold,
        }
    }

    /// A write was refused. If the record still allows it, a key was gone, and others are drawn.
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

    /// The fence was refused. The key, then the record, says why.
    fn fence_refused(&self, picks: Picks) -> Told {
        let Some((key, seen)) = picks.iter().next() else { return Told::Unknown };
        let key = self.table.key(key);
        if !self.desk.keeps(Rule::ReadsRefusedFence) {
            Told::NothingSold
        } else if key.status == Status::Assigned(self.id) {
            Told::Sold(Response { by: self.id, keys: picks.keys() })
        } else if !self.desk.keeps(Rule::DoubtsMovedKey) {
            Told::NothingSold
        } else if self.record().is_some() {
            self.lost()
        } else if key.version == seen + 1 {
            Told::NothingSold
        } else {
            Told::Unknown
        }
    }

    /// The keys are the buyer's. Without their rules the response is signed, or recorded, only now.
    fn sold(&mut self) {
        let (At::Selling(picks) | At::Resending(picks) | At::Finishing(picks)) = self.attempt.at else {
            return;
        };
        let keys = self.attempt.taken_keys().and(picks.keys());
        *self.signed = keys;
        let is_large = self.desk.is_large(self.id);
        if !is_large && self.record().is_some() && !self.desk.keeps(Rule::RecordsResponseInSale) {
            self.attempt.at = At::Recording(keys);
            return;
        }
        self.attempt.tell(Told::Sold(Response { by: self.id, keys }));
        if is_large {
            self.attempt.at = At::Settling(Settle::hand_over(self.desk, self.id, self.attempt.taken));
        } else {
            self.attempt.end();
        }
    }

    /// Voids its own large order and undoes it. (A void that finds it done hands it over.)
    fn settles(&mut self) {
        self.attempt.at = At::Settling(Settle::void(self.desk, self.table, self.id));
    }
}
