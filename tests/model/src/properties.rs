//! The properties that must hold in every state, and those that must be possible.

use stateright::Property;

use crate::attempt::Told;
use crate::picks::{Keys, key_ids};
use crate::scenario::{Scenario, State};
use crate::table::{AttemptId, Record, Response, Status};

/// A key has at most one owner, until an operator releases it.
pub const ONE_OWNER: &str = "a key has one owner";
/// Two responses never name the same key, unless an operator released it between them.
pub const NO_KEY_TWICE: &str = "no key is told twice";
/// An attempt sells only keys that its signed response names.
pub const SIGNED_BEFORE: &str = "signed before sold";
/// An attempt owns all keys of its order, or none.
pub const ALL_OR_NONE: &str = "all or none";
/// The buyer owns the keys of the response, except those that an operator released.
pub const TOLD_IS_OWNED: &str = "what is told is owned";
/// An attempt that reports that nothing was sold, or refuses, owns no key, now and later.
pub const NOTHING_SOLD_IS_TRUE: &str = "nothing is sold after nothing-sold was told";
/// No key is reserved and no part exists when nothing more happens.
pub const NO_KEY_LOST: &str = "no key is lost";
/// At most one attempt sells under an Idempotency-Key.
pub const ONE_SALE_PER_HEADER: &str = "one sale per Idempotency-Key";
/// All responses under an Idempotency-Key equal the recorded one, and every sale is recorded.
pub const ONE_ANSWER_PER_HEADER: &str = "one answer per Idempotency-Key";
/// A key has one successor at most: it is blocked if and only if its owner got another key.
pub const REPLACED_ONCE: &str = "a key is replaced once";
/// A new attempt gets an answer when all attempts have ended. After a sweep, it gets the correct one.
pub const CAN_GO_ON: &str = "another attempt can succeed";

/// A buyer gets keys.
pub const SELLS: &str = "sells";
/// A buyer is refused.
pub const REFUSES: &str = "refuses";
/// A request fails, and the buyer knows that nothing was sold.
pub const FAILS: &str = "fails";
/// A request fails, and the buyer does not know whether keys were sold.
pub const STAYS_UNKNOWN: &str = "stays unknown";
/// A buyer learns that another attempt is at work.
pub const IN_PROGRESS: &str = "is in progress";
/// An attempt sold keys, but died before it answered.
pub const SELLS_UNTOLD: &str = "sells untold";
/// One buyer gets a key, an operator releases it, and another buyer gets it.
pub const SELLS_AGAIN: &str = "sells a released key";

/// All properties that must hold in every state.
pub const ALWAYS: [&str; 11] = [
    ONE_OWNER,
    NO_KEY_TWICE,
    SIGNED_BEFORE,
    ALL_OR_NONE,
    TOLD_IS_OWNED,
    NOTHING_SOLD_IS_TRUE,
    NO_KEY_LOST,
    ONE_SALE_PER_HEADER,
    ONE_ANSWER_PER_HEADER,
    REPLACED_ONCE,
    CAN_GO_ON,
];

pub(crate) fn all() -> Vec<Property<Scenario>> {
    vec![
        Property::always(ONE_OWNER, |_, state: &State| {
            key_ids().all(|key| state.history.has_one_owner(&state.table, key))
        }),
        Property::always(NO_KEY_TWICE, |scenario: &Scenario, state: &State| {
            let responses: Vec<Response> = told(scenario, state).map(|(_, response)| response).collect();
            responses.iter().all(|a| {
                responses.iter().all(|b| a == b || !not_released(state, *a).meets(not_released(state, *b)))
            })
        }),
        Property::always(SIGNED_BEFORE, |scenario: &Scenario, state: &State| {
            scenario.attempts().all(|id| owned(state, id).without(state.history.signed(id)).is_empty())
        }),
        Property::always(ALL_OR_NONE, |scenario: &Scenario, state: &State| {
            scenario.attempts().all(|id| all_or_none(scenario, state, id))
        }),
        Property::always(TOLD_IS_OWNED, |scenario: &Scenario, state: &State| {
            told(scenario, state).all(|(_, response)| {
                not_released(state, response) == owned(state, response.by)
                    && response.keys.count() == scenario.request(response.by).quantity
            })
        }),
        Property::always(NOTHING_SOLD_IS_TRUE, |scenario: &Scenario, state: &State| {
            scenario.attempts().all(|id| {
                let promised = matches!(told_to(state, id), Told::NothingSold | Told::Refused);
                !promised || owned(state, id).is_empty()
            })
        }),
        Property::always(NO_KEY_LOST, |scenario: &Scenario, state: &State| {
            !state.is_quiet(scenario) || nothing_is_lost(scenario, state)
        }),
        Property::always(ONE_SALE_PER_HEADER, |scenario: &Scenario, state: &State| {
            headers(scenario).all(|header| sellers(scenario, state, header).count() <= 1)
        }),
        Property::always(ONE_ANSWER_PER_HEADER, |scenario: &Scenario, state: &State| {
            headers(scenario).all(|header| one_answer(scenario, state, header))
        }),
        Property::always(REPLACED_ONCE, |scenario: &Scenario, state: &State| {
            let replacing = scenario.attempts().filter(|id| scenario.request(*id).replaces_key);
            replacing.filter(|id| !owned(state, *id).is_empty()).eq(state.table.replaced_by)
        }),
        Property::always(CAN_GO_ON, |scenario: &Scenario, state: &State| {
            !state.all_attempts_ended(scenario) || scenario.can_go_on(state)
        }),
        Property::sometimes(SELLS, |scenario: &Scenario, state: &State| {
            told(scenario, state).next().is_some()
        }),
        Property::sometimes(REFUSES, |scenario: &Scenario, state: &State| {
            is_told(scenario, state, Told::Refused)
        }),
        Property::sometimes(FAILS, |scenario: &Scenario, state: &State| {
            is_told(scenario, state, Told::NothingSold)
        }),
        Property::sometimes(STAYS_UNKNOWN, |scenario: &Scenario, state: &State| {
            is_told(scenario, state, Told::Unknown)
        }),
        Property::sometimes(IN_PROGRESS, |scenario: &Scenario, state: &State| {
            is_told(scenario, state, Told::InProgress)
        }),
        Property::sometimes(SELLS_UNTOLD, |scenario: &Scenario, state: &State| {
            let untold = |id| told_to(state, id) == Told::Nothing && !owned(state, id).is_empty();
            state.is_quiet(scenario) && scenario.attempts().any(untold)
        }),
        Property::sometimes(SELLS_AGAIN, |scenario: &Scenario, state: &State| {
            told(scenario, state)
                .any(|(_, a)| told(scenario, state).any(|(_, b)| a.by != b.by && a.keys == b.keys))
        }),
    ]
}

fn told_to(state: &State, id: AttemptId) -> Told {
    state.attempts[usize::from(id)].told
}

fn told(scenario: &Scenario, state: &State) -> impl Iterator<Item = (AttemptId, Response)> {
    scenario.attempts().filter_map(|id| match told_to(state, id) {
        Told::Sold(response) => Some((id, response)),
        _ => None,
    })
}

fn is_told(scenario: &Scenario, state: &State, what: Told) -> bool {
    scenario.attempts().any(|id| told_to(state, id) == what)
}

fn owned(state: &State, id: AttemptId) -> Keys {
    state.history.owned(&state.table, id)
}

/// The keys of a response that its buyer should still own.
fn not_released(state: &State, response: Response) -> Keys {
    response.keys.without(state.history.released(response.by))
}

fn all_or_none(scenario: &Scenario, state: &State, id: AttemptId) -> bool {
    let (owned, signed) = (owned(state, id), state.history.signed(id));
    let whole = signed.count() == scenario.request(id).quantity
        && signed.without(state.history.released(id)) == owned.without(state.history.released(id));
    owned.is_empty() || whole
}

fn nothing_is_lost(scenario: &Scenario, state: &State) -> bool {
    let in_place = key_ids().all(|key| match state.table.key(key).status {
        Status::Available | Status::Assigned(_) => true,
        Status::Reserved(_) => false,
        // Keys of the stock are never deleted. A fresh key may never be stored.
        Status::Absent => key >= scenario.stock,
    });
    in_place && state.table.parts.iter().flatten().all(|part| part.is_empty())
}

fn headers(scenario: &Scenario) -> impl Iterator<Item = u8> {
    let last = scenario.requests.iter().filter_map(|request| request.header).max();
    0..last.map_or(0, |last| last + 1)
}

/// The attempts under an Idempotency-Key that have sold.
fn sellers(scenario: &Scenario, state: &State, header: u8) -> impl Iterator<Item = AttemptId> {
    scenario
        .attempts()
        .filter(move |id| scenario.request(*id).header == Some(header) && state.history.has_sold(*id))
}

fn one_answer(scenario: &Scenario, state: &State, header: u8) -> bool {
    let mut attempts = scenario.attempts().filter(|id| scenario.request(*id).header == Some(header));
    let recorded = match attempts.next().and_then(|id| scenario.record(&state.table, id)) {
        Some(Record::Done(response)) => Some(response),
        _ => None,
    };
    told(scenario, state)
        .filter(|(id, _)| scenario.request(*id).header == Some(header))
        .all(|(_, told)| Some(told) == recorded)
        && sellers(scenario, state, header)
            .all(|seller| recorded.is_some_and(|recorded| recorded.by == seller))
}
