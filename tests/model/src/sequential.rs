//! The fate of an attempt that begins after all others have ended.

use crate::attempt::{At, Attempt, Told};
use crate::explore::{Action, Process};
use crate::picks::{Picks, key_ids};
use crate::scenario::{Request, Scenario, State};
use crate::settle::Settle;
use crate::table::{AttemptId, Record, Status};
use crate::turn::Turn;

/// More steps than a process needs when it runs alone.
const STEPS_MAX: usize = 100;

impl Scenario {
    /// True if no dead attempt blocks others: a new attempt for each of the requests gets an answer, and a
    /// sweep that runs alone ends. After that, a new attempt gets the recorded response. Without one, it gets
    /// keys if there are enough.
    pub(crate) fn can_go_on(&self, state: &State) -> bool {
        let mut swept = state.clone();
        self.requests.iter().all(|request| self.is_answered_alone(state, *request))
            && self.attempts().all(|attempt| self.sweeps_alone(&mut swept, attempt))
            && self.requests.iter().all(|request| self.succeeds_alone(&swept, *request))
    }

    fn is_answered_alone(&self, state: &State, request: Request) -> bool {
        let alone = self.begins_alone(state, request);
        alone.is_some_and(|(scenario, mut state, id)| {
            matches!(scenario.runs_alone(&mut state, id), Told::Sold(_) | Told::Refused)
        })
    }

    fn sweeps_alone(&self, state: &mut State, attempt: AttemptId) -> bool {
        let has_entry = state.table.has_entry(attempt);
        let mut sweep = has_entry.then(|| Settle::begin(self, &state.table, attempt));
        for _ in 0..STEPS_MAX {
            let Some(settle) = sweep else { return !state.table.has_entry(attempt) };
            state.write(self, settle.pending());
            sweep = settle.answered(self, &state.table);
        }
        false
    }

    fn succeeds_alone(&self, state: &State, request: Request) -> bool {
        let Some((scenario, mut state, id)) = self.begins_alone(state, request) else { return false };
        let record = scenario.record(&state.table, id);
        let is_replaced = request.replaces_key && state.table.replaced_by.is_some();
        let enough = !is_replaced && scenario.picks_alone(&state, id, request.quantity).is_some();
        match (record, scenario.runs_alone(&mut state, id)) {
            (Some(Record::Done(response)), told) => told == Told::Sold(response),
            (_, Told::Sold(response)) => enough && response.by == id,
            (_, Told::Refused) => !enough,
            _ => false,
        }
    }

    /// The scenario with one more attempt.
    fn begins_alone(&self, state: &State, request: Request) -> Option<(Self, State, AttemptId)> {
        let id = AttemptId::try_from(self.requests.len()).ok()?;
        let (mut scenario, mut state) = (self.clone(), state.clone());
        scenario.requests.push(request);
        state.attempts[usize::from(id)] = Attempt::new(&scenario, id);
        Some((scenario, state, id))
    }

    fn runs_alone(&self, state: &mut State, id: AttemptId) -> Told {
        for _ in 0..STEPS_MAX {
            let attempt = state.attempts[usize::from(id)];
            match attempt.at {
                At::Ended => return attempt.told,
                At::Reading => Turn::new(self, state, id).reads(),
                At::Drawing => match self.picks_alone(state, id, self.draws_count(id, &attempt)) {
                    Some(picks) => Turn::new(self, state, id).draws(picks),
                    None => Turn::new(self, state, id).refuses(),
                },
                _ => {
                    let process = Process::Attempt(id);
                    let write = self.pending(state, process).map(|write| Action::Writes(process, write));
                    if let Some(after) = write.and_then(|action| self.after(state, action)) {
                        *state = after;
                    }
                }
            }
        }
        Told::Nothing
    }

    fn picks_alone(&self, state: &State, id: AttemptId, count: u8) -> Option<Picks> {
        let from = if self.request(id).makes_fresh_keys { Status::Absent } else { Status::Available };
        let keys: Vec<_> = key_ids().filter(|key| state.table.key(*key).status == from).collect();
        let picked = keys.get(..usize::from(count))?.iter();
        Some(picked.fold(Picks::NONE, |picks, key| picks.with(*key, state.table.key(*key).version)))
    }
}
