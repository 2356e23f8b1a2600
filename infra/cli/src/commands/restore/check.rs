use std::path::PathBuf;
use std::pin::pin;

use anyhow::bail;
use clap::Args;
use futures_util::TryStreamExt as _;
use keypool_domain::{Clock as _, Status, SystemClock, Timestamp};
use keypool_store::{Counter, KeyFilter, Swept};
use serde_json::{Value, json};

use super::block::{Counts, UnsoldKey, block};
use super::sales::Sales;
use crate::exit::Exit;
use crate::moment::{Span, past, to_the_second};
use crate::output::{BAD, GOOD, Output, WARNING};
use crate::target::{Place, Target};

/// Block the keys in a restored table that were sold after the restore point.
///
/// A point-in-time restore brings sold keys back as unsold. This command reads the later sales from the
/// functions' logs, and blocks those of the sold keys that the restored table still has for sale. Run it
/// before you open the stack again. It also raises the counter of row ids, so that no id is given twice.
/// docs/restoring.md is the runbook.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keypool --table shop-restored restore check --restored-to 2026-11-24T16:00:00Z --logs-of shop --dry-run
  keypool --table shop-restored restore check --restored-to 2026-11-24T16:00:00Z --logs-of shop
  keypool --stack shop restore check --restored-to 2026-11-24T16:00:00Z
  keypool restore check --restored-to 2026-11-24T16:00:00Z --log-file assign.log --log-file random.log

A file has log lines of the functions assign-license-key, random-assign-license-keys and process-orders, either raw or as \
`aws logs tail` and `aws logs filter-log-events --output json` print them. If a line names sold keys in an unreadable \
form, the command stops before it changes anything.

Exit codes:
  0    done, or nothing to do: none of the sold keys is for sale any more
  1    failed; nothing was changed, unless the error says otherwise
  3    some keys could not be blocked; run the command again
  4    the logs do not reach back to the restore point: sales may be missing
  130  interrupted; blocked keys stay blocked, and the command can be run again

A second run changes nothing. The command reads the whole table once (some 4 read units for a hundred keys), and costs \
1 read unit, 4 write units and 2 for the index for each key that it blocks. Its memory grows with the sales: some 50 MB \
for a million.")]
pub(crate) struct Check {
    /// The restore point, as it was given to DynamoDB
    #[arg(long, value_name = "TIME", value_parser = past)]
    restored_to: Timestamp,
    /// The stack whose logs are read [default: the stack of --stack]
    #[arg(long, value_name = "STACK", conflicts_with = "log_files")]
    logs_of: Option<String>,
    /// A file with log lines; - is standard input (may be repeated)
    #[arg(long = "log-file", value_name = "FILE")]
    log_files: Vec<PathBuf>,
    /// The time before the restore point in which sales also count, because clocks differ
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    margin: Span,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// The counter is raised this far beyond the greatest known id, because unsold keys that were made after the
/// restore point had ids, too.
const IDS_SKIPPED: u64 = 1_000_000;

/// The sold keys in the table.
#[derive(Debug, Default)]
struct Scan {
    /// Those that the table has as unsold.
    unsold: Vec<UnsoldKey>,
    /// The number of those that an open order holds.
    held: u64,
    /// The numbers of the others.
    counts: Counts,
    greatest_id: u64,
}

/// The last id of the counter, before and after.
#[derive(Debug, Clone, Copy)]
struct Ids {
    before: u64,
    after: u64,
}

impl Check {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let mut sales = Sales::since(self.restored_to, self.margin);
        if !self.log_files.is_empty() {
            // Reading is synchronous: Ctrl-C ends the process, which has changed nothing.
            sales.read_files(&self.log_files, output)?;
        }
        let read = async {
            self.check_restore_point(target).await?;
            if self.log_files.is_empty() { self.read_logs(target, output, &mut sales).await } else { Ok(()) }
        };
        let Some(()) = unless_interrupted(output, read).await? else { return Ok(interrupted(output)) };
        if !self.dry_run {
            // Asked once before the parallel changes, which all need it.
            target.principal().await?;
        }
        let prepare = async {
            // An order that was open at the restore point returns its keys when it ends. So sweep before the
            // scan.
            let swept =
                if self.dry_run { Swept::default() } else { target.store.sweep(SystemClock.now()).await? };
            Ok::<_, anyhow::Error>((swept, scan(target, &sales, output).await?))
        };
        let Some((swept, found)) = unless_interrupted(output, prepare).await? else {
            return Ok(interrupted(output));
        };
        let ids = self.raise_ids(target, sales.greatest_id().max(found.greatest_id)).await?;
        let mut counts = found.counts;
        if self.dry_run {
            counts.blocked = found.unsold.len() as u64 - found.held;
            counts.held = found.held;
        } else {
            block(target, output, self.restored_to, found.unsold, &mut counts).await?;
            if let (Some(error), 0) = (counts.failure.take(), counts.blocked) {
                return Err(error.context("no key was blocked"));
            }
        }
        let report = Report { sales: &sales, swept, counts, ids, is_dry_run: self.dry_run };
        report.print(output)
    }

    /// Compares the restore point with the one in DynamoDB. A later one would miss sales.
    async fn check_restore_point(&self, target: &Target) -> anyhow::Result<()> {
        let Some(state) = target.store.restore_state().await? else { return Ok(()) };
        if state.is_in_progress {
            bail!(
                "DynamoDB is still restoring {}: wait until it is done (`aws dynamodb wait table-exists`)",
                target.table
            );
        }
        if state.restored_to < self.restored_to {
            let was = state.restored_to.to_whole_seconds_text();
            bail!("{} was restored to {was}, which is earlier: give --restored-to {was}", target.table);
        }
        Ok(())
    }

    async fn read_logs(&self, target: &Target, output: &Output, sales: &mut Sales) -> anyhow::Result<()> {
        match (&target.place, self.logs_of.as_ref().or(target.stack.as_ref())) {
            (Place::Aws(aws), Some(stack)) => sales.read_log_groups(aws, stack, output).await,
            (Place::Aws(_), None) => {
                bail!("the sales are in the logs of a stack: give --logs-of or --log-file")
            }
            (Place::Local(_), _) => {
                bail!("the local stack keeps no logs: give its log lines with --log-file")
            }
        }
    }

    async fn raise_ids(&self, target: &Target, greatest: u64) -> anyhow::Result<Ids> {
        let before = target.store.last_id(Counter::LicenseKey).await?;
        let after = greatest.saturating_add(IDS_SKIPPED);
        if greatest == 0 || before >= after {
            return Ok(Ids { before, after: before });
        }
        if !self.dry_run {
            let [seen, raised] = [before, after].map(|last| Some(json!({"last": last})));
            let entry = target.entry("restore.ids", "license-key", seen, raised).await?;
            target.store.raise_counter(Counter::LicenseKey, after, &entry).await?;
        }
        Ok(Ids { before, after })
    }
}

/// Reads the whole table, and finds the sold keys in it.
async fn scan(target: &Target, sales: &Sales, output: &Output) -> anyhow::Result<Scan> {
    let progress = output.progress("reading", Some(target.store.approximate_count().await?));
    let mut pages = pin!(target.store.keys(&KeyFilter::default()));
    let (mut scan, mut found) = (Scan::default(), 0);
    while let Some(page) = pages.try_next().await? {
        progress.add(page.read as u64);
        for key in page.keys {
            let id = key.id.get();
            scan.greatest_id = scan.greatest_id.max(id);
            let Some(sold_at) = sales.sold.get(&id) else { continue };
            found += 1;
            match key.status {
                Status::Assigned => scan.counts.assigned += 1,
                Status::Blocked => scan.counts.already_blocked += 1,
                Status::Available | Status::Reserved => {
                    scan.held += u64::from(key.status == Status::Reserved && key.assignment_id.is_some());
                    scan.unsold.push(UnsoldKey { license_key: key.license_key, sold_at: *sold_at });
                }
            }
        }
    }
    scan.counts.gone = (sales.sold.len() as u64).saturating_sub(found);
    Ok(scan)
}

/// Runs `work`. Returns `None` after Ctrl-C.
async fn unless_interrupted<T>(
    output: &Output,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Option<T>> {
    tokio::select! {
        done = work => done.map(Some),
        () = output.interrupted() => Ok(None),
    }
}

fn interrupted(output: &Output) -> Exit {
    output.note("interrupted: no key was changed");
    Exit::Interrupted
}

/// The final report.
struct Report<'a> {
    sales: &'a Sales,
    swept: Swept,
    counts: Counts,
    ids: Ids,
    is_dry_run: bool,
}

impl Report<'_> {
    fn print(&self, output: &Output) -> anyhow::Result<Exit> {
        output.result(&self.text(), &self.value())?;
        for gap in &self.sales.gaps {
            output.note(&format!("{BAD}sales may be missing:{BAD:#} {gap}"));
        }
        let unblocked = self.counts.held + self.counts.failed + self.swept.failed as u64;
        Ok(if self.counts.is_interrupted {
            output.note("interrupted; blocked keys stay blocked: run the command again");
            Exit::Interrupted
        } else if unblocked > 0 && !self.is_dry_run {
            output.note("Sold keys could be sold again: run the command again in a minute.");
            Exit::Partly
        } else if !self.sales.gaps.is_empty() {
            output.note("Find these sales elsewhere before you open the stack: docs/restoring.md says how.");
            Exit::DoesNotHold
        } else {
            Exit::Done
        })
    }

    fn text(&self) -> String {
        let Self { sales, counts, ids, .. } = self;
        let would = if self.is_dry_run { "would be " } else { "" };
        let mut lines = vec![
            format!(
                "{} keys sold since {}, in {} of {} log lines",
                sales.sold.len(),
                to_the_second(sales.since),
                sales.sale_lines,
                sales.lines
            ),
            format!("{GOOD}{:>9}{GOOD:#}  {would}blocked: the table has them as unsold", counts.blocked),
            format!("{:>9}  already blocked", counts.already_blocked),
            format!("{:>9}  assigned, as they must be", counts.assigned),
            format!("{:>9}  not in the table: made after the restore point", counts.gone),
        ];
        if counts.held > 0 {
            lines.push(format!("{WARNING}{:>9}{WARNING:#}  held by orders that have not ended", counts.held));
        }
        if counts.failed > 0 {
            lines.push(format!("{BAD}{:>9}{BAD:#}  not blocked", counts.failed));
        }
        if self.swept != Swept::default() {
            let Swept { finished, undone, failed } = self.swept;
            lines.push(format!("open orders: {finished} finished, {undone} undone, {failed} not ended"));
        }
        lines.push(if ids.before == ids.after {
            format!("row ids continue after {}, as before", ids.before)
        } else {
            let would = if self.is_dry_run { "would " } else { "" };
            format!("row ids {would}continue after {}, not {}", ids.after, ids.before)
        });
        lines.extend(sales.last.map(|last| format!("the last log line is from {}", to_the_second(last))));
        lines.push(
            match () {
                () if self.is_dry_run => "Dry run: nothing was changed.",
                () if counts.blocked == 0 && ids.before == ids.after => "Nothing to change.",
                () => "Done.",
            }
            .to_owned(),
        );
        lines.join("\n")
    }

    fn value(&self) -> Value {
        let Self { sales, counts, ids, swept, .. } = self;
        json!({
            "restored_to": sales.restored_to.to_string(),
            "since": sales.since.to_string(),
            "dry_run": self.is_dry_run,
            "log_lines": sales.lines,
            "sale_lines": sales.sale_lines,
            "earlier_sale_lines": sales.earlier_lines,
            "last_line_at": sales.last.map(|last| last.to_string()),
            "gaps": sales.gaps,
            "sold": sales.sold.len(),
            "blocked": counts.blocked,
            "blocked_before": counts.already_blocked,
            "assigned": counts.assigned,
            "not_in_table": counts.gone,
            "held_by_orders": counts.held,
            "not_blocked": counts.failed,
            "orders": {"finished": swept.finished, "undone": swept.undone, "failed": swept.failed},
            "last_id": {"before": ids.before, "after": ids.after},
        })
    }
}
