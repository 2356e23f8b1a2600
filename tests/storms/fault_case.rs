use super::{Expected, FaultCase};
use crate::Fault;

impl FaultCase {
    /// Kills the process at the call: before the service sees it, after the service executed it, or while it
    /// is under way.
    #[must_use]
    pub fn crashes() -> Vec<Self> {
        let crash = |name, fault, writes_only| Self {
            name,
            fault,
            times: 1,
            writes_only,
            expected: Expected::Nothing,
        };
        vec![
            crash("dies-before", Fault::DieBefore, false),
            crash("dies-after", Fault::DieAfter, false),
            crash("dies-and-arrives", Fault::DieAndPostpone(None), true),
        ]
    }

    /// Faults that happen once, and that nobody notices.
    #[must_use]
    pub fn once() -> Vec<Self> {
        let slip = |name, fault, writes_only| Self {
            name,
            fault,
            times: 1,
            writes_only,
            expected: Expected::Answer,
        };
        vec![
            slip("request-lost", Fault::LoseRequest, false),
            slip("response-lost", Fault::LoseResponse, false),
            slip("arrives-later", Fault::Postpone, true),
            slip("throttled", Fault::error("ThrottlingException"), false),
            slip("conflict", Fault::error("TransactionConflictException"), true),
            slip("error", Fault::error("InternalServerError"), false),
        ]
    }

    /// Faults that last until the caller gives up. The buyer gets his response, or nothing is done.
    #[must_use]
    pub fn persistent() -> Vec<Self> {
        let row = |name, fault, times| Self {
            name,
            fault,
            times,
            writes_only: true,
            expected: Expected::AnswerOrRefusal,
        };
        // The SDK makes five attempts, and the store makes six if the SDK does not retry.
        vec![
            row("requests-lost", Fault::LoseRequest, 5),
            row("responses-lost", Fault::LoseResponse, 5),
            row("arrive-later", Fault::Postpone, 5),
            row("conflicts", Fault::error("TransactionConflictException"), 6),
            row("errors", Fault::error("InternalServerError"), 5),
        ]
    }
}
