use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use bytes::Bytes;

use super::call::Request;
use crate::faults::number;

/// The latest responses to reads that need not be consistent. DynamoDB may repeat such a response after a
/// change of the table. The age counts reads, not time.
#[derive(Debug, Default)]
pub(super) struct TableSnapshots(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    reads: u64,
    by_question: HashMap<u64, (u64, Bytes)>,
}

/// The largest number of stored questions.
const QUESTIONS_MAX: usize = 5_000;

impl TableSnapshots {
    /// Stores a response.
    pub(super) fn keep(&self, request: &Request, status: StatusCode, answer: &Bytes) {
        if !request.may_be_stale() || !status.is_success() {
            return;
        }
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.reads += 1;
        if answers.by_question.len() >= QUESTIONS_MAX {
            answers.by_question.clear();
        }
        let now = answers.reads;
        answers.by_question.insert(question(request), (now, answer.clone()));
    }

    /// Returns the last response to the same question if it is at most `reads_max` reads old.
    pub(super) fn answer(&self, request: &Request, reads_max: u64) -> Option<Bytes> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, answer) = answers.by_question.get(&question(request))?;
        (answers.reads - at <= reads_max).then(|| answer.clone())
    }
}

fn question(request: &Request) -> u64 {
    number(&format!("{} {}", request.operation, request.body))
}
