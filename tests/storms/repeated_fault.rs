use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{CallSite, Fault, FaultPlan, ObservedCall};

/// A fault that repeats at one call and at the next ones of the same operation. Records all calls.
#[derive(Debug)]
pub struct RepeatedFault {
    begins: Option<(CallSite, Fault)>,
    times: usize,
    points: Mutex<Vec<CallSite>>,
}

impl RepeatedFault {
    /// Makes a plan with this fault, for this number of calls from one call on.
    #[must_use]
    pub fn of(fault: Fault, times: usize, from: CallSite) -> Self {
        Self { begins: Some((from, fault)), times, points: Mutex::default() }
    }

    /// Makes a plan without a fault, which only records the calls.
    #[must_use]
    pub fn none() -> Self {
        Self { begins: None, times: 0, points: Mutex::default() }
    }

    /// Returns the calls so far.
    #[must_use]
    pub fn points(&self) -> Vec<CallSite> {
        self.noted().clone()
    }

    /// True if the fault kills the process.
    pub(crate) fn ends_the_process(&self) -> bool {
        let fault = self.begins.as_ref().map(|(_, fault)| fault);
        matches!(fault, Some(Fault::DieBefore | Fault::DieAfter | Fault::DieAndPostpone(_)))
    }

    fn noted(&self) -> MutexGuard<'_, Vec<CallSite>> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultPlan for RepeatedFault {
    fn fault(&self, seen: &ObservedCall) -> Fault {
        let mut points = self.noted();
        let nth = points.iter().filter(|point| point.operation == seen.operation).count();
        points.push(CallSite { operation: seen.operation.clone(), nth });
        match &self.begins {
            Some((from, fault))
                if from.operation == seen.operation && (from.nth..from.nth + self.times).contains(&nth) =>
            {
                fault.clone()
            }
            _ => Fault::Pass,
        }
    }

    fn count(&self, _seen: &ObservedCall, _fault: &Fault) {}
}
