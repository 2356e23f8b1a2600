use super::{Disturbance, Expected};
use crate::Fault;

impl Disturbance {
    /// The process ends at the call: before the service saw it, after it did what it was asked to, or with the call still
    /// under way.
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

    /// A fault that happens once: nobody notices.
    #[must_use]
    pub fn slips() -> Vec<Self> {
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

    /// A fault that goes on until the call is given up: the buyer gets his answer all the same, or nothing is done.
    #[must_use]
    pub fn rows() -> Vec<Self> {
        let row = |name, fault, times| Self {
            name,
            fault,
            times,
            writes_only: true,
            expected: Expected::AnswerOrRefusal,
        };
        // The SDK makes five attempts, and the store six of what the SDK does not repeat.
        vec![
            row("requests-lost", Fault::LoseRequest, 5),
            row("responses-lost", Fault::LoseResponse, 5),
            row("arrive-later", Fault::Postpone, 5),
            row("conflicts", Fault::error("TransactionConflictException"), 6),
            row("errors", Fault::error("InternalServerError"), 5),
        ]
    }
}
