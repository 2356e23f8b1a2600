//! What is said of changes.

use clap::Args;
use serde_json::Value;

use crate::difference;
use crate::exit::Exit;
use crate::output::Output;

/// Functions keep what they read of products, generators and API keys for a minute.
const WARM: &str = "Functions that are warm go by what they read before for up to 60 seconds.";

#[derive(Debug, Args)]
pub(super) struct Reason {
    /// Why; noted in the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Reason {
    /// Adds the reason to what the audit trail says of a record after a change.
    pub(super) fn note(&self, after: &mut Value) {
        if let Some(reason) = &self.reason {
            after["reason"] = Value::String(reason.clone());
        }
    }
}

/// It is made.
pub(super) fn done(subject: &str, before: &Value, after: &Value, output: Output) -> anyhow::Result<Exit> {
    let what = difference::between(Some(before), Some(after));
    output.result(&format!("{subject} changed: {what}"), after)?;
    warm(output);
    Ok(Exit::Done)
}

/// Says that a change is not seen everywhere at once.
pub(super) fn warm(output: Output) {
    output.note(WARM);
}

/// It was so before, and nothing was written.
pub(super) fn nothing(subject: &str, value: &Value, output: Output) -> anyhow::Result<Exit> {
    output.result(&format!("{subject} is so already: nothing to change"), value)?;
    Ok(Exit::Done)
}

/// Somebody else was quicker.
pub(super) fn meanwhile(subject: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{subject} was changed by somebody else at the same moment, and nothing was written: look at it, and give \
         the command again"
    )
}
