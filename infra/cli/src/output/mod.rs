//! Output for people and for programs.

mod printable;
mod progress;
mod table;

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use keypool_console::Event;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

pub(crate) use self::printable::printable;
use self::printable::{printable_cell, printable_lines};
pub(crate) use self::progress::Progress;
pub(crate) use self::table::{Column, Table, fields};
use crate::exit::Exit;

/// Success.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// A warning.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
/// An error or a refusal.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Less important text.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// Headings and names.
pub(crate) const STRONG: Style = Style::new().bold();

/// The printer of all output. Results go to standard output; remarks and progress go to standard error. Only
/// terminals get colors; `NO_COLOR` and `CLICOLOR_FORCE` apply. Control characters in foreign text are
/// replaced, so that it cannot control a terminal.
///
/// A page of the console receives the output of its subcommand as events instead.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    console: Option<Console>,
}

/// The page that receives all output, instead of the standard streams.
#[derive(Debug, Clone)]
struct Console {
    events: UnboundedSender<Event>,
    /// Set once the user stops the command, or closed because nobody waits for it any more.
    stop: watch::Receiver<bool>,
}

impl Console {
    #[expect(clippy::unnecessary_wraps, reason = "the counterpart of print")]
    fn send(&self, event: Event) -> anyhow::Result<()> {
        // A page that is gone has stopped the command.
        let _ = self.events.send(event);
        Ok(())
    }
}

impl Output {
    /// Prints for programs if `json` is set, else for people.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, console: None }
    }

    /// Sends everything to `events`: results as for programs, remarks without styles. `stop` interrupts the
    /// command.
    pub(crate) fn to_console(events: UnboundedSender<Event>, stop: watch::Receiver<bool>) -> Self {
        Self { json: true, console: Some(Console { events, stop }) }
    }

    /// Returns when the user interrupts the command: with Ctrl-C, or by stopping it in the console.
    pub(crate) async fn interrupted(&self) {
        match &self.console {
            Some(console) => {
                let mut stop = console.stop.clone();
                // An error means that nobody waits for the command any more.
                let _ = stop.wait_for(|is_stopped| *is_stopped).await;
            }
            None => {
                // Without a handler, Ctrl-C ends the process, which is also safe.
                if tokio::signal::ctrl_c().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Returns true if the output is JSON, for programs.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Returns false once a write to standard output has shown that its reader is gone.
    pub(crate) fn is_read(&self) -> bool {
        match &self.console {
            Some(console) => !console.events.is_closed(),
            None => !IS_GONE.load(Ordering::Relaxed),
        }
    }

    /// Returns true if standard output is a terminal and the output is not JSON.
    pub(crate) fn is_terminal(&self) -> bool {
        !self.json && self.console.is_none() && io::stdout().is_terminal()
    }

    /// Prints a line to standard output.
    pub(crate) fn line(&self, text: &str) -> anyhow::Result<()> {
        match &self.console {
            Some(console) => console.send(Event::Note(plain(text))),
            None => print(anstream::stdout().lock(), format!("{}\n", printable_lines(text)).as_bytes()),
        }
    }

    /// Clears the screen of a terminal.
    #[expect(clippy::unused_self, reason = "only code that was given the output may print")]
    pub(crate) fn clear_screen(&self) -> anyhow::Result<()> {
        // Cursor to the top left, then clear everything after it.
        print(io::stdout().lock(), b"\x1b[H\x1b[2J")
    }

    /// Prints a result: `text` for people, or `value` for programs. Returns the exit of a command whose only
    /// result it is.
    pub(crate) fn result(&self, text: &str, value: &Value) -> anyhow::Result<Exit> {
        let printed = if self.json { self.value(value) } else { self.line(text) };
        printed.map(|()| Exit::Done)
    }

    /// Prints a table for people, or a JSON array for programs. Returns [`Exit::Done`], as [`Self::result`]
    /// does.
    pub(crate) fn table(&self, table: &Table, values: Vec<Value>) -> anyhow::Result<Exit> {
        self.result(&table.to_string(), &Value::Array(values))
    }

    /// Prints a value on one line, for programs.
    pub(crate) fn value(&self, value: &Value) -> anyhow::Result<()> {
        match &self.console {
            Some(console) => console.send(Event::Value(value.clone())),
            None => print(io::stdout().lock(), format!("{value}\n").as_bytes()),
        }
    }

    /// Prints received bytes unchanged, for programs.
    pub(crate) fn raw(&self, bytes: &[u8]) -> anyhow::Result<()> {
        match &self.console {
            Some(_) => self.value(&serde_json::from_slice(bytes)?),
            None => print(io::stdout().lock(), &[bytes, b"\n"].concat()),
        }
    }

    /// Prints a remark to standard error, so that standard output has the result alone.
    pub(crate) fn note(&self, text: &str) {
        // A remark that cannot be written is no reason to fail.
        let _ = match &self.console {
            Some(console) => console.send(Event::Note(plain(text))),
            None => writeln!(anstream::stderr().lock(), "{}", printable_lines(text)).map_err(Into::into),
        };
    }

    /// Prints an error and its causes on one line, then the remedy, to standard error.
    #[expect(clippy::unused_self, reason = "only code that was given the output may print")]
    pub(crate) fn error(&self, error: &anyhow::Error, advice: Option<String>) {
        let mut stderr = anstream::stderr().lock();
        // If standard error is closed, nothing can be reported.
        let _ = writeln!(stderr, "{BAD}error:{BAD:#} {}", printable_cell(&format!("{error:#}")));
        if let Some(advice) = advice {
            let _ = writeln!(stderr, "{STRONG}help:{STRONG:#} {advice}");
        }
    }

    /// Shows the progress of long work on standard error, if that is a terminal. `total` is `None` if
    /// unknown.
    pub(crate) fn progress(&self, what: &'static str, total: Option<u64>) -> Progress {
        Progress::new(what, total, self.console.as_ref().map(|console| console.events.clone()))
    }
}

/// A text without styles.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// Set once the reader of standard output is gone.
static IS_GONE: AtomicBool = AtomicBool::new(false);

/// Ignores a broken pipe: in `keypool product list | head -1` the reader has enough.
fn print(mut stdout: impl Write, bytes: &[u8]) -> anyhow::Result<()> {
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    let Err(error) = written else { return Ok(()) };
    if error.kind() == io::ErrorKind::BrokenPipe {
        IS_GONE.store(true, Ordering::Relaxed);
        return Ok(());
    }
    Err(error).context("cannot write to standard output; the work up to this point was done")
}
