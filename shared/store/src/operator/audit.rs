//! The audit trail: the changes of operators and shops. The transaction of a change also writes its entry.

use keypool_domain::{AuditEntry, Timestamp};

use crate::dynamo::{IS_NEW, Query, Write, Written};
use crate::record::{Record as _, audit_pk, month_of};
use crate::{Store, StoreError};

/// The most items that one query of the trail reads.
const PAGE_MAX: usize = 500;

impl Store {
    /// Writes items and an audit entry, if there is one, in one transaction. The obstacles of a refusal are
    /// in the order of the writes. 2 write units for each item of a KB.
    pub(crate) async fn transact_audited(
        &self,
        writes: impl IntoIterator<Item = Write>,
        entry: Option<&AuditEntry>,
    ) -> Result<Written, StoreError> {
        let entry = entry.map(|entry| Write::put(entry.item()).when(IS_NEW, []));
        self.write(writes.into_iter().chain(entry)).await
    }

    /// Writes an entry for work that takes many writes, before or after them. 1 write unit for a KB.
    pub async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.transact_audited([], Some(entry)).await.map(|_| ())
    }

    /// Reads up to `limit` entries that are `wanted`, from `since` to `now`, the latest first. 1 read unit
    /// for 4 KB, at least one a month.
    pub async fn audit_trail(
        &self,
        since: Timestamp,
        now: Timestamp,
        limit: usize,
        wanted: impl Fn(&AuditEntry) -> bool,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let (first, mut month, mut start) = (month_of(since), month_of(now), None);
        let mut entries = Vec::new();
        // One small page may be enough; a longer search reads large pages.
        let mut page_max = limit.clamp(1, PAGE_MAX);
        while month >= first && entries.len() < limit {
            let query = Query::collection(audit_pk(&month)).descending_to(since.to_microseconds_text());
            let page = self.query_page(&query.limit(page_max), start.as_ref()).await?;
            for item in &page.items {
                let entry = AuditEntry::read(item)?;
                if wanted(&entry) {
                    entries.push(entry);
                }
            }
            (start, page_max) = (page.next, PAGE_MAX);
            if start.is_none() {
                let Some(previous) = month_before(&month) else { break };
                month = previous;
            }
        }
        entries.truncate(limit);
        Ok(entries)
    }
}

/// The month before `2026-11`; `None` before the year 0.
fn month_before(month: &str) -> Option<String> {
    let (year, month) = month.split_once('-')?;
    let (year, month): (u32, u32) = (year.parse().ok()?, month.parse().ok()?);
    Some(match month {
        1 => format!("{:04}-12", year.checked_sub(1)?),
        _ => format!("{year:04}-{:02}", month - 1),
    })
}
