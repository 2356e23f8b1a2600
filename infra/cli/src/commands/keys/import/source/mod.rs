//! Reads the file with the keys, in any format, as a stream of records in bounded memory.

mod csv;
mod json;
mod lines;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _};
use std::path::Path;
use std::{iter, thread};

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use serde::Serialize;
use tokio::sync::mpsc;

use super::columns::{Cells, Columns, Field, Naming};
use lines::Lines;

/// The number of records in a chunk.
const CHUNK: usize = 250;
/// The most chunks that wait. This bounds memory, while reading stays ahead of writing.
const CHUNKS_WAITING_MAX: usize = 8;
/// The number of bytes that are examined to detect the format.
const LOOKED_AT: usize = 64 * 1024;

/// The most characters of a key in the receipt: one more than a valid key has.
const KEY_CHARACTERS_MAX: usize = 256;

/// The format of a file. The aliases are other extensions of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// A header, then one key per line; values are separated by commas, semicolons or tabs
    #[value(alias = "tsv")]
    Csv,
    /// One key per line
    #[value(alias = "text")]
    Txt,
    /// One JSON object or text per line
    #[value(alias = "ndjson")]
    Jsonl,
}

impl Format {
    fn of_name(path: &Path) -> Option<Self> {
        Self::from_str(path.extension()?.to_str()?, true).ok()
    }

    /// Detects the format by the first line: JSON, column names or a key.
    fn of_content(start: &[u8], naming: &Naming) -> Self {
        let text = String::from_utf8_lossy(start);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let first = text.lines().next().unwrap_or_default();
        if json::cells(first, naming).is_ok() || first.starts_with('{') {
            return Self::Jsonl;
        }
        let is_header = first.contains([',', ';', '\t'])
            || naming.columns([first.trim().trim_matches('"')]).place_of(Field::LicenseKey).is_some();
        if is_header { Self::Csv } else { Self::Txt }
    }
}

/// A line of the file, or the lines of one CSV record: the number of the first line, and the content or the
/// reason for refusing it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) line: u64,
    pub(super) content: Result<Cells, String>,
}

impl Record {
    /// The text in the place of the license key, valid or not. It is cut after [`KEY_CHARACTERS_MAX`].
    pub(super) fn key(&self) -> Option<String> {
        let text = self.content.as_ref().ok()?.get(Field::LicenseKey)?;
        Some(text.trim().chars().take(KEY_CHARACTERS_MAX).collect())
    }
}

type Input = io::Chain<io::Cursor<Vec<u8>>, BufReader<Box<dyn Read + Send>>>;

/// A file that is open for reading.
pub(super) struct Source {
    pub(super) format: Format,
    /// The number of lines, if it can be counted.
    pub(super) lines: Option<u64>,
    /// The meaning of the columns, for people.
    pub(super) columns: Option<String>,
    records: Records,
}

enum Records {
    Csv(csv::Records<Input>, Columns),
    Txt(Lines<Input>),
    Jsonl(Lines<Input>, Naming),
}

impl Source {
    /// Opens the file, or standard input for `-`, and reads its header.
    pub(super) fn open(path: &Path, format: Option<Format>, naming: Naming) -> anyhow::Result<Self> {
        let (input, lines): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let cannot_read = || format!("cannot read {}", path.display());
            let file = File::open(path).with_context(cannot_read)?;
            let kind = file.metadata()?.file_type();
            if kind.is_dir() {
                bail!("{} is a folder", path.display());
            }
            let lines = kind.is_file().then(|| count_lines(&file)).transpose().with_context(cannot_read)?;
            (Box::new(file), lines)
        };
        let mut input = BufReader::with_capacity(LOOKED_AT, input);
        let start = first_line(&mut input)?;
        if start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF") {
            bail!("{} is UTF-16: save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8", path.display());
        }
        if start.trim_ascii().is_empty() || start == b"\xEF\xBB\xBF" {
            bail!("{} is empty", path.display());
        }
        let format =
            format.or_else(|| Format::of_name(path)).unwrap_or_else(|| Format::of_content(&start, &naming));
        let input = Lines::new(io::Cursor::new(start).chain(input));
        let mut columns = None;
        let records = match format {
            Format::Txt if naming.needs_product => bail!("a text file names no product: give --product"),
            Format::Txt if !naming.named.is_empty() => {
                bail!("a text file has no columns: --column is for CSV and JSON lines")
            }
            Format::Txt => Records::Txt(input),
            Format::Jsonl => Records::Jsonl(input, naming),
            Format::Csv => {
                let (records, header) = csv::Records::new(input)?;
                let (line, names) = header.context("there is no header")?;
                let names =
                    names.map_err(|reason| anyhow!("cannot read the header: line {line}: {reason}"))?;
                let found = naming.columns(&names);
                naming.check(&found)?;
                columns = Some(found.description());
                Records::Csv(records, found)
            }
        };
        Ok(Self { format, lines, columns, records })
    }

    /// Reads the next record; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        Ok(match &mut self.records {
            Records::Csv(records, columns) => record(records.next()?, |values| columns.cells(&values)),
            Records::Txt(lines) => record(lines.next_filled()?, |text| Ok(Cells::of_key(as_utf8(&text)?))),
            Records::Jsonl(lines, naming) => {
                record(lines.next_filled()?, |text| json::cells(as_utf8(&text)?, naming))
            }
        })
    }

    /// Reads on a separate thread, because a pipe may block. An empty chunk is the end.
    pub(super) fn read(mut self) -> mpsc::Receiver<io::Result<Vec<Record>>> {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        thread::spawn(move || {
            let mut records = iter::from_fn(|| self.next().transpose()).fuse();
            loop {
                let chunk = records.by_ref().take(CHUNK).collect::<io::Result<Vec<_>>>();
                let is_last = chunk.as_ref().map_or(true, Vec::is_empty);
                // The receiver is gone if the import ended early.
                if sender.blocking_send(chunk).is_err() || is_last {
                    return;
                }
            }
        });
        receiver
    }
}

fn record<T>(
    read: Option<(u64, Result<T, String>)>,
    cells: impl FnOnce(T) -> Result<Cells, String>,
) -> Option<Record> {
    read.map(|(line, content)| Record { line, content: content.and_then(cells) })
}

fn count_lines(mut file: &File) -> io::Result<u64> {
    let (mut reader, mut lines) = (BufReader::with_capacity(LOOKED_AT, file), 0);
    while reader.skip_until(b'\n')? > 0 {
        lines += 1;
    }
    file.rewind()?;
    Ok(lines)
}

/// Reads up to the end of the first line that is not blank, if it is not too long. A pipe may deliver the
/// line in pieces.
fn first_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    while start.trim_ascii().is_empty() && start.len() < LOOKED_AT {
        let room = LOOKED_AT - start.len();
        if input.by_ref().take(room as u64).read_until(b'\n', &mut start)? == 0 {
            break;
        }
    }
    Ok(start)
}

fn as_utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        format!(
            "is not UTF-8 (byte {byte:#04X}): save the file as UTF-8, or convert it: iconv -f LATIN1 -t UTF-8"
        )
    })
}
