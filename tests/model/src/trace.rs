//! How a property comes to be violated.

use std::collections::BTreeSet;

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::desk::Desk;
use crate::explore::Action;

/// A run that ends in a state in which `property` does not hold, if there is one. As short as can be if `shortest`;
/// else whichever is met first.
#[must_use]
pub fn counterexample(desk: &Desk, property: &'static str, shortest: bool) -> Option<Vec<Action>> {
    let mut found: Option<Vec<Action>> = None;
    loop {
        let checker = desk.clone().checker().finish_when(HasDiscoveries::AnyOf(BTreeSet::from([property])));
        // States as deep as the run that was found are not looked at again. (The first state has depth 1.)
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
