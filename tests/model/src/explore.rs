//! The transitions between states.

use stateright::{Model, Property};

use crate::attempt::{At, Attempt, Told};
use crate::picks::{KeyId, Picks, key_ids};
use crate::protocol::Rule;
use crate::scenario::{SWEEPS_MAX, Scenario, State};
use crate::settle::Settle;
use crate::table::{AttemptId, Record, Status};
use crate::turn::Turn;
use crate::write::Write;

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// An attempt.
    Attempt(AttemptId),
    /// A sweep, by its place among the sweeps.
    Sweep(u8),
}

/// A transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An attempt reads its record.
    Reads(AttemptId),
    /// An attempt finds an open record whose lease is not over.
    FindsLeaseAlive(AttemptId),
    /// An attempt draws these keys, and signs the response if they are the last.
    Draws(AttemptId, Picks),
    /// An attempt finds too few keys, and refuses.
    FindsTooFew(AttemptId),
    /// The deadline comes before an attempt has drawn, or after DynamoDB has answered every copy of its sale
    /// with an error.
    RunsOutOfTime(AttemptId),
    /// A sweep takes up the entry of an attempt.
    TakesUp(AttemptId),
    /// A write is made, and the process gets the answer.
    Writes(Process, Write),
    /// A process gets no answer, and repeats the write. The first copy is held up.
    Repeats(Process, Write),
    /// A process gets no answer, and stops waiting: its time is over, or the deadline comes.
    StopsWaiting {
        /// The process.
        process: Process,
        /// The write.
        write: Write,
        /// True if it arrives at some time; false if it is lost.
        held_up: bool,
    },
    /// A process crashes.
    Crashes {
        /// The process.
        process: Process,
        /// True if the write it waits for arrives at some time; false if there is none or it is lost.
        held_up: bool,
    },
    /// A held-up write arrives.
    Arrives(Write),
    /// An operator puts an assigned key back in stock.
    Releases(KeyId),
    /// The record of an attempt is deleted. Only without [`Rule::KeepsRecords`].
    Expires(AttemptId),
}

impl Scenario {
    pub(crate) fn pending(&self, state: &State, process: Process) -> Option<Write> {
        match process {
            Process::Attempt(id) => state.attempts[usize::from(id)].pending(self, id),
            Process::Sweep(place) => state.sweeps[usize::from(place)].map(|settle| settle.pending()),
        }
    }

    fn processes(&self) -> impl Iterator<Item = Process> + use<> {
        self.attempts().map(Process::Attempt).chain([0, 1].map(Process::Sweep))
    }

    /// Returns all ways to draw as many keys as the next write of the attempt needs.
    pub(crate) fn draws(&self, state: &State, id: AttemptId) -> Vec<Picks> {
        let attempt = &state.attempts[usize::from(id)];
        let (count, taken) = (self.draws_count(id, attempt), attempt.taken_keys());
        let mut draws = vec![Picks::NONE];
        for key in key_ids().filter(|key| !taken.contains(*key)) {
            let now = state.table.key(key);
            let versions: Vec<u8> = if self.request(id).makes_fresh_keys {
                // Fresh keys are random, so no other attempt makes the same.
                let is_new = now.status == Status::Absent && key >= self.stock;
                is_new.then_some(now.version).into_iter().collect()
            } else if self.old_windows {
                state.history.in_stock_at(key).collect()
            } else {
                (now.status == Status::Available).then_some(now.version).into_iter().collect()
            };
            let more: Vec<Picks> = draws
                .iter()
                .filter(|picks| picks.keys().count() < count)
                .flat_map(|picks| versions.iter().map(|seen| picks.with(key, *seen)))
                .collect();
            draws.extend(more);
        }
        draws.retain(|picks| picks.keys().count() == count);
        draws
    }

    fn attempt_actions(&self, state: &State, id: AttemptId, actions: &mut Vec<Action>) {
        let attempt = &state.attempts[usize::from(id)];
        match attempt.at {
            At::Reading => actions.push(Action::Reads(id)),
            At::Replacing(settle) if settle.is_voiding() => actions.push(Action::FindsLeaseAlive(id)),
            At::Selling(_) => actions.push(Action::RunsOutOfTime(id)),
            At::Drawing => {
                actions.extend([Action::FindsTooFew(id), Action::RunsOutOfTime(id)]);
                if attempt.draws_left > 0 {
                    actions.extend(self.draws(state, id).into_iter().map(|picks| Action::Draws(id, picks)));
                }
            }
            _ => {}
        }
    }

    fn process_actions(&self, state: &State, process: Process, actions: &mut Vec<Action>) {
        let write = self.pending(state, process);
        if let Some(write) = write {
            actions.push(Action::Writes(process, write));
            if state.timeouts_left > 0 {
                if !counts_copies(state, process) {
                    actions.push(Action::Repeats(process, write));
                }
                actions.extend([true, false].map(|held_up| Action::StopsWaiting { process, write, held_up }));
            }
        }
        let may_crash = match process {
            Process::Attempt(id) => {
                let attempt = &state.attempts[usize::from(id)];
                attempt.at != At::Ended && *attempt != Attempt::new(self, id)
            }
            Process::Sweep(_) => write.is_some(),
        };
        if state.crashes_left > 0 && may_crash {
            actions.push(Action::Crashes { process, held_up: false });
            actions.extend(write.map(|_| Action::Crashes { process, held_up: true }));
        }
    }

    /// True if [`Rule::KeepsRecords`] keeps the record of an attempt.
    fn is_kept(&self, state: &State, id: AttemptId) -> bool {
        match self.record(&state.table, id) {
            Some(Record::Void(by)) => by == id,
            Some(Record::Done(response)) => response.by == id && state.table.has_entry(id),
            _ => false,
        }
    }

    /// Returns the state after an action. `None` if it exceeds the bounds.
    pub(crate) fn after(&self, state: &State, action: Action) -> Option<State> {
        let mut state = state.clone();
        match action {
            Action::Reads(id) => Turn::new(self, &mut state, id).reads(),
            Action::FindsLeaseAlive(id) => state.attempts[usize::from(id)].ends_with(Told::InProgress),
            Action::Draws(id, picks) => Turn::new(self, &mut state, id).draws(picks),
            Action::FindsTooFew(id) => Turn::new(self, &mut state, id).refuses(),
            Action::RunsOutOfTime(id) => Turn::new(self, &mut state, id).fails(Told::NothingSold),
            Action::TakesUp(id) => {
                let settle = Settle::begin(self, &state.table, id);
                *state.sweeps.iter_mut().find(|sweep| sweep.is_none())? = Some(settle);
            }
            Action::Writes(process, write) => {
                let done = state.write(self, write);
                match process {
                    Process::Attempt(id) => Turn::new(self, &mut state, id).answered(done),
                    Process::Sweep(place) => {
                        let sweep = &mut state.sweeps[usize::from(place)];
                        *sweep = sweep.and_then(|settle| settle.answered(self, &state.table));
                    }
                }
            }
            Action::Repeats(_, write) => {
                state.timeouts_left -= 1;
                state.held_up = state.held_up.with(write)?;
            }
            Action::StopsWaiting { process, write, held_up } => {
                state.timeouts_left -= 1;
                if held_up {
                    state.held_up = state.held_up.with(write)?;
                }
                match process {
                    Process::Attempt(id) => Turn::new(self, &mut state, id).gets_no_answer(),
                    Process::Sweep(place) => state.sweeps[usize::from(place)] = None,
                }
            }
            Action::Crashes { process, held_up } => {
                state.crashes_left -= 1;
                if held_up {
                    state.held_up = state.held_up.with(self.pending(&state, process)?)?;
                }
                match process {
                    Process::Attempt(id) => state.attempts[usize::from(id)].end(),
                    Process::Sweep(place) => state.sweeps[usize::from(place)] = None,
                }
            }
            Action::Arrives(write) => {
                state.held_up = state.held_up.without(write);
                state.write(self, write);
            }
            Action::Releases(key) => state.release(key)?,
            Action::Expires(id) => state.table.records[usize::from(self.record_id(id)?)] = Record::Absent,
        }
        state.sweeps.sort_unstable();
        Some(state)
    }
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for id in self.attempts() {
            self.attempt_actions(state, id, actions);
        }
        if state.sweeps.iter().flatten().count() < usize::from(self.sweeps) {
            actions.extend(self.attempts().filter(|id| state.table.has_entry(*id)).map(Action::TakesUp));
        }
        for process in self.processes() {
            self.process_actions(state, process, actions);
        }
        let mut last = None;
        for write in state.held_up.iter() {
            if last != Some(write) {
                actions.push(Action::Arrives(write));
            }
            last = Some(write);
        }
        if state.releases_left > 0 {
            let assigned = |key: &KeyId| matches!(state.table.key(*key).status, Status::Assigned(_));
            actions.extend(key_ids().filter(assigned).map(Action::Releases));
        }
        if !self.keeps(Rule::KeepsRecords) {
            actions.extend(self.attempts().filter(|id| self.is_kept(state, *id)).map(Action::Expires));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.after(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::properties::all()
    }
}

/// True if the process waits for the first copy of a sale. Before it sends a second one, it notes that the
/// first got no answer.
fn counts_copies(state: &State, process: Process) -> bool {
    let Process::Attempt(id) = process else { return false };
    matches!(state.attempts[usize::from(id)].at, At::Selling(_))
}

const _: () = assert!(SWEEPS_MAX == 2, "the processes include all sweeps");
