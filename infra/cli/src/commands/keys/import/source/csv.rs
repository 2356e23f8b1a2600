//! Cuts a CSV file into records.
//!
//! The csv crate splits a record into values, but this module finds where the record ends. The crate has no
//! option that reports wrong quotes. After a quote that is never closed, it turns all lines up to the next
//! quote into one value. The keys of these lines would be neither in the table nor in the receipt, and nobody
//! would notice: `the_crate_alone_loses_keys` shows it. The crate changes `"A"B` to `AB`, and stores a record
//! of any size in memory.
//!
//! This module refuses such a record by its first line, and continues with the next line.

use std::io::{self, BufRead};

use csv::{ReaderBuilder, StringRecord};

use super::as_utf8;
use super::lines::{BYTES_MAX, Lines};

/// The most lines of one record. Without this limit, an unclosed quote would turn the rest into one value.
const LINES_MAX: usize = 100;

const NOT_CLOSED: &str =
    "a quoted value in this line does not end correctly: a quote is missing, or there is one too many";

/// A record: its first line, and its values or the reason for refusing it.
pub(super) type Values = (u64, Result<StringRecord, String>);

/// The records of a file.
#[derive(Debug)]
pub(super) struct Records<R> {
    lines: Lines<R>,
    delimiter: u8,
}

impl<R: BufRead> Records<R> {
    /// Reads the first record, and takes the delimiter from it: comma, semicolon or tab.
    pub(super) fn new(mut lines: Lines<R>) -> io::Result<(Self, Option<Values>)> {
        let first = lines.next_filled()?;
        let delimiter = match &first {
            Some((_, Ok(line))) => delimiter_of(line),
            _ => b',',
        };
        lines.put_back(first);
        let mut records = Self { lines, delimiter };
        let first = records.next()?;
        Ok((records, first))
    }

    /// The next record that is not empty; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Values>> {
        let (number, mut text) = match self.lines.next_filled()? {
            None => return Ok(None),
            Some((number, Err(reason))) => return Ok(Some((number, Err(reason)))),
            Some((number, Ok(text))) => (number, text),
        };
        let mut further = Vec::new();
        let mut quotes = Quotes::Start.after(&text, self.delimiter);
        while quotes == Quotes::Quoted && further.len() < LINES_MAX && text.len() < BYTES_MAX {
            let Some((number, line)) = self.lines.next()? else { break };
            if let Ok(bytes) = &line {
                text.push(b'\n');
                text.extend_from_slice(bytes);
                quotes = quotes.after(bytes, self.delimiter);
            } else {
                quotes = Quotes::Wrong;
            }
            further.push((number, line));
        }
        if matches!(quotes, Quotes::Quoted | Quotes::Wrong) {
            self.lines.put_back(further);
            return Ok(Some((number, Err(NOT_CLOSED.to_owned()))));
        }
        Ok(Some((number, values(&text, self.delimiter))))
    }
}

/// The values of one record.
fn values(text: &[u8], delimiter: u8) -> Result<StringRecord, String> {
    // The crate drops one byte order mark at the start. A further one belongs to the value.
    let text = format!("\u{feff}{}", as_utf8(text)?);
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).has_headers(false).from_reader(text.as_bytes());
    let mut records = reader.records();
    match (records.next(), records.next()) {
        (Some(Ok(values)), None) => Ok(values),
        // Outside of quotes, a carriage return ends a record.
        _ => Err("a carriage return is within this line".to_owned()),
    }
}

/// The delimiter that makes the most values of this line; a comma if there is no delimiter.
fn delimiter_of(line: &[u8]) -> u8 {
    let count = |delimiter: &u8| values(line, *delimiter).map_or(0, |values| values.len());
    // `max_by_key` returns the last maximum.
    [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',')
}

/// The position in a record, as far as quotes matter. A line break in quotes belongs to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// At the start of a value.
    Start,
    Unquoted,
    Quoted,
    /// After a quote in a quoted value: its end, or the first of two quotes that mean one.
    Quote,
    /// After text that follows the end of a quoted value.
    Wrong,
}

impl Quotes {
    /// The position after these bytes.
    fn after(self, bytes: &[u8], delimiter: u8) -> Self {
        bytes.iter().fold(self, |quotes, byte| match (quotes, *byte) {
            (Self::Wrong, _) => Self::Wrong,
            (Self::Quoted, b'"') => Self::Quote,
            (Self::Quoted, _) | (Self::Start | Self::Quote, b'"') => Self::Quoted,
            (_, byte) if byte == delimiter => Self::Start,
            (Self::Quote, _) => Self::Wrong,
            (Self::Start | Self::Unquoted, _) => Self::Unquoted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<String> {
        let (mut records, first) = Records::new(Lines::new(text)).unwrap();
        let mut read = Vec::new();
        let mut next = first;
        while let Some((line, values)) = next {
            read.push(match values {
                Ok(values) => format!("{line} {}", values.iter().collect::<Vec<_>>().join("|")),
                Err(reason) => {
                    format!("{line} - {}", reason.split(' ').take(3).collect::<Vec<_>>().join(" "))
                }
            });
            next = records.next().unwrap();
        }
        read
    }

    #[test]
    fn the_delimiter_is_detected() {
        assert_eq!(read(b"a,b\n1,2\n"), ["1 a|b", "2 1|2"]);
        assert_eq!(read(b"\n\na;b\n1,5;2"), ["3 a|b", "4 1,5|2"]);
        assert_eq!(read(b"a\tb\r\n1\t2\r\n"), ["1 a|b", "2 1|2"]);
        assert_eq!(read(b"key\nA;B\n"), ["1 key", "2 A;B"]);
        assert_eq!(read(b"\"x;y;z\",b\n"), ["1 x;y;z|b"]);
    }

    #[test]
    fn quotes_hold_delimiters_line_breaks_and_quotes() {
        let text = b"k,n\n\"A \"\"B\"\"\",\"two\nlines, one value\"\nC,5\" disk\n";
        assert_eq!(read(text), ["1 k|n", "2 A \"B\"|two\nlines, one value", "4 C|5\" disk"]);
    }

    #[test]
    fn a_broken_record_spoils_no_others() {
        assert_eq!(
            read(b"k,n\n\"A,1\n\"B\",2\nC,3\n"),
            ["1 k|n", "2 - a quoted value", "3 B|2", "4 C|3"],
            "a quote that is not closed before another begins"
        );
        assert_eq!(
            read(b"k,n\nA,1\n\"B,2\nC,3\nD,4"),
            ["1 k|n", "2 A|1", "3 - a quoted value", "4 C|3", "5 D|4"],
            "one that is never closed"
        );
        let many = format!("k,n\n\"A,1\n{}", "x,y\n".repeat(300));
        assert_eq!(read(many.as_bytes()).len(), 302, "one that is not closed for many lines");
        let long = format!("k,n\n\"A\n{}\nB,2\n", "x".repeat(10_000_000));
        assert_eq!(read(long.as_bytes()), ["1 k|n", "2 - a quoted value", "3 - is longer than", "4 B|2"]);
        assert_eq!(read(b"k,n\nB\xE9,2\nC,3\n"), ["1 k|n", "2 - is not UTF-8", "3 C|3"]);
        assert_eq!(read(b"k,n\nB,2\rC,3\nD,4\n"), ["1 k|n", "2 - a carriage return", "3 D|4"]);
        assert_eq!(read("k,n\n\u{feff}B,2\n".as_bytes()), ["1 k|n", "2 \u{feff}B|2"]);
        let wide = format!("k,n\n{}\nD,4\n", ",".repeat(2_000));
        assert_eq!(read(wide.as_bytes())[2], "3 D|4");
    }

    #[test]
    fn the_crate_alone_loses_keys() {
        let read = |text: &str| -> Result<Vec<StringRecord>, _> {
            ReaderBuilder::new().flexible(true).from_reader(text.as_bytes()).records().collect()
        };
        let lost = read("key,note\nA,\"not closed\nB,\nC,\n\"D\",closed\n").unwrap();
        assert_eq!(lost, [vec!["A", "not closed\nB,\nC,\nD\"", "closed"]], "one key of four");
        assert_eq!(read("key,note\n\"A\"B,\n").unwrap(), [vec!["AB", ""]], "another key");
    }
}
