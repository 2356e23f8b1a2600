use keypool_domain::Status;
use serde_json::{Value, json};

/// What is told of a line: in the receipt, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) line: u64,
    pub(super) key: Option<String>,
    pub(super) outcome: Outcome,
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Created,
    WouldBeCreated,
    /// The same key stands in an earlier line, of the file.
    DuplicateOfLine(u64),
    /// The key was there before the import, and has this status.
    Duplicate(Status),
    Refused(String),
}

/// The most characters of a key that is told of: one more than a key may have.
const CHARACTERS_MAX: usize = 256;

/// A key as it stands in the receipt, whether it is valid or not.
pub(super) fn told_key(text: &str) -> String {
    text.trim().chars().take(CHARACTERS_MAX).collect()
}

/// Where a key stands that was there before.
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

/// How many lines came to which end. They add up to the lines that were told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Or would be.
    pub(super) created: u64,
    pub(super) duplicate: u64,
    pub(super) refused: u64,
}

impl Counts {
    pub(super) fn lines(self) -> u64 {
        self.created + self.duplicate + self.refused
    }

    /// Counts an outcome by its word in the receipt; whether it is one.
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
