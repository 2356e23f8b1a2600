//! The outcome of a line, as the receipt has it.

use keypool_domain::Status;
use keypool_store::ImportOutcome;
use serde::{Deserialize, Serialize};

/// A line of the receipt, one JSON object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReceiptLine {
    /// The text in the place of the license key, valid or not.
    pub(super) key: Option<String>,
    pub(super) line: u64,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

/// The outcome of a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Outcome {
    Created,
    #[serde(rename = "would be created")]
    WouldBeCreated,
    Duplicate(Original),
    Refused {
        reason: String,
    },
}

/// The key that a duplicate repeats.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Original {
    /// That of an earlier line of the file.
    OfLine(u64),
    /// One that existed before the import, with its status in words.
    Of(String),
}

impl Outcome {
    /// The outcome for a key that existed before the import, with this status.
    pub(super) fn duplicate(status: Status) -> Self {
        let words = match status {
            Status::Available => "in stock",
            Status::Assigned => "sold",
            Status::Reserved => "reserved",
            Status::Blocked => "blocked",
        };
        Self::Duplicate(Original::Of(words.to_owned()))
    }
}

impl From<ImportOutcome> for Outcome {
    fn from(outcome: ImportOutcome) -> Self {
        match outcome {
            ImportOutcome::Created => Self::Created,
            ImportOutcome::DuplicateOfLine(line) => Self::Duplicate(Original::OfLine(line)),
            ImportOutcome::Duplicate(status) => Self::duplicate(status),
        }
    }
}

/// The number of lines with each outcome.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    /// The sum of the others.
    pub(super) lines: u64,
    /// Created or, in a dry run, would be created.
    pub(super) created: u64,
    pub(super) duplicate: u64,
    pub(super) refused: u64,
}

impl Counts {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.lines += 1;
        match outcome {
            Outcome::Created | Outcome::WouldBeCreated => self.created += 1,
            Outcome::Duplicate(_) => self.duplicate += 1,
            Outcome::Refused { .. } => self.refused += 1,
        }
    }
}
