//! Captures all that keypool logs at its lowest level, and the secrets that must not appear there.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, Once, PoisonError};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use keypool_function::init_logs;
use keypool_local::Stack;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static SECRETS: Mutex<Option<HashSet<String>>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static GATHERING: Once = Once::new();

/// Starts to capture the log of this process.
pub(crate) fn gather() {
    gather_from(tracing::Level::TRACE);
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
    // Shorter texts occur in a log by chance.
    if text.len() >= 6 {
        let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.get_or_insert_default().insert(text.to_owned());
    }
}

/// Fails if a line of the log so far contains a secret of the run so far.
pub(crate) fn check() {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
    // The JSON of the log escapes special characters.
    let escaped = |secret: &String| serde_json::to_string(secret).unwrap().trim_matches('"').to_owned();
    let patterns: Vec<String> = secrets.iter().flat_map(|secret| [secret.clone(), escaped(secret)]).collect();
    // A long secret would make a deterministic automaton too large for a test.
    let search = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&patterns).unwrap();
    for line in log.split(|byte| *byte == b'\n') {
        assert!(
            search.find(line).is_none(),
            "a log line contains a secret: {}",
            String::from_utf8_lossy(line)
        );
    }
}

/// Returns the lines of the log so far that contain a text.
#[must_use]
pub fn lines_with(text: &str) -> Vec<String> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner).clone();
    String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}
