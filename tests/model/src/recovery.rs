//! Undoing an aborted order, or finishing a committed one: by its own attempt, or by the sweep.

use crate::desk::Desk;
use crate::picks::{KeyId, Picks};
use crate::protocol::Rule;
use crate::table::{AttemptId, OrderState, PARTS_MAX, Parts, Status, Table};
use crate::write::Write;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The order is to be called off.
    Aborting,
    /// The next key is to be put back.
    Undoing,
    /// The next key is in stock as it was when it was listed, and its version is to be moved on.
    Fencing,
    /// The next key is to be marked as assigned.
    Marking,
    /// The lists are to be deleted.
    Deleting,
    /// The order is to be closed.
    Closing,
}

/// Who tidies an order up, and how far that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Recovery {
    order: AttemptId,
    stage: Stage,
    /// What an entry needs: to be undone, or to be marked.
    treatment: Stage,
    /// The entries not treated yet.
    todo: Parts,
    /// The order stays: its attempt steps back from its keys, and will draw others.
    steps_back: bool,
}

impl Recovery {
    /// Takes an order up, if it needs to be.
    pub(crate) fn begin(desk: &Desk, table: &Table, order: AttemptId) -> Option<Self> {
        let begun = Self {
            order,
            stage: Stage::Aborting,
            treatment: Stage::Undoing,
            todo: [Picks::NONE; PARTS_MAX],
            steps_back: false,
        };
        let parts = table.order(order).parts;
        match table.order(order).state {
            OrderState::Reserving if desk.keeps(Rule::AbortsBeforeReading) => Some(begun),
            OrderState::Reserving => Some(Self { todo: parts, ..begun }),
            OrderState::Aborted => Some(begun.reads(desk, parts)),
            OrderState::Committed => Some(Self { treatment: Stage::Marking, ..begun }.reads(desk, parts)),
            OrderState::Absent | OrderState::Sold | OrderState::Void => None,
        }
    }

    /// Puts the keys back that an order has reserved, and keeps the order.
    pub(crate) fn step_back(order: AttemptId, parts: Parts) -> Self {
        let stage = Stage::Undoing;
        Self { order, stage, treatment: stage, todo: parts, steps_back: true }
    }

    /// The same, with a list that is older than the latest part.
    pub(crate) fn with_old_list(mut self) -> Self {
        if let Some(last) = self.todo.iter_mut().rev().find(|part| !part.is_empty()) {
            *last = Picks::NONE;
        }
        self.next(Stage::Deleting)
    }

    /// The order it is about.
    #[must_use]
    pub fn order(&self) -> AttemptId {
        self.order
    }

    /// The next write.
    #[must_use]
    pub fn pending(&self) -> Write {
        let order = self.order;
        let (key, seen) = self.entry().unwrap_or_default();
        match self.stage {
            Stage::Aborting => Write::Abort { order },
            Stage::Undoing => Write::Undo { order, key, seen },
            Stage::Fencing => Write::Fence { key, seen },
            Stage::Marking => Write::Mark { order, key },
            Stage::Deleting => Write::DeleteList { order },
            Stage::Closing => Write::Close { order },
        }
    }

    /// Goes on after the answer to the pending write. `None` when all is done.
    pub(crate) fn answered(self, desk: &Desk, table: &Table, done: bool) -> Option<Self> {
        match self.stage {
            Stage::Aborting => {
                let parts = table.order(self.order).parts;
                match table.order(self.order).state {
                    OrderState::Committed => {
                        Some(Self { treatment: Stage::Marking, ..self }.reads(desk, parts))
                    }
                    OrderState::Aborted if desk.keeps(Rule::AbortsBeforeReading) => {
                        Some(self.reads(desk, parts))
                    }
                    OrderState::Aborted => Some(self.next(Stage::Deleting)),
                    _ => None,
                }
            }
            Stage::Undoing => {
                let (key, seen) = self.entry()?;
                let key = table.key(key);
                let may_be_reserved_late = key.status == Status::Available && key.version == seen;
                if !done && may_be_reserved_late && desk.keeps(Rule::UndoFences) {
                    Some(Self { stage: Stage::Fencing, ..self })
                } else {
                    self.treated(desk)
                }
            }
            Stage::Fencing => {
                let (key, seen) = self.entry()?;
                let key = table.key(key);
                if !done && key.status == Status::Reserved(self.order) && key.version == seen + 1 {
                    Some(Self { stage: Stage::Undoing, ..self })
                } else {
                    self.treated(desk)
                }
            }
            Stage::Marking => self.treated(desk),
            Stage::Deleting if desk.keeps(Rule::DeletesListLast) => {
                Some(Self { stage: Stage::Closing, ..self })
            }
            Stage::Deleting => Some(self.next(Stage::Closing)),
            Stage::Closing => None,
        }
    }

    fn entry(&self) -> Option<(KeyId, u8)> {
        self.todo.iter().find_map(|part| part.iter().next())
    }

    fn reads(self, desk: &Desk, parts: Parts) -> Self {
        let read = Self { todo: parts, ..self };
        if desk.keeps(Rule::DeletesListLast) {
            read.next(Stage::Deleting)
        } else {
            Self { stage: Stage::Deleting, ..read }
        }
    }

    /// The next entry, or what comes after the last.
    fn next(self, last: Stage) -> Self {
        let stage = if self.entry().is_some() { self.treatment } else { last };
        Self { stage, ..self }
    }

    fn treated(mut self, desk: &Desk) -> Option<Self> {
        let (key, _) = self.entry()?;
        if let Some(part) = self.todo.iter_mut().find(|part| !part.is_empty()) {
            *part = part.without(key);
        }
        if self.steps_back && self.entry().is_none() {
            return None;
        }
        let last = if desk.keeps(Rule::DeletesListLast) { Stage::Deleting } else { Stage::Closing };
        Some(self.next(last))
    }
}
