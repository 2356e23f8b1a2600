//! Reads the file with the keys, in any format, as a stream of records in bounded memory.

mod csv;
mod json;
mod lines;

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use tokio::sync::mpsc;

use super::columns::{Cells, Field, Naming};
use lines::{Line, Lines};

/// The number of records in a chunk.
const CHUNK: usize = 250;
/// The most chunks that wait. This bounds memory, while reading stays ahead of writing.
const CHUNKS_WAITING_MAX: usize = 8;
/// The number of bytes that are examined to detect the format.
const LOOKED_AT: usize = 64 * 1024;

const TOO_LONG: &str = "is longer than 64 KB";

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A header, then one key per line; values are separated by commas, semicolons or tabs
    Csv,
    /// One key per line
    Txt,
    /// One JSON object or text per line
    Jsonl,
}

impl Format {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Txt => "txt",
            Self::Jsonl => "jsonl",
        }
    }

    fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" | "tsv" => Some(Self::Csv),
            "txt" | "text" => Some(Self::Txt),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }

    /// Detects the format by the first line: JSON, column names or a key.
    fn of_content(start: &[u8], naming: &Naming) -> Self {
        let text = String::from_utf8_lossy(start);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let first = text.lines().next().unwrap_or_default();
        if json::cells(first, naming).is_ok() || first.starts_with('{') {
            return Self::Jsonl;
        }
        let columns: Vec<&str> =
            first.split([',', ';', '\t']).map(|name| name.trim().trim_matches('"')).collect();
        let has_keys = naming.places(&columns).of(Field::LicenseKey).is_some();
        if columns.len() > 1 || has_keys { Self::Csv } else { Self::Txt }
    }
}

/// A line of the file, or the lines of one CSV record: the number of the first line, and the content or the
/// reason for refusing it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) line: u64,
    pub(super) content: Result<Cells, String>,
}

type Input = BufReader<Box<dyn io::Read + Send>>;

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
    Csv { records: csv::Records<Input>, places: [Option<usize>; Field::ALL.len()], columns: usize },
    Txt(Lines<Input>),
    Jsonl(Lines<Input>, Naming),
}

impl Source {
    /// Opens the file, or standard input for `-`, and reads its header.
    pub(super) fn open(path: &Path, format: Option<Format>, naming: Naming) -> anyhow::Result<Self> {
        let (input, lines): (Box<dyn io::Read + Send>, _) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            if file.metadata()?.is_dir() {
                bail!("{} is a folder", path.display());
            }
            let lines = file.metadata()?.is_file().then(|| count_lines(path)).transpose();
            let lines = lines.with_context(|| format!("cannot read {}", path.display()))?;
            (Box::new(file), lines)
        };
        let (start, input) = look_at(input)?;
        if start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF") {
            bail!("{} is UTF-16: save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8", path.display());
        }
        if start.trim_ascii().is_empty() || start == b"\xEF\xBB\xBF" {
            bail!("{} is empty", path.display());
        }
        let format =
            format.or_else(|| Format::of_name(path)).unwrap_or_else(|| Format::of_content(&start, &naming));
        let input = Lines::new(input);
        let (records, columns) = match format {
            Format::Txt if naming.needs_product => bail!("a text file names no product: give --product"),
            Format::Txt if !naming.named.is_empty() => {
                bail!("a text file has no columns: --column is for CSV and JSON lines")
            }
            Format::Txt => (Records::Txt(input), None),
            Format::Jsonl => (Records::Jsonl(input, naming), None),
            Format::Csv => {
                let (records, columns) = with_header(input, &naming)?;
                (records, Some(columns))
            }
        };
        Ok(Self { format, lines, columns, records })
    }

    /// Reads on a separate thread, because a pipe may block.
    pub(super) fn read(mut self) -> mpsc::Receiver<io::Result<Vec<Record>>> {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        thread::spawn(move || {
            loop {
                let mut chunk = Vec::with_capacity(CHUNK);
                let failed = loop {
                    match self.records.next() {
                        Ok(Some(record)) if chunk.len() + 1 < CHUNK => chunk.push(record),
                        Ok(Some(record)) => {
                            chunk.push(record);
                            break None;
                        }
                        Ok(None) => break Some(Ok(Vec::new())),
                        Err(error) => break Some(Err(error)),
                    }
                };
                // The receiver is gone: the import ended early.
                if !chunk.is_empty() && sender.blocking_send(Ok(chunk)).is_err() {
                    return;
                }
                if let Some(last) = failed {
                    let _ = sender.blocking_send(last);
                    return;
                }
            }
        });
        receiver
    }
}

impl Records {
    fn next(&mut self) -> io::Result<Option<Record>> {
        match self {
            Self::Csv { records, places, columns } => Ok(records.next()?.map(|(line, values)| Record {
                line,
                content: values.and_then(|values| cells(&values, places, *columns)),
            })),
            Self::Txt(lines) => next_line(lines, |text| {
                let mut cells = Cells::default();
                cells.set(Field::LicenseKey, text);
                Ok(cells)
            }),
            Self::Jsonl(lines, naming) => next_line(lines, |text| json::cells(text, naming)),
        }
    }
}

/// The next line that is not empty.
fn next_line(
    lines: &mut Lines<Input>,
    read: impl Fn(&str) -> Result<Cells, String>,
) -> io::Result<Option<Record>> {
    loop {
        let content = match lines.next()? {
            None => return Ok(None),
            Some((_, Line::Bytes(bytes))) if bytes.trim_ascii().is_empty() => continue,
            Some((line, Line::Bytes(bytes))) => (line, as_utf8(&bytes).and_then(&read)),
            Some((line, Line::TooLong)) => (line, Err(TOO_LONG.to_owned())),
        };
        return Ok(Some(Record { line: content.0, content: content.1 }));
    }
}

fn cells(values: &[String], places: &[Option<usize>], columns: usize) -> Result<Cells, String> {
    if values.iter().skip(columns).any(|value| !value.trim().is_empty()) {
        let count = values.len();
        return Err(format!("has {count} values for {columns} columns: a value may need quotes"));
    }
    let mut cells = Cells::default();
    for (field, place) in Field::ALL.into_iter().zip(places) {
        if let Some(value) = place.and_then(|place| values.get(place)) {
            cells.set(field, value);
        }
    }
    Ok(cells)
}

fn with_header(lines: Lines<Input>, naming: &Naming) -> anyhow::Result<(Records, String)> {
    let (records, header) = csv::Records::new(lines)?;
    let (line, header) = header.context("there is no header")?;
    let header = header.map_err(|reason| anyhow::anyhow!("cannot read the header: line {line}: {reason}"))?;
    let names: Vec<&str> = header.iter().map(|name| name.trim()).collect();
    let places = naming.places(&names);
    naming.check(&places)?;
    let ignored = places.ignored().join(", ");
    let mut said = places.used();
    if !ignored.is_empty() {
        said = format!("{said}; not used: {ignored}");
    }
    let (places, columns) = (places.into_array(), names.len());
    Ok((Records::Csv { records, places, columns }, said))
}

/// Reads the start of the input, up to the end of its first line if that is not too long. Returns it with the
/// whole input. A pipe may deliver the start in pieces.
fn look_at(mut input: Box<dyn io::Read + Send>) -> io::Result<(Vec<u8>, Input)> {
    let (mut start, mut piece) = (Vec::new(), vec![0; LOOKED_AT]);
    while start.len() < LOOKED_AT && !start.trim_ascii_start().contains(&b'\n') {
        match input.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => start.extend(piece.iter().take(read)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let whole: Box<dyn io::Read + Send> = Box::new(io::Cursor::new(start.clone()).chain(input));
    Ok((start, BufReader::with_capacity(LOOKED_AT, whole)))
}

fn count_lines(path: &Path) -> io::Result<u64> {
    let (mut file, mut buffer, mut lines) = (File::open(path)?, vec![0; LOOKED_AT], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(lines),
            count => {
                let read = buffer.iter().take(count);
                lines += u64::try_from(read.filter(|byte| **byte == b'\n').count()).unwrap_or(0);
            }
        }
    }
}

fn as_utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| {
        let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
        format!(
            "is not UTF-8 (byte {byte:#04X}): save the file as UTF-8, or convert it: iconv -f LATIN1 -t UTF-8"
        )
    })
}
