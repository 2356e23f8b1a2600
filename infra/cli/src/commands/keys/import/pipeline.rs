//! Turns records into outcomes: runs batches in parallel, and reports in the order of the lines.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::vec::IntoIter;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use keypool_aws::AdaptiveLimit;
use keypool_domain::{Clock as _, CreationId, ImportId, RowId, SystemClock};
use keypool_store::{Store, StoreError};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

use super::batch::{self, Entry, EntryState};
use super::columns::{Cells, Field};
use super::receipt::{ANOTHER_FILE, Earlier, Receipt};
use super::row::Rules;
use super::seen::Seen;
use super::source::Record;
use super::suspicious::Suspicious;
use super::told::{Outcome, Told, told_key};
use crate::output::Progress;

/// The most batches that run or wait to be reported.
const BATCHES_MAX: usize = 64;
/// The most lines of a batch, including those that are not written.
const BATCH_LINES_MAX: usize = 500;
/// The number of row ids that are taken at a time.
const ROW_IDS: usize = 1_000;

/// The end of an import that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Complete,
    Interrupted,
}

/// An import, or a dry run of one.
pub(super) struct Pipeline<'a> {
    pub(super) store: &'a Store,
    pub(super) rules: &'a Rules,
    pub(super) import: ImportId,
    pub(super) receipt: &'a mut Receipt,
    pub(super) earlier: Option<Earlier>,
    pub(super) progress: &'a Progress,
    /// The first refused lines, for people.
    pub(super) refused: Vec<String>,
    /// The suspicious keys of all lines that were read.
    pub(super) suspicious: Suspicious,
    under_way: FuturesOrdered<JoinHandle<Result<Vec<Told>, StoreError>>>,
    limit: Arc<AdaptiveLimit>,
    batch: Vec<Entry>,
    open: usize,
    /// The keys under way, with their lines. A repeated key is not written, so that the earlier of two lines
    /// always stores it.
    held: HashMap<String, u64>,
    /// All keys so far; in a dry run only.
    seen: Option<Seen>,
    ids: IntoIter<RowId>,
}

/// The number of refused lines that are printed to standard error.
const REFUSED_TOLD_MAX: usize = 10;

impl<'a> Pipeline<'a> {
    pub(super) fn new(
        store: &'a Store,
        rules: &'a Rules,
        import: ImportId,
        receipt: &'a mut Receipt,
        progress: &'a Progress,
        dry_run: bool,
        limit: AdaptiveLimit,
    ) -> Self {
        Self {
            store,
            rules,
            import,
            receipt,
            earlier: None,
            progress,
            refused: Vec::new(),
            suspicious: Suspicious::new(),
            under_way: FuturesOrdered::new(),
            limit: Arc::new(limit),
            batch: Vec::new(),
            open: 0,
            held: HashMap::new(),
            seen: dry_run.then(Seen::new),
            ids: Vec::new().into_iter(),
        }
    }

    /// Continues after the lines in the receipt, if there are any.
    pub(super) fn after(self, earlier: Option<Earlier>) -> Self {
        Self { earlier, ..self }
    }

    /// Processes all records, until they end or the user interrupts.
    pub(super) async fn run(
        &mut self,
        mut records: Receiver<io::Result<Vec<Record>>>,
        interrupted: impl Future<Output = ()>,
    ) -> anyhow::Result<Ended> {
        tokio::pin!(interrupted);
        let mut reading = true;
        while reading || !self.under_way.is_empty() {
            tokio::select! {
                biased;
                () = &mut interrupted => {
                    self.receipt.flush()?;
                    return Ok(Ended::Interrupted);
                }
                Some(told) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.tell(&told??)?;
                }
                chunk = records.recv(), if reading && self.under_way.len() < BATCHES_MAX => {
                    match chunk.context("reading stopped before the end of the file")? {
                        Err(error) => return Err(error).context("reading failed"),
                        Ok(chunk) if chunk.is_empty() => {
                            reading = false;
                            self.no_more_was_told()?;
                            self.send();
                        }
                        Ok(chunk) => for record in chunk {
                            self.take(record).await?;
                        },
                    }
                }
            }
        }
        self.receipt.complete()?;
        Ok(Ended::Complete)
    }

    async fn take(&mut self, record: Record) -> anyhow::Result<()> {
        note_suspicious(&mut self.suspicious, &record);
        let key = key_of(&record);
        if self.was_told(record.line, key.as_deref())? {
            return Ok(());
        }
        let line = record.line;
        let state = match record.content {
            Err(reason) => EntryState::Known(Outcome::Refused(reason)),
            Ok(cells) => self.state_of(&cells, line).await?,
        };
        self.batch.push(Entry { line, key, state });
        let open_max = match self.seen {
            Some(_) => Store::REHEARSE_KEYS_MAX,
            None => Store::IMPORT_KEYS_MAX,
        };
        if self.open == open_max || self.batch.len() == BATCH_LINES_MAX {
            self.send();
        }
        Ok(())
    }

    async fn state_of(&mut self, cells: &Cells, line: u64) -> anyhow::Result<EntryState> {
        let now = SystemClock.now();
        let new = match self.rules.key(cells, now, CreationId::of_line(self.import, line)) {
            Err(reason) => return Ok(EntryState::Known(Outcome::Refused(reason))),
            Ok(new) => new,
        };
        if let Some(earlier) = self.earlier_line(new.license_key.as_str(), line) {
            return Ok(EntryState::Known(Outcome::DuplicateOfLine(earlier)));
        }
        self.open += 1;
        let id = self.next_id().await?;
        Ok(EntryState::Open(Box::new(new.into_record(id, now, self.store.randomness()))))
    }

    /// Returns true if the receipt has this line from before the interruption. Fails if the receipt has
    /// another line, which means that this is another file.
    fn was_told(&mut self, line: u64, key: Option<&str>) -> anyhow::Result<bool> {
        let Some(earlier) = &mut self.earlier else { return Ok(false) };
        let Some(told) = earlier.next()? else {
            self.receipt.go_on(earlier)?;
            self.earlier = None;
            return Ok(false);
        };
        told.is_of(line, key)?;
        self.receipt.count(&told);
        self.progress.set(line);
        Ok(true)
    }

    /// Checks at the end of the file that the receipt has no further lines.
    fn no_more_was_told(&mut self) -> anyhow::Result<()> {
        let Some(earlier) = &mut self.earlier else { return Ok(()) };
        earlier.end()?;
        self.receipt.go_on(earlier)?;
        self.earlier = None;
        Ok(())
    }

    /// The earlier line with the same key, if it is known without a look into the table.
    fn earlier_line(&mut self, key: &str, line: u64) -> Option<u64> {
        if let Some(seen) = &mut self.seen {
            return seen.note(key, line);
        }
        if let Some(earlier) = self.held.get(key) {
            return Some(*earlier);
        }
        self.held.insert(key.to_owned(), line);
        None
    }

    async fn next_id(&mut self) -> anyhow::Result<RowId> {
        if self.seen.is_some() {
            return Ok(RowId::MIN);
        }
        loop {
            if let Some(id) = self.ids.next() {
                return Ok(id);
            }
            self.ids = self.store.take_row_ids(ROW_IDS).await?.into_iter();
        }
    }

    fn send(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return;
        }
        self.open = 0;
        let (store, limit) = (self.store.clone(), Arc::clone(&self.limit));
        let rehearses = self.seen.is_some();
        // Spawned, because building and parsing requests takes CPU time, which other threads can share.
        self.under_way.push_back(tokio::spawn(batch::run(store, limit, rehearses, batch)));
    }

    fn tell(&mut self, told: &[Told]) -> anyhow::Result<()> {
        for told in told {
            if let Some(key) = &told.key
                && self.held.get(key) == Some(&told.line)
            {
                self.held.remove(key);
            }
            if let Outcome::Refused(reason) = &told.outcome
                && self.refused.len() < REFUSED_TOLD_MAX
            {
                self.refused.push(format!("line {}: {reason}", told.line));
            }
            self.receipt.tell(told)?;
        }
        self.receipt.flush()?;
        if let Some(last) = told.last() {
            self.progress.set(last.line);
        }
        Ok(())
    }
}

/// The key of a record in the form of the receipt.
fn key_of(record: &Record) -> Option<String> {
    record.content.as_ref().ok().and_then(|cells| cells.get(Field::LicenseKey)).map(told_key)
}

fn note_suspicious(suspicious: &mut Suspicious, record: &Record) {
    if let Ok(cells) = &record.content
        && let Some(text) = cells.get(Field::LicenseKey)
    {
        suspicious.note(text, record.line);
    }
}

/// Compares a file with the receipt of a complete import. Fails if it is another file. Returns its suspicious
/// keys.
pub(super) async fn compare(
    mut records: Receiver<io::Result<Vec<Record>>>,
    mut earlier: Earlier,
) -> anyhow::Result<Suspicious> {
    let mut suspicious = Suspicious::new();
    loop {
        let chunk = records.recv().await.context("reading stopped before the end of the file")?;
        let chunk = chunk.context("reading failed")?;
        if chunk.is_empty() {
            earlier.end()?;
            return Ok(suspicious);
        }
        for record in chunk {
            note_suspicious(&mut suspicious, &record);
            let told = earlier.next()?;
            let told =
                told.with_context(|| format!("{ANOTHER_FILE}: the file goes on with line {}", record.line))?;
            told.is_of(record.line, key_of(&record).as_deref())?;
        }
    }
}
