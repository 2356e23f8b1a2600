//! Messages about changes.

use clap::Args;
use serde_json::Value;

use crate::difference;
use crate::exit::Exit;
use crate::output::Output;

/// Functions cache products, generators and API keys for a minute.
const WARM: &str = "Warm functions may use the old data for up to 60 seconds.";

#[derive(Debug, Args)]
pub(super) struct Reason {
    /// The reason, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Reason {
    /// Adds the reason to the record after a change, for the audit trail.
    pub(super) fn note(&self, after: &mut Value) {
        if let Some(reason) = &self.reason {
            after["reason"] = Value::String(reason.clone());
        }
    }
}

/// Reports a change that was made.
pub(super) fn done(subject: &str, before: &Value, after: &Value, output: Output) -> anyhow::Result<Exit> {
    let what = difference::between(Some(before), Some(after));
    output.result(&format!("{subject} changed: {what}"), after)?;
    warm(output);
    Ok(Exit::Done)
}

/// Warns that warm functions see a change later.
pub(super) fn warm(output: Output) {
    output.note(WARM);
}

/// Reports that a record had these values before, so nothing was written.
pub(super) fn nothing(subject: &str, value: &Value, output: Output) -> anyhow::Result<Exit> {
    output.result(&format!("{subject} is already up to date"), value)?;
    Ok(Exit::Done)
}

/// The error for a record that somebody else changed at the same time.
pub(super) fn meanwhile(subject: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "somebody else changed {subject} at the same moment, and nothing was written: look at it, and run the \
         command again"
    )
}
