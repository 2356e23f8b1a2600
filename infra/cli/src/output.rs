//! What a person reads.

use std::io::{self, Write as _};

/// Prints a line to standard output.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).or_else(|error| match error.kind() {
        // `keypool product list | head -1`: the reader has what it wanted.
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error.into()),
    })
}

/// Prints an error and its causes, in one line, to standard error.
pub(crate) fn error(error: &anyhow::Error) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr().lock(), "error: {error:#}");
}

/// Prints rows under a heading, in columns.
pub(crate) fn table<const COLUMNS: usize>(
    heading: [&str; COLUMNS],
    rows: &[[String; COLUMNS]],
) -> anyhow::Result<()> {
    let mut widths = heading.map(|text| text.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: &[String; COLUMNS]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        line(padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    print(&heading.map(str::to_owned))?;
    rows.iter().try_for_each(print)
}

/// Prints a remark to standard error, so that a script that reads standard output gets the result alone.
pub(crate) fn note(text: &str) {
    // A remark that nobody reads is no reason to fail.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
