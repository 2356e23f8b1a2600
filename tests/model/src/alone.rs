//! What an attempt meets that is made when all others have ended.

use crate::attempt::{At, Attempt, Told};
use crate::desk::{Desk, Request, State};
use crate::explore::{Action, Process};
use crate::picks::{Picks, key_ids};
use crate::recovery::Recovery;
use crate::table::{AttemptId, Claim, Status};
use crate::turn::Turn;

/// More steps than anybody needs who is alone.
const STEPS_MAX: usize = 100;

impl Desk {
    /// Whether a sweep that is alone comes to an end, and then a new attempt for each of the requests gets what it
    /// should: the response that was recorded; or keys, if there are enough.
    pub(crate) fn can_go_on(&self, state: &State) -> bool {
        let mut state = state.clone();
        self.attempts().all(|order| self.sweeps_alone(&mut state, order))
            && self.requests.iter().all(|request| self.succeeds_alone(&state, *request))
    }

    fn sweeps_alone(&self, state: &mut State, order: AttemptId) -> bool {
        let mut sweep = Recovery::begin(self, &state.table, order);
        for _ in 0..STEPS_MAX {
            let Some(recovery) = sweep else { return !state.table.order(order).is_open() };
            let done = state.write(self, recovery.pending());
            sweep = recovery.answered(self, &state.table, done);
        }
        false
    }

    fn succeeds_alone(&self, state: &State, request: Request) -> bool {
        let Ok(id) = AttemptId::try_from(self.requests.len()) else { return false };
        let mut desk = self.clone();
        desk.requests.push(request);
        let mut state = state.clone();
        state.attempts[usize::from(id)] = Attempt::new(&desk, id);
        let recorded = request.claim.map(|claim| state.table.claim(claim));
        let enough = desk.picks_alone(&state, id).is_some();
        desk.runs_alone(&mut state, id);
        match (recorded, state.attempts[usize::from(id)].told) {
            (Some(Claim::Done(envelope)), told) => told == Told::Sold(envelope),
            (_, Told::Sold(envelope)) => enough && envelope.by == id,
            (_, Told::Refused) => !enough,
            _ => false,
        }
    }

    fn runs_alone(&self, state: &mut State, id: AttemptId) {
        for _ in 0..STEPS_MAX {
            let attempt = state.attempts[usize::from(id)];
            if attempt.at == At::Ended {
                return;
            }
            if attempt.at == At::Drawing {
                let picks = self.picks_alone(state, id);
                let mut turn = Turn::new(self, state, id);
                match picks {
                    Some(picks) => turn.drew(picks),
                    None => turn.found_too_few(),
                }
            } else if let Some(write) = self.pending(state, Process::Attempt(id)).first()
                && let Some(after) = self.after(state, Action::Writes(Process::Attempt(id), *write))
            {
                *state = after;
            }
        }
    }

    fn picks_alone(&self, state: &State, id: AttemptId) -> Option<Picks> {
        let request = self.attempt(id);
        let from = if request.makes_fresh_keys { Status::Absent } else { Status::Available };
        let keys: Vec<_> = key_ids().filter(|key| state.table.key(*key).status == from).collect();
        let picked = keys.get(..usize::from(request.quantity))?.iter();
        Some(picked.fold(Picks::NONE, |picks, key| picks.with(*key, state.table.key(*key).version)))
    }
}
