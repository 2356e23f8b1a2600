//! Turns records into outcomes: runs batches in parallel, and reports in the order of the lines.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::vec::IntoIter;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use keypool_aws::AdaptiveLimit;
use keypool_domain::{Clock as _, CreationId, RowId, SystemClock};
use keypool_store::{Store, StoreError};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

use super::batch::{Batch, BatchLine};
use super::columns::Cells;
use super::outcome::{Original, Outcome, ReceiptLine};
use super::receipt::Receipt;
use super::row::Rules;
use super::seen::Seen;
use super::source::Record;
use crate::output::Progress;

/// The most batches that run or wait to be reported.
const BATCHES_MAX: usize = 64;
/// The most lines of a batch, including those that are not written.
const BATCH_LINES_MAX: usize = 500;
/// The number of row ids that are taken at a time.
const ROW_IDS: usize = 1_000;
/// The number of refused lines that are printed to standard error.
const REFUSED_PRINTED_MAX: usize = 10;

/// The end of an import that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Complete,
    Interrupted,
}

/// An import, or a dry run of one.
pub(super) struct Pipeline<'a> {
    store: &'a Store,
    rules: &'a Rules,
    receipt: &'a mut Receipt,
    progress: &'a Progress,
    /// The first refused lines, for people.
    pub(super) refused: Vec<String>,
    under_way: FuturesOrdered<JoinHandle<Result<Vec<ReceiptLine>, StoreError>>>,
    limit: Arc<AdaptiveLimit>,
    batch: Batch,
    /// The keys under way, with their lines. A repeated key is not written, so that the earlier of two lines
    /// always stores it.
    held: HashMap<String, u64>,
    /// All keys so far; in a dry run only.
    seen: Option<Seen>,
    ids: IntoIter<RowId>,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(
        store: &'a Store,
        rules: &'a Rules,
        receipt: &'a mut Receipt,
        progress: &'a Progress,
        is_dry_run: bool,
        limit: AdaptiveLimit,
    ) -> Self {
        Self {
            store,
            rules,
            receipt,
            progress,
            refused: Vec::new(),
            under_way: FuturesOrdered::new(),
            limit: Arc::new(limit),
            batch: Batch::default(),
            held: HashMap::new(),
            seen: is_dry_run.then(Seen::new),
            ids: Vec::new().into_iter(),
        }
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
                () = &mut interrupted => return Ok(Ended::Interrupted),
                Some(lines) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.report(&lines??)?;
                }
                chunk = records.recv(), if reading && self.under_way.len() < BATCHES_MAX => {
                    let chunk = chunk.context("reading stopped before the end of the file")?;
                    let chunk = chunk.context("reading failed")?;
                    reading = !chunk.is_empty();
                    for record in chunk {
                        self.take(record).await?;
                    }
                    if !reading {
                        self.send();
                    }
                }
            }
        }
        self.receipt.complete()?;
        Ok(Ended::Complete)
    }

    async fn take(&mut self, record: Record) -> anyhow::Result<()> {
        let (line, key) = (record.line, record.key());
        let outcome = match record.content {
            Err(reason) => Some(Outcome::Refused { reason }),
            Ok(cells) => self.add(&cells, line).await?,
        };
        self.batch.lines.push(BatchLine { line, key, outcome });
        let keys_max = if self.seen.is_some() { Store::REHEARSE_KEYS_MAX } else { Store::IMPORT_KEYS_MAX };
        if self.batch.keys.len() == keys_max || self.batch.lines.len() == BATCH_LINES_MAX {
            self.send();
        }
        Ok(())
    }

    /// Adds the key of a line to the batch, or returns the outcome if that is known already.
    async fn add(&mut self, cells: &Cells, line: u64) -> anyhow::Result<Option<Outcome>> {
        let now = SystemClock.now();
        let new = match self.rules.key(cells, now, CreationId::of_line(self.receipt.import, line)) {
            Err(reason) => return Ok(Some(Outcome::Refused { reason })),
            Ok(new) => new,
        };
        if let Some(earlier) = self.earlier_line(new.license_key.as_str(), line) {
            return Ok(Some(Outcome::Duplicate(Original::OfLine(earlier))));
        }
        let id = self.next_id().await?;
        self.batch.keys.push(new.into_record(id, now, self.store.randomness()));
        Ok(None)
    }

    /// The earlier line with the same key, if it is known without a look into the table.
    fn earlier_line(&mut self, key: &str, line: u64) -> Option<u64> {
        if let Some(seen) = &mut self.seen {
            return seen.note(key, line);
        }
        let earlier = self.held.get(key).copied();
        if earlier.is_none() {
            self.held.insert(key.to_owned(), line);
        }
        earlier
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
        let (store, limit) = (self.store.clone(), Arc::clone(&self.limit));
        // Spawned, because building and parsing requests takes CPU time, which other threads can share.
        self.under_way.push_back(tokio::spawn(batch.run(store, limit, self.seen.is_some())));
    }

    fn report(&mut self, lines: &[ReceiptLine]) -> anyhow::Result<()> {
        for ReceiptLine { line, key, outcome } in lines {
            if let Some(key) = key
                && self.held.get(key) == Some(line)
            {
                self.held.remove(key);
            }
            if let Outcome::Refused { reason } = outcome
                && self.refused.len() < REFUSED_PRINTED_MAX
            {
                self.refused.push(format!("line {line}: {reason}"));
            }
        }
        self.receipt.add(lines)?;
        if let Some(last) = lines.last() {
            self.progress.set(last.line);
        }
        Ok(())
    }
}
