//! Everything that keypool logs at its most talkative, and a register of what must not stand in it.

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

/// Starts to gather the log of this process.
pub(crate) fn gather() {
    gather_from(tracing::Level::TRACE);
}

/// Gathers the log as functions write it unless they are told otherwise: for runs whose talkative log would fill the
/// memory. To be called before the first shop opens.
pub fn log_quietly() {
    gather_from(tracing::Level::INFO);
}

fn gather_from(level: tracing::Level) {
    GATHERING.call_once(|| init_logs(level, Stack::WARNS_OF_BUSINESS, || Writer).unwrap());
}

/// Takes note of a text that no log line may hold.
pub(crate) fn keep_secret(text: &str) {
    // Shorter ones stand in a log by chance.
    if text.len() >= 6 {
        let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.get_or_insert_default().insert(text.to_owned());
    }
}

/// Fails if a line of the log so far holds one of the secrets of the run so far.
pub(crate) fn check() {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
    // The JSON of the log escapes what is not plain.
    let escaped = |secret: &String| serde_json::to_string(secret).unwrap().trim_matches('"').to_owned();
    let patterns: Vec<String> = secrets.iter().flat_map(|secret| [secret.clone(), escaped(secret)]).collect();
    // One long secret would make a deterministic automaton too large to build in a test.
    let search = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&patterns).unwrap();
    for line in log.split(|byte| *byte == b'\n') {
        assert!(search.find(line).is_none(), "a log line holds a secret: {}", String::from_utf8_lossy(line));
    }
}

/// The lines of the log so far that hold a text.
#[must_use]
pub fn lines_with(text: &str) -> Vec<String> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner).clone();
    String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}
