//! The receipt: the outcome of each line, written once it is known.
//!
//! An interrupted import compares the file with the lines of its receipt, skips them, and writes the others.
//! The table may have some of the others, too. The import recognizes its own keys by
//! [`CreationId::of_line`](keypool_domain::CreationId::of_line), because the receipt begins with its id.
//!
//! Therefore it could also write all lines again, but that is too expensive. With 9,000 of 10,000 keys
//! stored, it took 775 calls to AWS instead of 46, with 9,000 write units and 9,000 read units more. Besides,
//! only the comparison shows that the receipt belongs to another file.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use keypool_domain::{ImportId, OperatingSystemRandomness};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::outcome::{Counts, ReceiptLine};
use super::source::Source;
use super::suspicious::Suspicious;
use crate::output::Progress;

/// The error for a file that does not match its receipt.
const ANOTHER_FILE: &str =
    "the receipt belongs to another file (to import this file, give another --receipt)";

/// The first bytes of every receipt.
const BEGINNING: &[u8] = b"{\"import\":\"";

/// The first line of a receipt. The id comes first.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    import: String,
    options: Value,
}

/// The last line of a receipt, which marks the import as complete.
#[derive(Debug, Serialize, Deserialize)]
struct Summary {
    complete: bool,
    #[serde(flatten)]
    counts: Counts,
}

/// A line of a receipt after the first.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Line(ReceiptLine),
    Summary(Summary),
}

/// A receipt that is being written.
#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) path: PathBuf,
    file: BufWriter<File>,
    /// The position after the last line that was read.
    end: u64,
    pub(super) import: ImportId,
    /// True if the import began before.
    pub(super) is_resumed: bool,
    pub(super) counts: Counts,
    pub(super) suspicious: Suspicious,
}

impl Receipt {
    /// Opens the receipt of an import, or begins one. The import must have begun with the same `options`.
    pub(super) fn open(path: &Path, options: &Value) -> anyhow::Result<Self> {
        let mut receipt = Self {
            path: path.to_owned(),
            file: BufWriter::new(locked(path)?),
            end: 0,
            import: ImportId::random(&OperatingSystemRandomness),
            is_resumed: false,
            counts: Counts::default(),
            suspicious: Suspicious::new(),
        };
        let is_dry_run = |options: &Value| options["dry_run"] == true;
        match receipt.header()? {
            None => receipt.begin(options)?,
            // The receipt of a dry run can be overwritten.
            Some((_, begun_with)) if is_dry_run(&begun_with) && is_dry_run(options) => {
                receipt.begin(options)?;
            }
            Some((import, begun_with)) if begun_with == *options => {
                (receipt.import, receipt.is_resumed) = (import, true);
            }
            Some((_, begun_with)) => bail!(
                "the import of {} began with other options: {begun_with}, not {options}; give the same options, or \
                 another --receipt for a new import",
                path.display()
            ),
        }
        Ok(receipt)
    }

    /// Reads the id and the options of the import. They are on disk before anything is imported. `None` if the
    /// file is empty, or if a power failure left a part of the line or zero bytes.
    fn header(&mut self) -> anyhow::Result<Option<(ImportId, Value)>> {
        let mut line = Vec::new();
        BufReader::new(self.file.get_ref()).read_until(b'\n', &mut line)?;
        let is_zero = line.iter().all(|byte| *byte == 0);
        let is_header = line.starts_with(BEGINNING) || BEGINNING.starts_with(&line);
        if is_zero || (is_header && !line.ends_with(b"\n")) {
            return Ok(None);
        }
        self.end = u64::try_from(line.len())?;
        let header: Option<Header> = serde_json::from_slice(&line).ok();
        let header = header.and_then(|header| Some((header.import.parse().ok()?, header.options)));
        let name = self.path.display();
        let header =
            header.with_context(|| format!("{name} is not the receipt of an import: give another --receipt"));
        header.map(Some)
    }

    fn begin(&mut self, options: &Value) -> anyhow::Result<()> {
        let header = Header { import: self.import.to_string(), options: options.clone() };
        let header = serde_json::to_string(&header)? + "\n";
        self.end = u64::try_from(header.len())?;
        let file = self.file.get_mut();
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(header.as_bytes())?;
        // Syncs the file, then its name in the folder.
        file.sync_all()?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Ok(File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?)
    }

    /// Reads the lines from before an interruption, and compares them with the records of the file. Returns
    /// true if the import was complete. Otherwise the receipt and the file continue after these lines.
    pub(super) fn skip(&mut self, source: &mut Source, progress: &Progress) -> anyhow::Result<bool> {
        let mut earlier = BufReader::new(self.file.get_ref().try_clone()?);
        earlier.seek(SeekFrom::Start(self.end))?;
        while let Some(entry) = self.read(&mut earlier)? {
            match (entry, source.next().context("reading failed")?) {
                (Entry::Line(written), Some(record)) => {
                    let (line, receipt_line) = (record.line, written.line);
                    if line != receipt_line {
                        bail!(
                            "{ANOTHER_FILE}: the receipt goes on with line {receipt_line}, the file with line {line}"
                        );
                    }
                    if record.key() != written.key {
                        bail!("{ANOTHER_FILE}: line {line} differs from the receipt");
                    }
                    self.count(&written);
                    progress.set(line);
                }
                (Entry::Line(written), None) => {
                    bail!("{ANOTHER_FILE}: the file ends before line {} of the receipt", written.line);
                }
                (Entry::Summary(_), Some(record)) => {
                    bail!("{ANOTHER_FILE}: the file goes on with line {}", record.line);
                }
                (Entry::Summary(summary), None) => return Ok(summary.complete),
            }
        }
        // Cuts off what cannot be read.
        self.file.get_ref().set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        Ok(false)
    }

    /// Reads the next line from before the interruption; `None` after the last one.
    ///
    /// A line that cannot be read is the end. After a power failure, it and the lines behind it may be cut
    /// off or zero bytes. The import writes these lines again.
    fn read(&mut self, earlier: &mut BufReader<File>) -> anyhow::Result<Option<Entry>> {
        let mut line = Vec::new();
        earlier.read_until(b'\n', &mut line)?;
        let entry = serde_json::from_slice(&line).ok().filter(|_| line.ends_with(b"\n"));
        if entry.is_some() {
            self.end += u64::try_from(line.len())?;
        }
        Ok(entry)
    }

    /// Adds lines, and passes them to the system, where they survive if the process is killed.
    pub(super) fn add(&mut self, lines: &[ReceiptLine]) -> anyhow::Result<()> {
        self.write(lines)?;
        for line in lines {
            self.count(line);
        }
        Ok(())
    }

    fn count(&mut self, line: &ReceiptLine) {
        self.counts.count(&line.outcome);
        if let Some(key) = &line.key {
            self.suspicious.note(key, line.line);
        }
    }

    /// Writes the last line.
    pub(super) fn complete(&mut self) -> anyhow::Result<()> {
        self.write(&[Summary { complete: true, counts: self.counts }])?;
        Ok(self.file.get_ref().sync_all()?)
    }

    fn write(&mut self, lines: &[impl Serialize]) -> anyhow::Result<()> {
        let mut result = lines.iter().try_for_each(|line| {
            serde_json::to_writer(&mut self.file, line)?;
            self.file.write_all(b"\n")
        });
        result = result.and_then(|()| self.file.flush());
        result.with_context(|| format!("cannot write the receipt {}", self.path.display()))
    }
}

/// Opens and locks the file. Only its owner may read it.
fn locked(path: &Path) -> anyhow::Result<File> {
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
