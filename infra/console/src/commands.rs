use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::pages::Failure;

/// The subcommands, as the pages run them.
pub struct Commands {
    start: Box<dyn Fn(Vec<String>) -> Run + Send + Sync>,
    /// Reports the end of a subcommand that no page waits for.
    report: Arc<dyn Fn(&str) + Send + Sync>,
    target: String,
}

impl Commands {
    /// `start` starts a subcommand: its words and options as on a command line, without `keypool` and without
    /// `--json`. `report` receives the end of a subcommand that no page waits for. `target` says what the
    /// subcommands act on.
    #[must_use]
    pub fn new(
        target: String,
        start: impl Fn(Vec<String>) -> Run + Send + Sync + 'static,
        report: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self { start: Box::new(start), report: Arc::new(report), target }
    }

    pub(crate) fn start(&self, arguments: Vec<String>) -> Run {
        (self.start)(arguments)
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("target", &self.target).finish_non_exhaustive()
    }
}

/// A subcommand that is running.
pub struct Run {
    /// The output of the subcommand.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// Interrupts the subcommand, as Ctrl-C does, when set to true or dropped.
    pub stop: watch::Sender<bool>,
    /// Its end.
    pub ended: BoxFuture<'static, Ended>,
}

/// A line of output of a subcommand.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A result, in JSON.
    Value(Value),
    /// A remark.
    Note(String),
    /// The progress of long work: the items that are done, and how many there are, if that is known.
    Progress {
        /// The name of the counted items.
        what: String,
        /// The number of finished items.
        done: u64,
        /// The number of all items.
        total: Option<u64>,
    },
}

/// The end of a subcommand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The exit code.
    pub exit: u8,
    /// The error, if it failed, with the way out.
    pub error: Option<String>,
}

/// The exit code for wrong arguments.
const WRONG_ARGUMENTS: u8 = 2;

impl Ended {
    fn into_result(self, printed: Printed) -> Result<Printed, Failure> {
        match self.error {
            Some(error) if self.exit == WRONG_ARGUMENTS => Err(Failure::Arguments(error)),
            Some(error) => Err(Failure::Command(error)),
            None => Ok(printed),
        }
    }
}

/// The output of a subcommand.
#[derive(Debug, Default)]
pub(crate) struct Printed {
    pub(crate) values: Vec<Value>,
    pub(crate) notes: Vec<String>,
}

/// The time after which a page no longer waits for a long subcommand.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Runs a subcommand that may wait for minutes. After [`WAIT_MAX`] it continues without the page, which gets
/// what has been printed so far, and false. Fails with the error that it prints.
pub(crate) async fn run_detached(
    commands: &Commands,
    arguments: Vec<String>,
) -> Result<(Printed, bool), Failure> {
    let name = arguments.join(" ");
    let Run { mut events, stop, mut ended } = commands.start(arguments);
    let mut printed = Printed::default();
    let collect = async {
        while let Some(event) = events.recv().await {
            printed.add(event);
        }
        (&mut ended).await
    };
    if let Ok(ended) = tokio::time::timeout(WAIT_MAX, collect).await {
        return ended.into_result(printed).map(|printed| (printed, true));
    }
    let report = Arc::clone(&commands.report);
    tokio::spawn(async move {
        let ended = ended.await;
        // Dropping it earlier would have interrupted the subcommand.
        drop(stop);
        let end = ended.error.unwrap_or_else(|| "done".to_owned());
        report(&format!("keypool {name}: {end}"));
    });
    Ok((printed, false))
}

/// Runs a subcommand to its end. Fails with the error that it prints.
pub(crate) async fn run(
    commands: &Commands,
    arguments: impl IntoIterator<Item = impl Into<String>>,
) -> Result<Printed, Failure> {
    // Dropping `stop` early would interrupt the subcommand.
    let Run { mut events, stop: _stop, ended } =
        commands.start(arguments.into_iter().map(Into::into).collect());
    let mut printed = Printed::default();
    while let Some(event) = events.recv().await {
        printed.add(event);
    }
    ended.await.into_result(printed)
}

/// Runs a subcommand, and reads the one value that it prints.
pub(crate) async fn value<T: DeserializeOwned>(
    commands: &Commands,
    arguments: impl IntoIterator<Item = impl Into<String>>,
) -> Result<T, Failure> {
    let printed = run(commands, arguments).await?;
    let value = printed.values.into_iter().next().unwrap_or_default();
    serde_json::from_value(value).map_err(|error| Failure::Unreadable(error.to_string()))
}

/// Runs a subcommand, and reads the values that it prints, one a line.
pub(crate) async fn values<T: DeserializeOwned>(
    commands: &Commands,
    arguments: impl IntoIterator<Item = impl Into<String>>,
) -> Result<Vec<T>, Failure> {
    let printed = run(commands, arguments).await?;
    let values = printed.values.into_iter().map(serde_json::from_value);
    values.collect::<Result<_, _>>().map_err(|error| Failure::Unreadable(error.to_string()))
}

impl Printed {
    fn add(&mut self, event: Event) {
        match event {
            Event::Value(value) => self.values.push(value),
            Event::Note(note) => self.notes.push(note),
            Event::Progress { .. } => {}
        }
    }
}
