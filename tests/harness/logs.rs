//! Captures all that keypool logs at its lowest level, and the secrets that must not appear there.

use std::io;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use keypool_function::init_logs;
use keypool_local::Stack;

static CAPTURED: Mutex<Captured> = Mutex::new(Captured { log: Vec::new(), secrets: Vec::new() });

/// The log of this process, and the texts that no line may contain.
#[derive(Debug, Default)]
struct Captured {
    log: Vec<u8>,
    /// In the order of their registration. A secret that two tests register is there twice.
    secrets: Vec<String>,
}

/// A moment in the run of a process, for [`check_since`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    log: usize,
    secrets: usize,
}

impl Captured {
    fn lock() -> MutexGuard<'static, Self> {
        CAPTURED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_secret(&mut self, text: &str) {
        // Shorter texts occur in a log by chance.
        if text.len() >= 6 {
            self.secrets.push(text.to_owned());
        }
    }

    fn now(&self) -> Moment {
        Moment { log: self.log.len(), secrets: self.secrets.len() }
    }

    /// Returns the lines logged and the secrets registered since a moment.
    fn since(&self, moment: Moment) -> Self {
        Self { log: self.log[moment.log..].to_vec(), secrets: self.secrets[moment.secrets..].to_vec() }
    }

    /// Returns the first line that contains a secret.
    fn leak(&self) -> Option<String> {
        // The JSON of the log escapes special characters.
        let escaped = |secret: &String| serde_json::to_string(secret).unwrap().trim_matches('"').to_owned();
        let patterns: Vec<String> =
            self.secrets.iter().flat_map(|secret| [secret.clone(), escaped(secret)]).collect();
        // A long secret would make a deterministic automaton too large for a test.
        let search =
            AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&patterns).unwrap();
        let mut lines = self.log.split(|byte| *byte == b'\n');
        lines.find(|line| search.is_match(*line)).map(|line| String::from_utf8_lossy(line).into_owned())
    }
}

#[derive(Clone, Copy)]
struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Captured::lock().log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static GATHERING: Once = Once::new();

/// Starts to capture the log of this process, unless it has started. Returns the present moment.
pub(crate) fn gather() -> Moment {
    gather_from(tracing::Level::TRACE);
    Captured::lock().now()
}

/// Captures the log at the functions' default level, for runs whose full log would fill the memory. Call it
/// before the first shop opens.
pub fn log_quietly() {
    gather_from(tracing::Level::INFO);
}

fn gather_from(level: tracing::Level) {
    GATHERING.call_once(|| init_logs(level, Stack::WARNS_OF_BUSINESS, || Writer).unwrap());
}

/// Registers a text that no log line may contain.
pub(crate) fn keep_secret(text: &str) {
    Captured::lock().keep_secret(text);
}

/// Fails if a line logged since a moment contains a secret registered since. Each shop checks the
/// part of the log that it has seen. If each one checked the whole log, a run would get slower with each shop.
pub(crate) fn check_since(moment: Moment) {
    let captured = Captured::lock().since(moment);
    if let Some(line) = captured.leak() {
        panic!("a log line contains a secret: {line}");
    }
}

/// Returns the lines of the log so far that contain a text.
#[must_use]
pub fn lines_with(text: &str) -> Vec<String> {
    let captured = Captured::lock();
    let lines = captured.log.split(|byte| *byte == b'\n').map(String::from_utf8_lossy);
    lines.filter(|line| line.contains(text)).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_line_is_found_as_written_and_as_escaped() {
        for (secret, line) in
            [("KEY-11", r#"{"url":"/?key=KEY-11"}"#), ("A \"B\" C", r#"{"owner":"A \"B\" C"}"#)]
        {
            let mut captured = Captured::default();
            captured.keep_secret("unused");
            captured.keep_secret(secret);
            captured.log.extend_from_slice(b"{}\n");
            assert_eq!(captured.leak(), None);
            captured.log.extend_from_slice(line.as_bytes());
            assert_eq!(captured.leak().as_deref(), Some(line));
        }
    }

    #[test]
    fn a_check_covers_what_came_since_its_moment() {
        let mut captured = Captured::default();
        captured.keep_secret("KEY-11");
        let before = captured.now();
        captured.log.extend_from_slice(b"KEY-11 of the test before\n");
        assert_eq!(captured.since(before).leak(), None, "its own check finds it");
        captured.keep_secret("KEY-11");
        assert!(captured.since(before).leak().is_some(), "a line may precede the registration");
        assert_eq!(captured.since(captured.now()).leak(), None);
    }
}
