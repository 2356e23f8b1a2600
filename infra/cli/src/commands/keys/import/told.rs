use keypool_domain::Status;
use serde_json::{Value, json};

/// A line of the receipt, one JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) line: u64,
    pub(super) key: Option<String>,
    pub(super) outcome: Outcome,
}

/// The outcome of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Created,
    WouldBeCreated,
    /// An earlier line of the file has the same key.
    DuplicateOfLine(u64),
    /// The key existed before the import, with this status.
    Duplicate(Status),
    Refused(String),
}

/// The most characters of a key in the receipt: one more than a valid key has.
const CHARACTERS_MAX: usize = 256;

/// A key in the form of the receipt, valid or not.
pub(super) fn told_key(text: &str) -> String {
    text.trim().chars().take(CHARACTERS_MAX).collect()
}

/// The words of the receipt for the status of an existing key.
const fn place_of(status: Status) -> &'static str {
    match status {
        Status::Available => "in stock",
        Status::Assigned => "sold",
        Status::Reserved => "reserved",
        Status::Blocked => "blocked",
    }
}

impl Told {
    pub(super) fn to_json(&self) -> Value {
        let mut value = json!({ "line": self.line, "key": self.key });
        let outcome = match &self.outcome {
            Outcome::Created => "created",
            Outcome::WouldBeCreated => "would be created",
            Outcome::DuplicateOfLine(line) => {
                value["of_line"] = json!(line);
                "duplicate"
            }
            Outcome::Duplicate(status) => {
                value["of"] = json!(place_of(*status));
                "duplicate"
            }
            Outcome::Refused(reason) => {
                value["reason"] = json!(reason);
                "refused"
            }
        };
        value["outcome"] = json!(outcome);
        value
    }
}

/// The number of lines with each outcome. They add up to the lines of the receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Created or, in a dry run, would be created.
    pub(super) created: u64,
    pub(super) duplicate: u64,
    pub(super) refused: u64,
}

impl Counts {
    pub(super) fn lines(self) -> u64 {
        self.created + self.duplicate + self.refused
    }

    /// Counts an outcome by its word in the receipt. Returns false if there is no such outcome.
    pub(super) fn count(&mut self, outcome: &str) -> bool {
        match outcome {
            "created" | "would be created" => self.created += 1,
            "duplicate" => self.duplicate += 1,
            "refused" => self.refused += 1,
            _ => return false,
        }
        true
    }

    pub(super) fn to_json(self) -> Value {
        json!({
            "lines": self.lines(),
            "created": self.created,
            "duplicate": self.duplicate,
            "refused": self.refused,
        })
    }

    pub(super) fn of_json(value: &Value) -> Option<Self> {
        let count = |name: &str| value.get(name)?.as_u64();
        Some(Self { created: count("created")?, duplicate: count("duplicate")?, refused: count("refused")? })
    }
}
