//! Changes of many records by one command.

use std::cell::Cell;

use clap::Args;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::output::{BAD, GOOD, Output};

/// The number of records that are changed in parallel.
const PARALLEL_MAX: usize = 16;

#[derive(Debug, Args)]
pub(super) struct Reason {
    /// The reason, for the audit trail
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Reason {
    /// The record after a change, with the reason, for the audit trail.
    pub(super) fn with(&self, mut after: Value) -> Value {
        if let Some(reason) = &self.reason {
            after["reason"] = Value::String(reason.clone());
        }
        after
    }
}

/// A kind of records.
pub(super) struct Kind<T> {
    /// The noun for people, in the plural.
    pub(super) noun: &'static str,
    /// The member of the JSON output that names a record.
    pub(super) member: &'static str,
    pub(super) name: fn(&T) -> String,
    /// A remark for people, if a record was changed.
    pub(super) remark: Option<&'static str>,
}

/// A change that was made.
pub(super) struct Changed {
    /// The change, for people.
    pub(super) text: String,
    /// The record before and after it.
    pub(super) records: [Value; 2],
}

/// Changes records, and prints the outcome of each in the given order. `change` returns the reason if it
/// refuses a record.
pub(super) async fn change_all<T>(
    kind: Kind<T>,
    records: Vec<T>,
    output: &Output,
    change: impl AsyncFn(&T) -> anyhow::Result<Result<Changed, String>>,
) -> anyhow::Result<Exit> {
    let (count, mut refused, mut failure) = (records.len(), 0, None);
    let interrupted = in_parallel(kind.noun, records, output, change, |record, outcome| {
        let name = (kind.name)(&record);
        let outcome = outcome.unwrap_or_else(|| Ok(Err("not tried".to_owned()))).unwrap_or_else(|error| {
            let why = format!("the outcome is unknown: {error:#}");
            failure = failure.take().or(Some(error));
            Err(why)
        });
        let (text, value) = match outcome {
            Ok(Changed { text, records: [before, after] }) => (
                format!("{GOOD}{name}{GOOD:#}  {text}"),
                json!({kind.member: name, "changed": true, "before": before, "after": after}),
            ),
            Err(why) => {
                refused += 1;
                let text = format!("{BAD}{name}{BAD:#}  not changed: {why}");
                (text, json!({kind.member: name, "changed": false, "reason": why}))
            }
        };
        output.result(&text, &value).map(drop)
    });
    let interrupted = interrupted.await?;
    if let Some(remark) = kind.remark.filter(|_| refused < count) {
        output.note(remark);
    }
    if refused == 0 {
        return Ok(Exit::Done);
    }
    output.note(&format!("{} of {count} changed, {refused} not", count - refused));
    match failure {
        _ if interrupted => Ok(Exit::Interrupted),
        Some(error) if refused == count => Err(error),
        _ => Ok(Exit::Partly),
    }
}

/// Changes records in parallel, and passes the outcome of each to `done`, in the given order. After an error
/// or Ctrl-C, only changes under way finish; the outcome of the others is `None`. Returns true after Ctrl-C.
pub(super) async fn in_parallel<T, R>(
    noun: &'static str,
    records: Vec<T>,
    output: &Output,
    change: impl AsyncFn(&T) -> anyhow::Result<R>,
    mut done: impl FnMut(T, Option<anyhow::Result<R>>) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let progress = output.progress(noun, Some(records.len() as u64));
    let (change, gave_up) = (&change, &Cell::new(false));
    let mut outcomes = futures_util::stream::iter(records)
        .map(|record| async move {
            let outcome = if gave_up.get() { None } else { Some(change(&record).await) };
            // The next changes would fail as well.
            gave_up.set(gave_up.get() || matches!(outcome, Some(Err(_))));
            (record, outcome)
        })
        .buffered(PARALLEL_MAX);
    let (mut interrupted, interrupt) = (false, output.interrupted());
    tokio::pin!(interrupt);
    loop {
        let next = tokio::select! {
            () = &mut interrupt, if !interrupted => {
                interrupted = true;
                gave_up.set(true);
                continue;
            }
            next = outcomes.next() => next,
        };
        let Some((record, outcome)) = next else { return Ok(interrupted) };
        progress.add(1);
        done(record, outcome)?;
    }
}
