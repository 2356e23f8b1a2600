//! One run of a function for one request: its position, and the write it waits for.

use crate::picks::{Keys, Picks};
use crate::scenario::Scenario;
use crate::settle::Settle;
use crate::table::{AttemptId, PARTS_MAX, Parts, Record, Response};
use crate::write::Write;

/// The answer to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    /// No answer yet, or ever.
    Nothing,
    /// These keys are sold to the caller (803).
    Sold(Response),
    /// The stock is too small (802).
    Refused,
    /// The request failed. This attempt has sold nothing, and never will (503).
    NothingSold,
    /// The request failed, with an unknown outcome (503).
    Unknown,
    /// Another attempt is at work on the request (409).
    InProgress,
}

/// The position of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// Read the record.
    Reading,
    /// Settle another attempt, whose lease is over, to replace its record.
    Replacing(Settle),
    /// Draw keys.
    Drawing,
    /// Sell the keys of a small sale, or the last keys of a large order.
    Selling(Picks),
    /// Repeat a sale of unknown outcome.
    Resending(Picks),
    /// Record the response. Only without [`crate::Rule::RecordsResponseInSale`].
    Recording(Keys),
    /// Take a part of a large order.
    Taking(Picks),
    /// Put a tombstone, so that a first take of unknown outcome can no longer succeed.
    Burying,
    /// Void, hand over or undo its own large order.
    Settling(Settle),
    /// Ended or crashed.
    Ended,
}

/// An attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Its position.
    pub at: At,
    /// The record that its first take replaces, as it was read.
    pub replaces: Record,
    /// The parts it has taken.
    pub taken: Parts,
    /// The number of draws it has left.
    pub draws_left: u8,
    /// The answer to the caller.
    pub told: Told,
}

impl Attempt {
    /// Makes an attempt that has done nothing yet.
    pub(crate) fn new(scenario: &Scenario, attempt: AttemptId) -> Self {
        let at = if scenario.request(attempt).header.is_some() { At::Reading } else { At::Drawing };
        Self { draws_left: scenario.draws_max, ..Self::at(at) }
    }

    /// Ends the attempt. Its memory is lost.
    pub(crate) fn end(&mut self) {
        *self = Self { told: self.told, ..Self::at(At::Ended) };
    }

    fn at(at: At) -> Self {
        let taken = [Keys::NONE; PARTS_MAX];
        Self { at, replaces: Record::Absent, taken, draws_left: 0, told: Told::Nothing }
    }

    /// Answers the caller, who gets only the first answer.
    pub(crate) fn tell(&mut self, told: Told) {
        if self.told == Told::Nothing {
            self.told = told;
        }
    }

    pub(crate) fn ends_with(&mut self, told: Told) {
        self.tell(told);
        self.end();
    }

    /// The keys it has taken.
    #[must_use]
    pub fn taken_keys(&self) -> Keys {
        self.taken.iter().fold(Keys::NONE, |all, part| all.and(*part))
    }

    /// The number of parts it has taken.
    #[must_use]
    pub fn taken_parts(&self) -> u8 {
        self.taken.iter().map(|part| u8::from(!part.is_empty())).sum()
    }

    /// The write it waits for.
    #[must_use]
    pub fn pending(&self, scenario: &Scenario, attempt: AttemptId) -> Option<Write> {
        let draw = scenario.draws_max - self.draws_left;
        Some(match self.at {
            At::Replacing(settle) | At::Settling(settle) => settle.pending(),
            At::Selling(picks) | At::Resending(picks) => {
                if scenario.is_large(attempt) {
                    Write::Finish { attempt, draw, picks, taken: self.taken_keys() }
                } else {
                    Write::Sell { attempt, draw, picks }
                }
            }
            At::Recording(keys) => Write::Record { attempt, keys },
            At::Taking(picks) => {
                let part = self.taken_parts();
                Write::Take { attempt, draw, part, picks, replaces: (part == 0).then_some(self.replaces) }
            }
            At::Burying => Write::Bury { attempt, replaces: self.replaces },
            At::Reading | At::Drawing | At::Ended => return None,
        })
    }
}
