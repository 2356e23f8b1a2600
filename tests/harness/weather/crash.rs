use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Seen, Weather};
use crate::Fault;

/// How a process ends at one of its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The service never sees the call.
    Before,
    /// The service does what it is asked to, and its answer finds nobody.
    After,
    /// The call is under way, and reaches the service when everything else is over.
    Late,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::After, Self::Late];
}

/// The end of a process at one of its calls to AWS, counted over all services. Notes the calls up to there.
#[derive(Debug)]
pub struct Crash {
    at: Option<(usize, Moment)>,
    calls: Mutex<Vec<String>>,
}

impl Crash {
    /// A crash at the call of this place.
    #[must_use]
    pub fn at(place: usize, moment: Moment) -> Self {
        Self { at: Some((place, moment)), calls: Mutex::default() }
    }

    /// No crash: notes the calls, nothing else.
    #[must_use]
    pub fn never() -> Self {
        Self { at: None, calls: Mutex::default() }
    }

    /// The operations that were called so far.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.noted().clone()
    }

    fn noted(&self) -> MutexGuard<'_, Vec<String>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weather for Crash {
    fn fault(&self, seen: &Seen) -> Fault {
        let mut calls = self.noted();
        calls.push(seen.operation.clone());
        match self.at {
            Some((place, moment)) if place + 1 == calls.len() => match moment {
                Moment::Before => Fault::DieBefore,
                Moment::After => Fault::DieAfter,
                Moment::Late => Fault::DieAndPostpone,
            },
            _ => Fault::Pass,
        }
    }

    fn count(&self, _seen: &Seen, _fault: &Fault) {}
}
