use std::io::{self, BufRead};

/// The most bytes of a line, or of the lines of one CSV record. A key has 1,020 at most, but some exports
/// have whole orders in other columns.
pub(super) const BYTES_MAX: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A line without its line break.
#[derive(Debug)]
pub(super) enum Line {
    Bytes(Vec<u8>),
    /// A line of more than [`BYTES_MAX`], which was skipped.
    TooLong,
}

/// Reads numbered lines in bounded memory, however long they are.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    read: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, read: 0 }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line)>> {
        let (mut line, mut too_long, mut something) = (Vec::new(), false, false);
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() {
                break;
            }
            something = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            too_long |= line.len() + part.len() > BYTES_MAX;
            if too_long {
                line.clear();
            } else {
                line.extend_from_slice(part);
            }
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !something {
            return Ok(None);
        }
        self.read += 1;
        if too_long {
            return Ok(Some((self.read, Line::TooLong)));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if self.read == 1 && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(Some((self.read, Line::Bytes(line))))
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
                Line::Bytes(bytes) => format!("{number} {}", String::from_utf8(bytes).unwrap()),
                Line::TooLong => format!("{number} too long"),
            });
        }
        assert_eq!(read, ["1 first", "2 ", "3 too long", "4 last"]);
    }
}
