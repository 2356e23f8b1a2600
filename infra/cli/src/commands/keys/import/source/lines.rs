//! Reads numbered lines in bounded memory, however long they are.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read as _};

/// The most bytes of a line, or of the lines of one CSV record. A key has 1,020 at most, but some exports
/// have whole orders in other columns.
pub(super) const BYTES_MAX: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The number of a line, and its text without the line break or the reason for refusing it.
pub(super) type Line = (u64, Result<Vec<u8>, String>);

/// The lines of a file.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    read: u64,
    /// Lines that were put back.
    again: VecDeque<Line>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, read: 0, again: VecDeque::new() }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.again.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Vec::new();
        let mut limited = self.reader.by_ref().take(BYTES_MAX as u64 + 1);
        if limited.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.read += 1;
        if line.pop_if(|byte| *byte == b'\n').is_none() && line.len() > BYTES_MAX {
            self.reader.skip_until(b'\n')?;
            return Ok(Some((self.read, Err("is longer than 64 KB".to_owned()))));
        }
        line.pop_if(|byte| *byte == b'\r');
        if self.read == 1 && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(Some((self.read, Ok(line))))
    }

    /// The next line that is not blank; `None` at the end.
    pub(super) fn next_filled(&mut self) -> io::Result<Option<Line>> {
        loop {
            match self.next()? {
                Some((_, Ok(line))) if line.trim_ascii().is_empty() => {}
                line => return Ok(line),
            }
        }
    }

    /// Puts lines back that were read last, to read them again.
    pub(super) fn put_back(&mut self, lines: impl IntoIterator<Item = Line, IntoIter: DoubleEndedIterator>) {
        for line in lines.into_iter().rev() {
            self.again.push_front(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_long_ones_are_skipped() {
        let long = "x".repeat(200_000);
        let text = format!("\u{feff}first\r\n\n{long}\nlast");
        let mut lines = Lines::new(io::BufReader::with_capacity(10, text.as_bytes()));
        let mut read = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            read.push(match line {
                Ok(bytes) => format!("{number} {}", String::from_utf8(bytes).unwrap()),
                Err(reason) => format!("{number} {reason}"),
            });
        }
        assert_eq!(read, ["1 first", "2 ", "3 is longer than 64 KB", "4 last"]);
    }

    #[test]
    fn a_line_of_the_greatest_length_is_read() {
        let longest = "x".repeat(BYTES_MAX);
        let text = format!("{longest}\n{longest}x\n{longest}");
        let mut lines = Lines::new(text.as_bytes());
        let mut is_read = || lines.next().unwrap().unwrap().1.is_ok();
        assert_eq!([is_read(), is_read(), is_read()], [true, false, true]);
    }
}
