//! The receipt: the outcome of each line, written once it is known. An interrupted import continues from it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use keypool_domain::ImportId;
use serde_json::{Value, json};

use super::told::{Counts, Told};

/// The error for a file that does not match its receipt.
pub(super) const ANOTHER_FILE: &str =
    "the receipt belongs to another file (to import this file, give another --receipt)";

/// The member of the first line that has the import's id.
const ID: &str = "import";
/// The number of bytes at the end of a receipt that are searched for its last line.
const LAST_LINE_BYTES_MAX: u64 = 1_024;

/// A receipt that is being written.
#[derive(Debug)]
pub(super) struct Receipt {
    path: PathBuf,
    file: BufWriter<File>,
    counts: Counts,
}

/// The lines of the receipt from before the interruption.
#[derive(Debug)]
pub(super) struct Earlier {
    path: PathBuf,
    lines: BufReader<File>,
    /// The position after the last complete line.
    end: u64,
    number: u64,
}

/// A line of the receipt from before the interruption.
#[derive(Debug)]
pub(super) struct ToldBefore {
    pub(super) line: u64,
    pub(super) key: Option<String>,
    pub(super) outcome: String,
}

/// The state of a receipt.
#[derive(Debug)]
pub(super) enum Opened {
    /// The import begins.
    Begun(Receipt, ImportId),
    /// The import continues.
    Interrupted(Receipt, ImportId, Earlier),
    /// The import was completed before.
    Complete(Counts, Earlier),
}

impl Receipt {
    /// Opens the receipt of an import, or begins one. The import must have begun with the same `options`.
    pub(super) fn open(path: &Path, options: &Value, fresh: ImportId) -> anyhow::Result<Opened> {
        let file = taken(path)?;
        let mut lines = BufReader::new(file.try_clone()?);
        let mut first = Vec::new();
        lines.read_until(b'\n', &mut first)?;
        // The first line is on disk before anything is imported. If it is incomplete, nothing was imported.
        if first.last() != Some(&b'\n') {
            let beginning = format!("{{\"{ID}\":\"");
            if !first.starts_with(beginning.as_bytes()) && !beginning.as_bytes().starts_with(&first) {
                bail!("{} is not the receipt of an import: give another --receipt", path.display());
            }
            return begin(path, file, options, fresh);
        }
        let header: Value = serde_json::from_slice(&first).unwrap_or_default();
        let import = header.get(ID).and_then(Value::as_str).and_then(|id| id.parse().ok());
        let Some(import) = import else {
            bail!("{} is not the receipt of an import: give another --receipt", path.display());
        };
        let begun_with = header.get("options").cloned().unwrap_or_default();
        if begun_with.get("dry_run") == Some(&Value::Bool(true))
            && options.get("dry_run") == Some(&Value::Bool(true))
        {
            // The receipt of a dry run can be overwritten.
            return begin(path, file, options, fresh);
        }
        if begun_with != *options {
            bail!(
                "the import of {} began with other options: {begun_with}, not {options}; give the same options, or \
                 another --receipt for a new import",
                path.display()
            );
        }
        let completed = completed(&file)?;
        lines.seek(SeekFrom::Start(u64::try_from(first.len())?))?;
        let earlier = Earlier { path: path.to_owned(), lines, end: u64::try_from(first.len())?, number: 1 };
        Ok(match completed {
            Some(counts) => Opened::Complete(counts, earlier),
            None => Opened::Interrupted(Self::of(path, file), import, earlier),
        })
    }

    fn of(path: &Path, file: File) -> Self {
        Self { path: path.to_owned(), file: BufWriter::new(file), counts: Counts::default() }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Writes the outcome of a line.
    pub(super) fn tell(&mut self, told: &Told) -> anyhow::Result<()> {
        let value = told.to_json();
        self.counts.count(value["outcome"].as_str().unwrap_or_default());
        self.write(&value)
    }

    /// Counts a line from before the interruption.
    pub(super) fn count(&mut self, told: &ToldBefore) {
        self.counts.count(&told.outcome);
    }

    /// Continues after the last complete line, and cuts off a partial one.
    pub(super) fn go_on(&mut self, earlier: &Earlier) -> anyhow::Result<()> {
        let file = self.file.get_mut();
        file.set_len(earlier.end)?;
        file.seek(SeekFrom::Start(earlier.end))?;
        Ok(())
    }

    /// Passes the written lines to the system, where they survive if the process is killed.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.file.flush().with_context(|| format!("cannot write the receipt {}", self.path.display()))
    }

    /// Writes the last line, which marks the receipt as complete.
    pub(super) fn complete(&mut self) -> anyhow::Result<()> {
        let mut last = self.counts.to_json();
        last["complete"] = json!(true);
        self.write(&last)?;
        self.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(())
    }

    fn write(&mut self, value: &Value) -> anyhow::Result<()> {
        let written = writeln!(self.file, "{value}");
        written.with_context(|| format!("cannot write the receipt {}", self.path.display()))
    }
}

/// Opens and locks the file. Only its owner may read it.
fn taken(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = opened.with_context(|| format!("cannot write the receipt {}", path.display()))?;
    if !file.metadata()?.is_file() {
        bail!("the receipt {} is not a regular file", path.display());
    }
    if file.try_lock().is_err() {
        bail!("another import is writing the receipt {}", path.display());
    }
    Ok(file)
}

fn begin(path: &Path, mut file: File, options: &Value, import: ImportId) -> anyhow::Result<Opened> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    // Formatted by hand, so that the id comes first.
    writeln!(file, "{{\"{ID}\":\"{import}\",\"options\":{options}}}")?;
    // Syncs the file, then its name in the folder.
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(Opened::Begun(Receipt::of(path, file), import))
}

/// The counts in the last line, if the receipt is complete.
fn completed(mut file: &File) -> anyhow::Result<Option<Counts>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_LINE_BYTES_MAX)))?;
    let mut end = Vec::new();
    file.take(LAST_LINE_BYTES_MAX).read_to_end(&mut end)?;
    let Some(whole) = end.strip_suffix(b"\n") else { return Ok(None) };
    let last = whole.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let last: Value = serde_json::from_slice(last).unwrap_or_default();
    Ok((last.get("complete") == Some(&Value::Bool(true))).then(|| Counts::of_json(&last)).flatten())
}

impl ToldBefore {
    /// Checks that this line of the receipt is about the given line of the file.
    pub(super) fn is_of(&self, line: u64, key: Option<&str>) -> anyhow::Result<()> {
        if self.line != line {
            bail!("{ANOTHER_FILE}: the receipt goes on with line {}, the file with line {line}", self.line);
        }
        if self.key.as_deref() != key {
            bail!("{ANOTHER_FILE}: line {line} differs from the receipt");
        }
        Ok(())
    }
}

impl Earlier {
    /// Checks that the receipt ends with the file.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        match self.next()? {
            Some(told) => {
                bail!("{ANOTHER_FILE}: the file ends before line {} of the receipt", told.line)
            }
            None => Ok(()),
        }
    }

    /// Reads the next line; `None` at the interruption.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<ToldBefore>> {
        let mut line = Vec::new();
        let read = match self.lines.read_until(b'\n', &mut line) {
            Err(error) if error.kind() == ErrorKind::Interrupted => self.lines.read_until(b'\n', &mut line),
            read => read,
        }?;
        self.number += 1;
        let Some(told) = (line.last() == Some(&b'\n')).then(|| read_told(&line)).flatten() else {
            // A partial line, or zero bytes after a power failure. Only the last line can be like that.
            if self.lines.fill_buf()?.iter().any(|byte| *byte != 0) {
                bail!("cannot read line {} of the receipt {}", self.number, self.path.display());
            }
            return Ok(None);
        };
        self.end += u64::try_from(read)?;
        Ok(Some(told))
    }
}

fn read_told(line: &[u8]) -> Option<ToldBefore> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let outcome = value.get("outcome")?.as_str()?.to_owned();
    Counts::default().count(&outcome).then_some(())?;
    let key = value.get("key")?.as_str().map(str::to_owned);
    Some(ToldBefore { line: value.get("line")?.as_u64()?, key, outcome })
}
