//! What a person reads, and what a program reads.

mod printable;
mod progress;
mod table;

use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use serde_json::Value;

pub(crate) use self::printable::printable;
use self::printable::{printable_cell, printable_lines};
pub(crate) use self::progress::Progress;
pub(crate) use self::table::Table;

/// Good news.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Something to look at.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
/// Bad news.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What matters less.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// What is looked for first.
pub(crate) const STRONG: Style = Style::new().bold();

/// Where all output goes: results to standard output, remarks and progress to standard error. Colours are for terminals
/// only; `NO_COLOR` and `CLICOLOR_FORCE` are heeded. Of what comes from elsewhere, nothing is printed that would command a
/// terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

#[expect(clippy::unused_self, reason = "who prints must have been given the output")]
impl Output {
    /// For people, or for programs.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads it.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether somebody reads standard output still, as far as that is known.
    pub(crate) fn is_read(self) -> bool {
        !IS_GONE.load(Ordering::Relaxed)
    }

    /// Whether a person reads standard output.
    pub(crate) fn is_terminal(self) -> bool {
        !self.json && io::stdout().is_terminal()
    }

    /// Prints a line to standard output.
    pub(crate) fn line(self, text: &str) -> anyhow::Result<()> {
        let mut stdout = anstream::stdout().lock();
        unless_gone(writeln!(stdout, "{}", printable_lines(text)).and_then(|()| stdout.flush()))
    }

    /// Begins a terminal's screen anew.
    pub(crate) fn clear_screen(self) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        // Home, and clear what is behind.
        unless_gone(write!(stdout, "\x1b[H\x1b[2J").and_then(|()| stdout.flush()))
    }

    /// Prints a result: a text for people, or what it says for programs.
    pub(crate) fn result(self, text: &str, value: &Value) -> anyhow::Result<()> {
        if self.json { self.value(value) } else { self.line(text) }
    }

    /// Prints a table for people, or a JSON array for programs.
    pub(crate) fn table(self, table: &Table, values: Vec<Value>) -> anyhow::Result<()> {
        if self.json { self.value(&Value::Array(values)) } else { self.line(&table.to_string()) }
    }

    /// Prints a value in one line, for programs.
    pub(crate) fn value(self, value: &Value) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        unless_gone(writeln!(stdout, "{value}").and_then(|()| stdout.flush()))
    }

    /// Prints what came from elsewhere as it came, to the byte, for programs.
    pub(crate) fn raw(self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.write_all(b"\n"));
        unless_gone(written.and_then(|()| stdout.flush()))
    }

    /// Prints a remark to standard error, so that whoever reads standard output gets the result alone.
    pub(crate) fn note(self, text: &str) {
        // A remark that nobody reads is no reason to fail.
        let _ = writeln!(anstream::stderr().lock(), "{}", printable_lines(text));
    }

    /// Prints an error and its causes in one line, and the way out, to standard error.
    pub(crate) fn error(self, error: &anyhow::Error, advice: Option<String>) {
        let mut stderr = anstream::stderr().lock();
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(stderr, "{BAD}error:{BAD:#} {}", printable_cell(&format!("{error:#}")));
        if let Some(advice) = advice {
            let _ = writeln!(stderr, "{STRONG}help:{STRONG:#} {advice}");
        }
    }

    /// Shows how far a long work is, on standard error, if that is a terminal. `total` is `None` where nobody knows.
    pub(crate) fn progress(self, what: &'static str, total: Option<u64>) -> Progress {
        Progress::new(what, total)
    }
}

/// Whether the reader of standard output has gone away.
static IS_GONE: AtomicBool = AtomicBool::new(false);

/// `keypool product list | head -1`: the reader has what it wanted.
fn unless_gone(written: io::Result<()>) -> anyhow::Result<()> {
    let Err(error) = written else { return Ok(()) };
    if error.kind() == io::ErrorKind::BrokenPipe {
        IS_GONE.store(true, Ordering::Relaxed);
        return Ok(());
    }
    Err(error).context("standard output cannot be written; what was to be done was done as far as this")
}
