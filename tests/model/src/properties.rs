//! What must hold in every state, and what must be possible.

use stateright::Property;

use crate::attempt::Told;
use crate::desk::{Desk, State};
use crate::picks::{Keys, key_ids};
use crate::table::{AttemptId, Claim, ClaimId, Envelope, Status};

/// A key has at most one owner, ever: whose it is once, it stays.
pub const ONE_OWNER: &str = "a key has one owner";
/// Two responses that were told never share a key.
pub const NO_KEY_TWICE: &str = "no key is told twice";
/// Keys are given away only with the signed response that names just them in hand.
pub const SIGNED_BEFORE: &str = "signed before it is given away";
/// An attempt owns all keys of its order, or none.
pub const ALL_OR_NONE: &str = "all or none";
/// What a buyer is told to own is owned.
pub const TOLD_IS_OWNED: &str = "what is told is owned";
/// Whoever is told that nothing was sold is right, then and later.
pub const FAILURE_IS_TRUE: &str = "nothing is sold after a failure was told";
/// When all is quiet, every key is in stock or assigned.
pub const NO_KEY_LOST: &str = "no key is lost";
/// Under one claim at most one assignment is made.
pub const ONE_SALE_PER_CLAIM: &str = "one sale per claim";
/// All responses told under one claim are the same, and are the one that is recorded.
pub const ONE_ANSWER_PER_CLAIM: &str = "one answer per claim";
/// When all attempts have ended, the sweep comes to an end, and another attempt gets what it should.
pub const CAN_GO_ON: &str = "another attempt can succeed";

/// A buyer gets keys.
pub const SELLS: &str = "sells";
/// A buyer is refused.
pub const REFUSES: &str = "refuses";
/// It fails, and the buyer knows that nothing was sold.
pub const FAILS: &str = "fails";
/// Keys are sold though the attempt that sold them never told so.
pub const SELLS_UNTOLD: &str = "sells untold";

/// All that must hold in every state.
pub const ALWAYS: [&str; 10] = [
    ONE_OWNER,
    NO_KEY_TWICE,
    SIGNED_BEFORE,
    ALL_OR_NONE,
    TOLD_IS_OWNED,
    FAILURE_IS_TRUE,
    NO_KEY_LOST,
    ONE_SALE_PER_CLAIM,
    ONE_ANSWER_PER_CLAIM,
    CAN_GO_ON,
];

pub(crate) fn all() -> Vec<Property<Desk>> {
    vec![
        Property::always(ONE_OWNER, |_, state: &State| {
            key_ids().all(|key| state.history.has_one_owner(&state.table, key))
        }),
        Property::always(NO_KEY_TWICE, |desk: &Desk, state: &State| {
            let told: Vec<Envelope> = told(desk, state).map(|(_, envelope)| envelope).collect();
            told.iter().all(|a| told.iter().all(|b| a == b || !a.keys.meets(b.keys)))
        }),
        Property::always(SIGNED_BEFORE, |desk: &Desk, state: &State| {
            desk.attempts().all(|id| {
                let signed = state.history.signed(id);
                key_ids()
                    .all(|key| state.history.owner(&state.table, key) != Some(id) || signed.contains(key))
            })
        }),
        Property::always(ALL_OR_NONE, |desk: &Desk, state: &State| {
            desk.attempts().all(|id| all_or_none(desk, state, id))
        }),
        Property::always(TOLD_IS_OWNED, |desk: &Desk, state: &State| {
            told(desk, state).all(|(id, envelope)| {
                envelope.keys == state.history.owned(&state.table, envelope.by)
                    && envelope.keys.count() == desk.attempt(id).quantity
            })
        }),
        Property::always(FAILURE_IS_TRUE, |desk: &Desk, state: &State| {
            desk.attempts().all(|id| {
                let failed = matches!(state.attempts[usize::from(id)].told, Told::Failed | Told::Refused);
                !failed || state.history.owned(&state.table, id).is_empty()
            })
        }),
        Property::always(NO_KEY_LOST, |desk: &Desk, state: &State| {
            !state.is_quiet(desk) || nothing_is_lost(desk, state)
        }),
        Property::always(ONE_SALE_PER_CLAIM, |desk: &Desk, state: &State| {
            claims(desk).all(|claim| sellers(desk, state, claim).count() <= 1)
        }),
        Property::always(ONE_ANSWER_PER_CLAIM, |desk: &Desk, state: &State| {
            claims(desk).all(|claim| one_answer(desk, state, claim))
        }),
        Property::always(CAN_GO_ON, |desk: &Desk, state: &State| {
            !state.all_attempts_ended(desk) || desk.can_go_on(state)
        }),
        Property::sometimes(SELLS, |desk: &Desk, state: &State| told(desk, state).next().is_some()),
        Property::sometimes(REFUSES, |desk: &Desk, state: &State| was_told(desk, state, Told::Refused)),
        Property::sometimes(FAILS, |desk: &Desk, state: &State| was_told(desk, state, Told::Failed)),
        Property::sometimes(SELLS_UNTOLD, |desk: &Desk, state: &State| {
            state.is_quiet(desk)
                && desk.attempts().any(|id| {
                    let told = state.attempts[usize::from(id)].told;
                    !state.history.owned(&state.table, id).is_empty() && told == Told::Nothing
                })
        }),
    ]
}

fn told(desk: &Desk, state: &State) -> impl Iterator<Item = (AttemptId, Envelope)> {
    desk.attempts().filter_map(|id| match state.attempts[usize::from(id)].told {
        Told::Sold(envelope) => Some((id, envelope)),
        _ => None,
    })
}

fn was_told(desk: &Desk, state: &State, what: Told) -> bool {
    desk.attempts().any(|id| state.attempts[usize::from(id)].told == what)
}

fn all_or_none(desk: &Desk, state: &State, id: AttemptId) -> bool {
    let owned = state.history.owned(&state.table, id);
    let whole = owned.count() == desk.attempt(id).quantity && owned == state.history.signed(id);
    whole || (owned == Keys::NONE && !state.history.was_committed(id))
}

fn nothing_is_lost(desk: &Desk, state: &State) -> bool {
    key_ids().all(|key| match state.table.key(key).status {
        Status::Available | Status::Assigned(_) => true,
        Status::Reserved(_) => false,
        // Keys of the stock are never deleted; a fresh one may never have come to be.
        Status::Absent => key >= desk.stock,
    })
}

fn claims(desk: &Desk) -> impl Iterator<Item = ClaimId> {
    let claims = desk.requests.iter().filter_map(|request| request.claim).max();
    0..claims.map_or(0, |last| last + 1)
}

/// The attempts under a claim that own keys.
fn sellers(desk: &Desk, state: &State, claim: ClaimId) -> impl Iterator<Item = AttemptId> {
    desk.attempts().filter(move |id| {
        desk.attempt(*id).claim == Some(claim) && !state.history.owned(&state.table, *id).is_empty()
    })
}

/// What was told under a claim is what is recorded, and what was sold is recorded.
fn one_answer(desk: &Desk, state: &State, claim: ClaimId) -> bool {
    let recorded = match state.table.claim(claim) {
        Claim::Done(envelope) => Some(envelope),
        _ => None,
    };
    told(desk, state)
        .filter(|(id, _)| desk.attempt(*id).claim == Some(claim))
        .all(|(_, told)| Some(told) == recorded)
        && sellers(desk, state, claim).all(|seller| recorded.is_some_and(|recorded| recorded.by == seller))
}
