//! Reads the sales since a restore point, from files or from the stack's log groups.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use keypool_domain::{Clock as _, SystemClock, Timestamp};

use super::lines::{self, ROW_IDS};
use crate::cloud::{LogGroup, Logs, Resources};
use crate::moment::{Span, to_the_second};
use crate::output::Output;
use crate::target::Aws;

/// The log groups of the functions that sell, by their names in the template.
const LOG_GROUPS: [&str; 3] = ["AssignLicenseKeyLog", "RandomAssignLicenseKeysLog", "ProcessOrdersLog"];

/// The log groups of later functions that also take keys out of stock. A stack of an earlier version lacks
/// them.
const LATER_LOG_GROUPS: [&str; 2] = ["UpdateLicenseKeyLog", "ReplaceLicenseKeyLog"];

/// The longest line, in bytes. Output of the AWS command on one line is a page of log lines, 1 MB.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// The sales since a restore point, according to the logs.
#[derive(Debug)]
pub(super) struct Sales {
    pub(super) restored_to: Timestamp,
    /// The time from which sales count: a margin before the restore point, because clocks differ.
    pub(super) since: Timestamp,
    /// The ids of the keys that were sold since then, with the times of their last sales.
    pub(super) sold: HashMap<u64, Timestamp>,
    /// The number of lines that were read.
    pub(super) lines: u64,
    /// The number of sales since then.
    pub(super) sale_lines: u64,
    /// The number of earlier sales.
    pub(super) earlier_lines: u64,
    /// The latest time in the lines.
    pub(super) last: Option<Timestamp>,
    /// The reasons why sales may be missing.
    pub(super) gaps: Vec<String>,
}

impl Sales {
    pub(super) fn since(restored_to: Timestamp, margin: Span) -> Self {
        Self {
            restored_to,
            since: margin.before(restored_to).unwrap_or(restored_to),
            sold: HashMap::new(),
            lines: 0,
            sale_lines: 0,
            earlier_lines: 0,
            last: None,
            gaps: Vec::new(),
        }
    }

    /// The greatest id of a sold key.
    pub(super) fn greatest_id(&self) -> u64 {
        self.sold.keys().copied().max().unwrap_or(0)
    }

    /// Processes a line. Returns the earliest time in it.
    fn take(&mut self, line: &str) -> Result<Option<Timestamp>, String> {
        let reading = lines::read(line)?;
        self.lines += 1;
        for sale in reading.sales {
            if sale.at < self.since {
                self.earlier_lines += 1;
                continue;
            }
            self.sale_lines += 1;
            for id in sale.ids {
                let at = self.sold.entry(id).or_insert(sale.at);
                *at = (*at).max(sale.at);
            }
        }
        self.last = reading.times.iter().copied().chain(self.last).max();
        Ok(reading.times.into_iter().min())
    }

    /// Reads files with log lines; `-` is standard input.
    pub(super) fn read_files(&mut self, files: &[PathBuf], output: &Output) -> anyhow::Result<()> {
        for file in files {
            let name =
                if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
            let progress = output.progress("log lines", None);
            let first = if file == Path::new("-") {
                self.read(&name, std::io::stdin().lock(), || progress.add(1))
            } else {
                let opened = File::open(file).with_context(|| format!("cannot read {name}"))?;
                self.read(&name, BufReader::new(opened), || progress.add(1))
            }?;
            match first {
                Some(first) if first <= self.restored_to => {}
                Some(first) => self
                    .gaps
                    .push(format!("{name} begins at {}, after the restore point", to_the_second(first))),
                None => self.gaps.push(format!("{name} has no line with a time")),
            }
        }
        Ok(())
    }

    /// Reads lines. Returns the earliest time in them.
    fn read(
        &mut self,
        name: &str,
        mut source: impl BufRead,
        on_line: impl Fn(),
    ) -> anyhow::Result<Option<Timestamp>> {
        let (mut number, mut bytes, mut first) = (0_u64, Vec::new(), None::<Timestamp>);
        loop {
            bytes.clear();
            number += 1;
            let place = || format!("{name}, line {number}");
            let read = source.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes);
            if read.with_context(|| format!("cannot read {name}"))? == 0 {
                break;
            }
            if bytes.len() as u64 > LINE_BYTES_MAX {
                bail!("{}: longer than {} MB", place(), LINE_BYTES_MAX >> 20);
            }
            let text = std::str::from_utf8(&bytes).ok().filter(|text| !text.contains('\0'));
            let text = text.with_context(|| {
                format!("{}: not UTF-8 text; unpack it, or convert it with `iconv -t UTF-8`", place())
            })?;
            let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text };
            if text.trim().is_empty() {
                continue;
            }
            let earliest = self.take(text).map_err(|why| anyhow::anyhow!("{}: {why}", place()))?;
            first = earliest.into_iter().chain(first).min();
            on_line();
        }
        Ok(first)
    }

    /// Reads the log groups of those functions of a stack that sell.
    pub(super) async fn read_log_groups(
        &mut self,
        aws: &Aws,
        stack: &str,
        output: &Output,
    ) -> anyhow::Result<()> {
        let resources = Resources::of(aws, stack).await?;
        let logs = Logs::of(aws);
        let later = LATER_LOG_GROUPS.into_iter().filter(|name| resources.physical_id(name).is_ok());
        for name in LOG_GROUPS.into_iter().chain(later) {
            let group = logs.group(resources.physical_id(name)?).await?;
            self.gaps.extend(self.gap_of(&group, SystemClock.now()));
            let progress = output.progress("log lines", None);
            let mut from = None;
            loop {
                let (lines, next) = logs.page(&group.name, ROW_IDS, self.since, from).await?;
                for line in &lines {
                    self.take(&line.message).map_err(|why| anyhow::anyhow!("{}: {why}", line.place))?;
                    progress.add(1);
                }
                from = next;
                if from.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The reason why a log group may lack sales since the restore point, if any.
    fn gap_of(&self, group: &LogGroup, now: Timestamp) -> Option<String> {
        let name = &group.name;
        if let Some(created_at) = group.created_at.filter(|at| *at > self.restored_to) {
            let created_at = to_the_second(created_at);
            return Some(format!("{name} was created at {created_at}, after the restore point"));
        }
        let days = group.retention_days?;
        let kept: Span = format!("{days}d").parse().ok()?;
        let is_kept = kept.before(now).is_none_or(|oldest| oldest <= self.restored_to);
        (!is_kept).then(|| format!("{name} keeps lines for {days} days, but the restore point is older"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    fn sales() -> Sales {
        Sales::since(at("2026-11-24T16:00:00Z"), "15m".parse().unwrap())
    }

    #[test]
    fn sales_count_from_a_margin_before_the_restore_point() {
        let mut sales = sales();
        for (time, ids) in [
            ("2026-11-24T15:44:59Z", "1,2"),
            ("2026-11-24T15:45:00Z", "3"),
            ("2026-11-24T17:00:00Z", "4,3"),
            ("2026-11-24T16:30:00Z", "4"),
        ] {
            sales.take(&format!(r#"{{"timestamp":"{time}","row_ids":"{ids}"}}"#)).unwrap();
        }
        assert_eq!((sales.lines, sales.sale_lines, sales.earlier_lines), (4, 3, 1));
        let last = at("2026-11-24T17:00:00Z");
        assert_eq!(sales.sold, HashMap::from([(3, last), (4, last)]), "each at its last sale");
        assert_eq!((sales.greatest_id(), sales.last), (4, Some(last)));
    }

    #[test]
    fn a_log_group_must_reach_back_to_the_restore_point() {
        let group = |created: &str, retention_days| LogGroup {
            name: "log".to_owned(),
            created_at: Some(at(created)),
            retention_days,
        };
        let now = at("2026-12-24T16:00:00Z");
        let gap = |created, days| sales().gap_of(&group(created, days), now);
        assert_eq!(gap("2026-01-01T00:00:00Z", None), None);
        assert_eq!(gap("2026-01-01T00:00:00Z", Some(30)), None);
        assert!(gap("2026-01-01T00:00:00Z", Some(29)).unwrap().contains("keeps lines for 29 days"));
        assert!(gap("2026-11-24T16:00:01Z", None).unwrap().contains("after the restore point"));
    }
}
