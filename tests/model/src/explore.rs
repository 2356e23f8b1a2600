//! What may happen next.

use stateright::{Model, Property};

use crate::attempt::{At, Attempt, may_draw};
use crate::desk::{Desk, State};
use crate::picks::{Picks, key_ids};
use crate::protocol::Rule;
use crate::recovery::Recovery;
use crate::table::{AttemptId, PARTS_MAX, Status};
use crate::turn::Turn;
use crate::write::Write;

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// An attempt.
    Attempt(AttemptId),
    /// A sweep, by its place among the sweeps.
    Sweep(u8),
}

/// Something that may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An attempt draws these keys, and signs the response if the order is small.
    Draws(AttemptId, Picks),
    /// An attempt finds too few keys, and will refuse.
    FindsTooFew(AttemptId),
    /// An attempt finds too few keys, and puts those back that it has reserved.
    StepsBack(AttemptId),
    /// A sweep takes an open order up. `old_list`: it reads the lists as they were before the latest part.
    TakesUp {
        /// The order.
        order: AttemptId,
        /// Whether the latest part is not seen.
        old_list: bool,
    },
    /// A write is done, and the process gets the answer.
    Writes(Process, Write),
    /// A process gets no answer in time, and sends the same write again. The first is held up.
    Repeats(Process, Write),
    /// A process gets no answer, and does not wait any longer.
    GivesUp {
        /// Who.
        process: Process,
        /// The write.
        write: Write,
        /// Whether it will be done at some time, or is lost.
        held_up: bool,
    },
    /// A process dies. Of the writes it waits for, those given by bits are held up; the others are lost.
    Crashes(Process, u8),
    /// A write that was held up is done.
    Arrives(Write),
}

impl Desk {
    pub(crate) fn pending(&self, state: &State, process: Process) -> Vec<Write> {
        match process {
            Process::Attempt(id) => state.attempts[usize::from(id)].pending(self, id),
            Process::Sweep(place) => state.sweeps[usize::from(place)].iter().map(Recovery::pending).collect(),
        }
    }

    fn processes(&self, state: &State) -> impl Iterator<Item = Process> + use<> {
        let at_work = (0..).zip(state.sweeps).filter(|(_, sweep)| sweep.is_some());
        let sweeps: Vec<_> = at_work.map(|(place, _)| Process::Sweep(place)).collect();
        self.attempts().map(Process::Attempt).chain(sweeps)
    }

    /// All ways to pick as many keys as the attempt needs, each at a version at which it was in stock.
    fn draws(&self, state: &State, id: AttemptId) -> Vec<Picks> {
        let attempt = &state.attempts[usize::from(id)];
        let needed = self.attempt(id).quantity - attempt.held.count();
        let mut draws = vec![Picks::NONE];
        for key in key_ids().filter(|key| !attempt.held.contains(*key)) {
            let now = state.table.key(key);
            let versions: Vec<u8> = if self.attempt(id).makes_fresh_keys {
                // Made at random, so nobody else makes the same.
                (now.status == Status::Absent && key >= self.stock)
                    .then_some(now.version)
                    .into_iter()
                    .collect()
            } else if self.stale_index {
                state.history.in_stock_at(key).collect()
            } else {
                (now.status == Status::Available).then_some(now.version).into_iter().collect()
            };
            let more: Vec<Picks> = draws
                .iter()
                .filter(|picks| picks.keys().count() < needed)
                .flat_map(|picks| versions.iter().map(|seen| picks.with(key, *seen)))
                .collect();
            draws.extend(more);
        }
        draws.retain(|picks| picks.keys().count() == needed);
        draws
    }

    fn drawing(&self, state: &State, id: AttemptId, actions: &mut Vec<Action>) {
        let attempt = &state.attempts[usize::from(id)];
        if attempt.at != At::Drawing {
            return;
        }
        actions.push(Action::FindsTooFew(id));
        if may_draw(attempt) {
            actions.extend(self.draws(state, id).into_iter().map(|picks| Action::Draws(id, picks)));
            if self.steps_back && !attempt.held.is_empty() {
                actions.push(Action::StepsBack(id));
            }
        }
    }

    fn faults(&self, state: &State, process: Process, writes: &[Write], actions: &mut Vec<Action>) {
        if state.timeouts_left > 0 {
            for write in writes.iter().copied() {
                actions.push(Action::Repeats(process, write));
                actions.push(Action::GivesUp { process, write, held_up: true });
                actions.push(Action::GivesUp { process, write, held_up: false });
            }
        }
        let has_ended = match process {
            Process::Attempt(id) => {
                let attempt = &state.attempts[usize::from(id)];
                attempt.at == At::Ended || *attempt == Attempt::new(self, id)
            }
            Process::Sweep(_) => false,
        };
        if state.crashes_left > 0 && !has_ended {
            actions.extend((0..1 << writes.len()).map(|held_up| Action::Crashes(process, held_up)));
        }
    }

    fn sweeping(&self, state: &State, actions: &mut Vec<Action>) {
        let at_work = state.sweeps.iter().flatten().count();
        if at_work >= usize::from(self.sweeps) {
            return;
        }
        for order in self.attempts().filter(|order| state.table.order(*order).is_open()) {
            actions.push(Action::TakesUp { order, old_list: false });
            if !self.keeps(Rule::ReadsListConsistently) {
                actions.push(Action::TakesUp { order, old_list: true });
            }
        }
    }

    fn answers(&self, state: &mut State, process: Process, write: Write) {
        let done = state.write(self, write);
        match process {
            Process::Attempt(id) => Turn::new(self, state, id).answered(write, done),
            Process::Sweep(place) => {
                let sweep = &mut state.sweeps[usize::from(place)];
                *sweep = sweep.and_then(|recovery| recovery.answered(self, &state.table, done));
            }
        }
    }

    /// What comes of an action. `None` if it goes beyond the bounds.
    pub(crate) fn after(&self, state: &State, action: Action) -> Option<State> {
        let mut state = state.clone();
        match action {
            Action::Draws(id, picks) => Turn::new(self, &mut state, id).drew(picks),
            Action::FindsTooFew(id) => Turn::new(self, &mut state, id).found_too_few(),
            Action::StepsBack(id) => Turn::new(self, &mut state, id).steps_back(),
            Action::TakesUp { order, old_list } => {
                let recovery = Recovery::begin(self, &state.table, order)?;
                let recovery = if old_list { recovery.with_old_list() } else { recovery };
                *state.sweeps.iter_mut().find(|sweep| sweep.is_none())? = Some(recovery);
            }
            Action::Writes(process, write) => self.answers(&mut state, process, write),
            Action::Repeats(_, write) => {
                state.timeouts_left -= 1;
                state.held_up = state.held_up.with(write)?;
            }
            Action::GivesUp { process, write, held_up } => {
                state.timeouts_left -= 1;
                if held_up {
                    state.held_up = state.held_up.with(write)?;
                }
                match process {
                    Process::Attempt(id) => Turn::new(self, &mut state, id).gave_up(write),
                    Process::Sweep(place) => state.sweeps[usize::from(place)] = None,
                }
            }
            Action::Crashes(process, held_up) => {
                state.crashes_left -= 1;
                for (bit, write) in self.pending(&state, process).into_iter().enumerate() {
                    if held_up >> bit & 1 == 1 {
                        state.held_up = state.held_up.with(write)?;
                    }
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
        }
        state.sweeps.sort_unstable();
        Some(state)
    }
}

impl Model for Desk {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for id in self.attempts() {
            self.drawing(state, id, actions);
        }
        self.sweeping(state, actions);
        for process in self.processes(state) {
            let writes = self.pending(state, process);
            actions.extend(writes.iter().map(|write| Action::Writes(process, *write)));
            self.faults(state, process, &writes, actions);
        }
        let mut last = None;
        for write in state.held_up.iter() {
            if last != Some(write) {
                actions.push(Action::Arrives(write));
            }
            last = Some(write);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.after(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::properties::all()
    }
}

const _: () = assert!(PARTS_MAX == 2, "an order has one list, and one of replacements");
