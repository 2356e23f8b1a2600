//! The search for a run that violates a property.

use std::collections::BTreeSet;

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::explore::Action;
use crate::scenario::Scenario;

/// Finds a run to a state that violates `property`: the shortest one if `shortest`, else the first one found.
#[must_use]
pub fn counterexample(scenario: &Scenario, property: &'static str, shortest: bool) -> Option<Vec<Action>> {
    let mut found: Option<Vec<Action>> = None;
    loop {
        let checker =
            scenario.clone().checker().finish_when(HasDiscoveries::AnyOf(BTreeSet::from([property])));
        // The next search skips states as deep as the end of this run. (The first state has depth 1.)
        let checker = match &found {
            Some(run) => checker.target_max_depth(run.len() + 1),
            None => checker,
        };
        match checker.spawn_bfs().join().discovery(property) {
            Some(path) if shortest => found = Some(path.into_actions()),
            Some(path) => return Some(path.into_actions()),
            None => return found,
        }
    }
}
