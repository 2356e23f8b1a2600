use std::collections::VecDeque;
use std::io::{self, BufRead};

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::lines::{BYTES_MAX, Line, Lines};
use super::{TOO_LONG, as_utf8};

/// The most lines of one record. Without this limit, an unclosed quote would turn the rest into one value.
const LINES_MAX: usize = 100;
/// The most columns of a record; exports have some twenty.
const COLUMNS_MAX: usize = 1_024;

const NOT_CLOSED: &str =
    "a quoted value in this line does not end correctly: a quote is missing, or there is one too many";

/// A record: its first line, and its values or the reason for refusing it.
pub(super) type Values = (u64, Result<Vec<String>, String>);

/// Cuts a file into records. A broken record spoils no others: its first line is refused, and reading
/// continues with the next line.
#[derive(Debug)]
pub(super) struct Records<R> {
    lines: Lines<R>,
    /// Lines that were read in search of the end of a record that had none.
    again: VecDeque<(u64, Line)>,
    delimiter: u8,
}

impl<R: BufRead> Records<R> {
    /// Reads the first record, and takes the delimiter from it: comma, semicolon or tab.
    pub(super) fn new(mut lines: Lines<R>) -> io::Result<(Self, Option<Values>)> {
        let (mut again, mut delimiter) = (VecDeque::new(), b',');
        while let Some((number, line)) = lines.next()? {
            if let Line::Bytes(bytes) = &line {
                if bytes.trim_ascii().is_empty() {
                    continue;
                }
                delimiter = delimiter_of(bytes);
            }
            again.push_back((number, line));
            break;
        }
        let mut records = Self { lines, again, delimiter };
        let first = records.next()?;
        Ok((records, first))
    }

    fn next_line(&mut self) -> io::Result<Option<(u64, Line)>> {
        match self.again.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next(),
        }
    }

    /// The next record that is not empty; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Values>> {
        let (number, mut text) = loop {
            match self.next_line()? {
                None => return Ok(None),
                Some((number, Line::TooLong)) => return Ok(Some((number, Err(TOO_LONG.to_owned())))),
                Some((_, Line::Bytes(bytes))) if bytes.trim_ascii().is_empty() => {}
                Some((number, Line::Bytes(bytes))) => break (number, bytes),
            }
        };
        let mut quotes = Quotes { state: State::Start, delimiter: self.delimiter };
        let mut further = VecDeque::new();
        let mut end = quotes.read(&text);
        while end == End::Inside && further.len() < LINES_MAX && text.len() < BYTES_MAX {
            let Some((number, line)) = self.next_line()? else { break };
            if let Line::Bytes(bytes) = &line {
                text.push(b'\n');
                text.extend_from_slice(bytes);
                end = quotes.read(bytes);
                further.push_back((number, line));
            } else {
                further.push_back((number, line));
                break;
            }
        }
        if end != End::Complete {
            further.append(&mut self.again);
            self.again = further;
            return Ok(Some((number, Err(NOT_CLOSED.to_owned()))));
        }
        Ok(Some((number, values(text, self.delimiter))))
    }
}

/// The values of one record.
fn values(mut text: Vec<u8>, delimiter: u8) -> Result<Vec<String>, String> {
    text.push(b'\n');
    let (mut unquoted, mut ends) = (vec![0; text.len() + 1], vec![0; COLUMNS_MAX]);
    let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
    let (result, read, _, count) = reader.read_record(&text, &mut unquoted, &mut ends);
    if result == ReadRecordResult::OutputEndsFull {
        return Err(format!("there are more than {COLUMNS_MAX} values in this line"));
    }
    if result != ReadRecordResult::Record || read < text.len() {
        return Err("a carriage return is within this line".to_owned());
    }
    let mut start = 0;
    let ends = ends.iter().take(count);
    ends.map(|end| {
        let value = as_utf8(unquoted.get(start..*end).unwrap_or_default());
        start = *end;
        value.map(str::to_owned)
    })
    .collect()
}

/// The delimiter that occurs most often outside of quotes.
fn delimiter_of(line: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in line {
        quoted ^= *byte == b'"';
        if let Some((_, count)) = counts.iter_mut().find(|(delimiter, _)| !quoted && delimiter == byte) {
            *count += 1;
        }
    }
    // `max_by_key` returns the last maximum. Reversed, that is the comma, for a header of one column.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| delimiter)
}

/// Finds the end of a record. A line break in quotes belongs to the record.
struct Quotes {
    state: State,
    delimiter: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a value.
    Start,
    Unquoted,
    Quoted,
    /// After a quote in a quoted value: its end, or the first of two quotes that mean one.
    Quote,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Complete,
    /// Inside a quoted value.
    Inside,
    Malformed,
}

impl Quotes {
    fn read(&mut self, line: &[u8]) -> End {
        for byte in line {
            self.state = match (self.state, *byte) {
                (State::Quoted, b'"') => State::Quote,
                (State::Quoted, _) | (State::Start | State::Quote, b'"') => State::Quoted,
                (_, byte) if byte == self.delimiter => State::Start,
                (State::Quote, _) => return End::Malformed,
                (State::Start | State::Unquoted, _) => State::Unquoted,
            };
        }
        if self.state == State::Quoted { End::Inside } else { End::Complete }
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
                Ok(values) => format!("{line} {}", values.join("|")),
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
        let wide = format!("k,n\n{}\nD,4\n", ",".repeat(2_000));
        assert_eq!(read(wide.as_bytes()), ["1 k|n", "2 - there are more", "3 D|4"]);
    }
}
