//! One run of a function for one request of a buyer: where it stands, and what it waits for.

use crate::desk::Desk;
use crate::picks::{Keys, Picks};
use crate::protocol::Rule;
use crate::recovery::Recovery;
use crate::table::{AttemptId, Envelope, PARTS_MAX};
use crate::write::Write;

/// What the buyer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    /// Nothing yet, or ever.
    Nothing,
    /// These keys are yours (803).
    Sold(Envelope),
    /// There is not enough in stock (802).
    Refused,
    /// It failed, and nothing was sold (503).
    Failed,
    /// Nobody knows what became of it (503), or another attempt is at it (409).
    Unknown,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// The claim is to be put.
    Claiming,
    /// The claim is to be taken over from another attempt, whose lease is over.
    TakingOver(AttemptId),
    /// Keys are to be drawn.
    Drawing,
    /// A small order is to be written.
    Selling(Picks),
    /// What became of a small order is to be found out, and if nothing, is to stay so.
    Fencing(Picks),
    /// The claim is to be released, before the buyer is refused.
    Releasing,
    /// The response is to be recorded in the claim.
    Finishing(Keys),
    /// A big order is to be opened.
    Opening(Picks),
    /// Replacements are to be listed.
    Appending(Picks),
    /// These keys are being reserved, side by side.
    Reserving(Picks),
    /// The order is to be committed.
    Committing,
    /// The order's keys are being put back, and others will be drawn.
    SteppingBack(Recovery),
    /// The order is being finished or undone.
    Recovering(Recovery),
    /// The attempt has ended, or crashed.
    Ended,
}

/// An attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Where it stands.
    pub at: At,
    /// The keys it has reserved.
    pub held: Keys,
    /// How many lists of keys it has written.
    pub parts: u8,
    /// How often it may draw yet.
    pub draws_left: u8,
    /// Whether the buyer will be refused as soon as all is tidied up.
    pub refusing: bool,
    /// What the buyer was told.
    pub told: Told,
}

impl Attempt {
    /// One that has not done anything yet.
    pub(crate) fn new(desk: &Desk, attempt: AttemptId) -> Self {
        let at = if desk.attempt(attempt).claim.is_some() { At::Claiming } else { At::Drawing };
        Self {
            at,
            held: Keys::NONE,
            parts: 0,
            draws_left: desk.draws_max,
            refusing: false,
            told: Told::Nothing,
        }
    }

    /// Ends it. What it had in memory is gone.
    pub(crate) fn end(&mut self) {
        *self = Self {
            at: At::Ended,
            held: Keys::NONE,
            parts: 0,
            draws_left: 0,
            refusing: false,
            told: self.told,
        };
    }

    pub(crate) fn tell(&mut self, told: Told) {
        if self.told == Told::Nothing {
            self.told = told;
        }
    }

    pub(crate) fn ends_with(&mut self, told: Told) {
        self.tell(told);
        self.end();
    }

    /// The writes it waits for. More than one while keys are being reserved.
    #[must_use]
    pub fn pending(&self, desk: &Desk, attempt: AttemptId) -> Vec<Write> {
        let order = attempt;
        let write = match self.at {
            At::Claiming => Write::Claim { attempt },
            At::TakingOver(from) => Write::TakeOver { attempt, from },
            At::Selling(picks) => Write::Sell { attempt, picks },
            At::Fencing(picks) => match picks.iter().next() {
                Some((key, seen)) => Write::Fence { key, seen },
                None => return Vec::new(),
            },
            At::Releasing => Write::Release { attempt },
            At::Finishing(keys) => Write::Finish { attempt, keys },
            At::Opening(picks) => Write::Open { order, picks },
            At::Appending(picks) => {
                let part = if desk.keeps(Rule::ListsBeforeReserving) { self.parts } else { 0 };
                Write::Append { order, part, picks }
            }
            At::Reserving(picks) => {
                return picks.iter().map(|(key, seen)| Write::Reserve { order, key, seen }).collect();
            }
            At::Committing => Write::Commit { order, keys: self.held },
            At::SteppingBack(recovery) | At::Recovering(recovery) => recovery.pending(),
            At::Drawing | At::Ended => return Vec::new(),
        };
        vec![write]
    }
}

/// Whether an attempt may list more keys.
pub(crate) fn may_draw(attempt: &Attempt) -> bool {
    attempt.at == At::Drawing && attempt.draws_left > 0 && usize::from(attempt.parts) < PARTS_MAX
}
