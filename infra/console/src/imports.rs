//! The files to import, and the imports that run. An import continues when its page is closed, and after a
//! restart of the console it can go on where its receipt ends.
//!
//! Each file has a folder: `file/NAME`, `settings.json`, and the receipts of `keypool keys import`. Only the
//! user who runs the console may read them, because they contain license keys.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::commands::{Commands, Ended, Event, Run};

/// The most bytes of a file's name that are kept. File systems allow 255.
const NAME_BYTES_MAX: usize = 200;

/// All files to import.
pub(crate) struct Imports {
    folder: PathBuf,
    jobs: Mutex<HashMap<String, Arc<Job>>>,
}

/// The options of an import, as the form has them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub(crate) product: String,
    pub(crate) status: String,
    pub(crate) activation_limit: String,
    pub(crate) validity: String,
    /// `FIELD=NAME`, one a line.
    pub(crate) columns: String,
}

/// A received file.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) name: String,
    folder: PathBuf,
}

/// A subcommand that imports or rehearses.
pub(crate) struct Job {
    state: watch::Sender<State>,
    stop: watch::Sender<bool>,
}

/// The output of a job so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) is_rehearsal: bool,
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
    pub(crate) notes: Vec<String>,
    pub(crate) summary: Option<Value>,
    pub(crate) ended: Option<Ended>,
}

impl Settings {
    /// The arguments of the subcommand for a file.
    pub(crate) fn arguments(&self, file: &Path) -> Vec<String> {
        let mut arguments = vec!["keys".to_owned(), "import".to_owned()];
        for (option, value) in [
            ("product", &self.product),
            ("status", &self.status),
            ("activation-limit", &self.activation_limit),
            ("validity", &self.validity),
        ] {
            if !value.is_empty() {
                arguments.push(format!("--{option}={value}"));
            }
        }
        let columns = self.columns.lines().map(str::trim).filter(|line| !line.is_empty());
        arguments.extend(columns.map(|line| format!("--column={line}")));
        arguments.extend(["--".to_owned(), file.to_string_lossy().into_owned()]);
        arguments
    }
}

impl Received {
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("file").join(&self.name)
    }

    /// The receipt of the import, or of its rehearsal.
    pub(crate) fn receipt(&self, is_rehearsal: bool) -> PathBuf {
        self.folder.join(if is_rehearsal { "rehearsal.jsonl" } else { "receipt.jsonl" })
    }

    /// Returns true if an import has begun. It continues only with the same settings.
    pub(crate) fn has_begun(&self) -> bool {
        self.receipt(false).exists()
    }

    pub(crate) fn settings(&self) -> Settings {
        let file = File::open(self.folder.join("settings.json")).ok();
        file.and_then(|file| serde_json::from_reader(io::BufReader::new(file)).ok()).unwrap_or_default()
    }

    pub(crate) fn save(&self, settings: &Settings) -> io::Result<()> {
        let mut file = private(&self.folder.join("settings.json"))?;
        Ok(serde_json::to_writer(&mut file, settings)?)
    }
}

impl Imports {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, jobs: Mutex::default() }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a file that a browser sends.
    pub(crate) async fn receive(&self, id: String, name: &str, body: Body) -> io::Result<Received> {
        let received = Received { folder: self.folder.join(&id), name: file_name(name), id };
        DirBuilder::new().recursive(true).mode(0o700).create(received.folder.join("file"))?;
        // A part of a file could end within a license key, so it gets its name when it is complete.
        let partial = received.folder.join("partial");
        let stored = store(&partial, body).await;
        if let Err(error) = stored.and_then(|()| std::fs::rename(&partial, received.file())) {
            std::fs::remove_dir_all(&received.folder)?;
            return Err(error);
        }
        Ok(received)
    }

    /// The received file with this id.
    pub(crate) fn find(&self, id: &str) -> Option<Received> {
        if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) || id.is_empty() {
            return None;
        }
        let folder = self.folder.join(id);
        let file = std::fs::read_dir(folder.join("file")).ok()?.next()?.ok()?;
        Some(Received { id: id.to_owned(), name: file.file_name().to_string_lossy().into_owned(), folder })
    }

    /// All received files, the youngest first.
    pub(crate) fn list(&self) -> Vec<Received> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let age = |entry: &std::fs::DirEntry| entry.metadata().and_then(|data| data.created()).ok();
        let mut entries: Vec<_> = entries.map(|entry| (age(&entry), entry.file_name())).collect();
        entries.sort();
        entries.into_iter().rev().filter_map(|(_, id)| self.find(id.to_str()?)).collect()
    }

    /// The output of the last job of a file; `None` if there was none since the console started.
    pub(crate) fn state(&self, received: &Received) -> Option<State> {
        self.jobs().get(&received.id).map(|job| job.state.borrow().clone())
    }

    /// Starts an import or a rehearsal. Returns false if one is running.
    pub(crate) fn start(&self, received: &Received, commands: &Commands, is_rehearsal: bool) -> bool {
        let mut jobs = self.jobs();
        if jobs.get(&received.id).is_some_and(|job| job.is_running()) {
            return false;
        }
        let mut arguments = received.settings().arguments(&received.file());
        let receipt = received.receipt(is_rehearsal).to_string_lossy().into_owned();
        arguments.splice(2..2, [format!("--receipt={receipt}")]);
        if is_rehearsal {
            arguments.insert(2, "--dry-run".to_owned());
        }
        let Run { events, stop, ended } = commands.start(arguments);
        let state = watch::Sender::new(State { is_rehearsal, ..State::default() });
        let job = Arc::new(Job { state, stop });
        jobs.insert(received.id.clone(), Arc::clone(&job));
        tokio::spawn(job.follow(events, ended));
        true
    }

    /// Interrupts the job of a file.
    pub(crate) fn stop(&self, received: &Received) {
        if let Some(job) = self.jobs().get(&received.id) {
            job.interrupt();
        }
    }

    /// Interrupts all jobs, and waits for their end.
    pub(crate) async fn stop_all(&self) {
        let jobs: Vec<Arc<Job>> = self.jobs().values().cloned().collect();
        for job in &jobs {
            job.interrupt();
        }
        for job in &jobs {
            // The job owns the sender, so it is not closed.
            let _ = job.state.subscribe().wait_for(|state| state.ended.is_some()).await;
        }
    }

    /// Deletes a file and its receipts. Returns false if its job is running.
    pub(crate) fn remove(&self, received: &Received) -> io::Result<bool> {
        let mut jobs = self.jobs();
        if jobs.get(&received.id).is_some_and(|job| job.is_running()) {
            return Ok(false);
        }
        jobs.remove(&received.id);
        std::fs::remove_dir_all(&received.folder).map(|()| true)
    }
}

impl Job {
    fn is_running(&self) -> bool {
        self.state.borrow().ended.is_none()
    }

    fn interrupt(&self) {
        // An error means that it has ended.
        let _ = self.stop.send(true);
    }

    /// Collects the output of the subcommand, until it ends.
    async fn follow(
        self: Arc<Self>,
        mut events: mpsc::UnboundedReceiver<Event>,
        ended: impl Future<Output = Ended>,
    ) {
        // The sender of the events is gone when the subcommand has ended.
        while let Some(event) = events.recv().await {
            self.state.send_modify(|state| match event {
                Event::Value(value) => state.summary = Some(value),
                Event::Note(note) => state.notes.push(note),
                Event::Progress { done, total, .. } => (state.done, state.total) = (done, total),
            });
        }
        let ended = ended.await;
        self.state.send_modify(|state| state.ended = Some(ended));
    }
}

/// The last part of a file's name, without what a file system or a terminal could misread.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe: String = last.chars().filter(|c| !c.is_control()).collect();
    let safe = safe.trim().trim_start_matches('.');
    // The end has the extension.
    let start = (0..=safe.len()).find(|at| safe.is_char_boundary(*at) && safe.len() - at <= NAME_BYTES_MAX);
    let safe = safe.get(start.unwrap_or(0)..).unwrap_or_default().to_owned();
    if safe.is_empty() { "upload".to_owned() } else { safe }
}

/// Creates or empties a file that only this user may read.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

async fn store(path: &Path, body: Body) -> io::Result<()> {
    let mut file = private(path)?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        file.write_all(&chunk.map_err(io::Error::other)?)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stays_in_its_folder() {
        for (name, safe) in [
            ("keys.csv", "keys.csv"),
            ("../../etc/passwd", "passwd"),
            ("C:\\keys\\Schlüssel 1.txt", "Schlüssel 1.txt"),
            ("..", "upload"),
            ("", "upload"),
            (".hidden\n.csv", "hidden.csv"),
        ] {
            assert_eq!(file_name(name), safe);
        }
        let long = file_name(&format!("{}.csv", "鍵".repeat(200)));
        assert!(long.ends_with("鍵.csv") && (NAME_BYTES_MAX - 2..=NAME_BYTES_MAX).contains(&long.len()));
    }

    #[test]
    fn settings_become_options() {
        let settings = Settings {
            product: "42".to_owned(),
            columns: "license_key=Serial no.\n\n owner_name=--dry-run".to_owned(),
            ..Settings::default()
        };
        assert_eq!(
            settings.arguments(Path::new("-k.csv")),
            [
                "keys",
                "import",
                "--product=42",
                "--column=license_key=Serial no.",
                "--column=owner_name=--dry-run",
                "--",
                "-k.csv"
            ]
        );
    }
}
