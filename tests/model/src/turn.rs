//! What an attempt does next: after a draw, after an answer, and when there is none.

use crate::attempt::{At, Attempt, Told};
use crate::desk::{Desk, State};
use crate::picks::{Keys, Picks, key_ids};
use crate::protocol::Rule;
use crate::recovery::Recovery;
use crate::table::{AttemptId, Claim, Envelope, OrderState, Status, Table};
use crate::write::Write;

/// What an attempt does next, with all there is in view. Of the table it looks only at records whose state came
/// with the answer to its write.
pub(crate) struct Turn<'a> {
    pub(crate) desk: &'a Desk,
    pub(crate) table: &'a Table,
    pub(crate) id: AttemptId,
    pub(crate) attempt: &'a mut Attempt,
    pub(crate) signed: &'a mut Keys,
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

    fn claim(&self) -> Option<Claim> {
        self.desk.attempt(self.id).claim.map(|claim| self.table.claim(claim))
    }

    fn order_state(&self) -> OrderState {
        self.table.order(self.id).state
    }

    /// Keys were drawn.
    pub(crate) fn drew(&mut self, picks: Picks) {
        self.attempt.draws_left -= 1;
        self.attempt.at = if !self.desk.is_big(self.id) {
            if self.desk.keeps(Rule::CommitsLast) {
                *self.signed = picks.keys();
            }
            At::Selling(picks)
        } else if self.attempt.parts == 0 {
            At::Opening(picks)
        } else if self.desk.keeps(Rule::ListsBeforeReserving) {
            At::Appending(picks)
        } else {
            At::Reserving(picks)
        };
    }

    /// The draw found too few.
    pub(crate) fn found_too_few(&mut self) {
        self.attempt.refusing = true;
        self.tidy_up();
    }

    /// Puts all keys back that are reserved, to draw others later.
    pub(crate) fn steps_back(&mut self) {
        let parts = self.table.order(self.id).parts;
        self.attempt.held = Keys::NONE;
        self.attempt.at = At::SteppingBack(Recovery::step_back(self.id, parts));
    }

    /// The pending `write` was answered: `done`, or its condition did not hold.
    pub(crate) fn answered(&mut self, write: Write, done: bool) {
        match self.attempt.at {
            At::Claiming | At::TakingOver(_) => self.looks_at_claim(),
            At::Selling(picks) => self.sold(picks, done),
            At::Fencing(picks) => {
                if !done && self.is_mine(picks) {
                    self.tell_sold(picks.keys());
                } else {
                    self.attempt.ends_with(Told::Failed);
                }
            }
            At::Releasing => match self.claim() {
                None | Some(Claim::Absent) => self.attempt.ends_with(Told::Refused),
                Some(Claim::Done(envelope)) => self.attempt.ends_with(Told::Sold(envelope)),
                Some(Claim::Started(_)) => self.attempt.ends_with(Told::Unknown),
            },
            At::Finishing(keys) => {
                if done {
                    self.attempt.tell(Told::Sold(Envelope { by: self.id, keys }));
                } else {
                    self.attempt.tell(Told::Unknown);
                }
                self.tidy_up();
            }
            At::Opening(picks) => match self.order_state() {
                OrderState::Reserving => {
                    self.attempt.parts = 1;
                    self.attempt.at = At::Reserving(picks);
                }
                _ => self.attempt.ends_with(Told::Failed),
            },
            At::Appending(picks) => {
                if self.order_state() == OrderState::Reserving || done {
                    self.attempt.parts += 1;
                    self.reserves(picks.outside(self.attempt.held));
                } else {
                    self.fails();
                }
            }
            At::Reserving(picks) => {
                if let Write::Reserve { key, .. } = write {
                    if done {
                        self.attempt.held = self.attempt.held.with(key);
                    }
                    self.reserves(picks.without(key));
                }
            }
            At::Committing => self.committed(done),
            At::SteppingBack(recovery) => {
                self.attempt.at =
                    recovery.answered(self.desk, self.table, done).map_or(At::Drawing, At::SteppingBack);
            }
            At::Recovering(recovery) => {
                if matches!(write, Write::Abort { .. }) && !self.attempt.refusing {
                    self.found_out();
                }
                match recovery.answered(self.desk, self.table, done) {
                    Some(recovery) => self.attempt.at = At::Recovering(recovery),
                    None => self.tidied_up(),
                }
            }
            At::Drawing | At::Ended => {}
        }
    }

    /// Nobody knows whether the pending `write` was done, or will be.
    pub(crate) fn gave_up(&mut self, write: Write) {
        match self.attempt.at {
            At::Selling(picks) if self.desk.keeps(Rule::Fences) => self.attempt.at = At::Fencing(picks),
            At::Selling(_) | At::Opening(_) => self.attempt.ends_with(Told::Failed),
            At::Reserving(picks) => match write {
                Write::Reserve { key, .. } if !self.desk.keeps(Rule::ReplacesOnlyDefiniteMisses) => {
                    self.reserves(picks.without(key));
                }
                _ => self.fails(),
            },
            At::Committing if self.desk.keeps(Rule::AbortsUnknownCommit) => self.tidy_up(),
            At::Appending(_) | At::SteppingBack(_) | At::Committing => self.fails(),
            At::Recovering(_) if self.attempt.refusing => self.attempt.ends_with(Told::Failed),
            _ => self.attempt.ends_with(Told::Unknown),
        }
    }

    fn looks_at_claim(&mut self) {
        match self.claim() {
            None => self.attempt.at = At::Drawing,
            Some(Claim::Absent) => self.attempt.at = At::Claiming,
            Some(Claim::Started(by)) if by == self.id => self.attempt.at = At::Drawing,
            Some(Claim::Started(by)) if self.desk.keeps(Rule::TakesOver) => {
                self.attempt.at = At::TakingOver(by);
            }
            Some(Claim::Started(_)) => self.attempt.ends_with(Told::Unknown),
            Some(Claim::Done(envelope)) => self.attempt.ends_with(Told::Sold(envelope)),
        }
    }

    /// Whether these keys carry this attempt's assignment.
    fn is_mine(&self, picks: Picks) -> bool {
        self.desk.keeps(Rule::KnowsOwnSale)
            && picks.iter().any(|(key, _)| self.table.key(key).status == Status::Assigned(self.id))
    }

    fn sold(&mut self, picks: Picks, done: bool) {
        if done || self.is_mine(picks) {
            self.tell_sold(picks.keys());
            return;
        }
        match self.claim() {
            Some(Claim::Done(envelope)) => self.attempt.ends_with(Told::Sold(envelope)),
            Some(Claim::Absent) => self.attempt.ends_with(self.lost_claim()),
            Some(Claim::Started(by)) if by != self.id => self.attempt.ends_with(self.lost_claim()),
            _ if self.attempt.draws_left > 0 => self.attempt.at = At::Drawing,
            _ => self.attempt.ends_with(Told::Failed),
        }
    }

    fn lost_claim(&self) -> Told {
        if self.desk.keeps(Rule::LostClaimIsUnknown) { Told::Unknown } else { Told::Failed }
    }

    /// The keys are the buyer's.
    fn tell_sold(&mut self, keys: Keys) {
        *self.signed = keys;
        if !self.desk.keeps(Rule::FinishesClaimInSale) && self.claim().is_some() {
            self.attempt.at = At::Finishing(keys);
            return;
        }
        self.attempt.tell(Told::Sold(Envelope { by: self.id, keys }));
        self.tidy_up();
    }

    /// Goes on reserving, or with what comes then.
    fn reserves(&mut self, waiting: Picks) {
        let (desk, attempt) = (self.desk, &mut *self.attempt);
        attempt.at = if !waiting.is_empty() {
            At::Reserving(waiting)
        } else if attempt.held.count() < desk.attempt(self.id).quantity {
            At::Drawing
        } else if !desk.keeps(Rule::ListsBeforeReserving) && self.table.order(self.id).parts[0].is_empty() {
            let held = key_ids().filter(|key| attempt.held.contains(*key));
            let seen = |key| self.table.key(key).version - 1;
            At::Appending(held.fold(Picks::NONE, |picks, key| picks.with(key, seen(key))))
        } else {
            if desk.keeps(Rule::CommitsLast) {
                *self.signed = attempt.held;
            }
            At::Committing
        };
    }

    fn committed(&mut self, done: bool) {
        if done || self.order_state() == OrderState::Committed {
            self.tell_sold(self.attempt.held);
            return;
        }
        let mine = self.id;
        let told = match (self.claim(), self.order_state()) {
            (Some(Claim::Done(envelope)), _) => Told::Sold(envelope),
            (Some(Claim::Started(by)), _) if by != mine => Told::Unknown,
            (Some(Claim::Absent), _) | (_, OrderState::Absent) => Told::Unknown,
            (_, OrderState::Sold) => Told::Sold(Envelope { by: mine, keys: self.attempt.held }),
            _ => Told::Failed,
        };
        self.attempt.tell(told);
        self.tidy_up();
    }

    /// The outcome of a commit was not known, and an abort was tried.
    fn found_out(&mut self) {
        let told = match self.order_state() {
            OrderState::Aborted | OrderState::Void => Told::Failed,
            OrderState::Committed | OrderState::Sold => {
                Told::Sold(Envelope { by: self.id, keys: self.attempt.held })
            }
            OrderState::Absent | OrderState::Reserving => Told::Unknown,
        };
        self.attempt.tell(told);
    }

    fn fails(&mut self) {
        self.attempt.tell(Told::Failed);
        self.tidy_up();
    }

    /// Finishes or undoes the order, if there is one.
    fn tidy_up(&mut self) {
        if self.attempt.parts == 0 {
            self.tidied_up();
            return;
        }
        match Recovery::begin(self.desk, self.table, self.id) {
            Some(recovery) => self.attempt.at = At::Recovering(recovery),
            None => self.tidied_up(),
        }
    }

    fn tidied_up(&mut self) {
        if self.attempt.refusing && self.claim().is_some() {
            self.attempt.at = At::Releasing;
        } else if self.attempt.refusing {
            self.attempt.ends_with(Told::Refused);
        } else {
            self.attempt.ends_with(Told::Unknown);
        }
    }
}
