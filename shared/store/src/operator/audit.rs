//! The audit trail: who changed what by the command. Each entry is written in the same transaction as the change it tells of.

use aws_sdk_dynamodb::types::TransactWriteItem;
use keypool_domain::{AuditEntry, Timestamp};

use crate::dynamo::change::{Change, Changed};
use crate::dynamo::transact::{Obstacle, Transacted, put};
use crate::record::{Item, PK, SK, audit_item, audit_pk, month_of, read_audit, text};
use crate::{Store, StoreError};

/// How many items one query of the trail reads at most.
const PAGE_MAX: usize = 500;

impl Store {
    /// Makes a change and notes it, both or neither. 4 write units for two items of a KB.
    pub(crate) async fn change_audited(
        &self,
        change: Change,
        entry: &AuditEntry,
    ) -> Result<Changed, StoreError> {
        let write = change.into_write(&self.table)?;
        Ok(match self.transact_audited(vec![write], entry).await? {
            Transacted::Committed => Changed::Done,
            Transacted::Refused(obstacles) => {
                Changed::Refused(obstacles.first().and_then(Obstacle::item).cloned())
            }
        })
    }

    /// Makes changes and notes them, all or none. What stood in the way of each is told in their order. 2 write units for
    /// each item of a KB, and 2 for the entry.
    pub(crate) async fn transact_audited(
        &self,
        mut writes: Vec<TransactWriteItem>,
        entry: &AuditEntry,
    ) -> Result<Transacted, StoreError> {
        writes.push(self.audit_write(entry)?);
        self.with_retries(|| async {
            let transacted = self.transact(writes.clone()).await?;
            let Transacted::Refused(obstacles) = &transacted else { return Ok(transacted) };
            match obstacles.last() {
                // The entry is there: an earlier attempt of these very changes, whose response was lost, has made them all.
                Some(Obstacle::Condition(_)) => Ok(Transacted::Committed),
                // Nobody else writes the entry: it is such an attempt that is under way.
                Some(Obstacle::Conflict) => Err(StoreError::Contention { operation: "TransactWriteItems" }),
                _ => Ok(transacted),
            }
        })
        .await
    }

    /// The noting of a change, as a part of the transaction that makes it.
    pub(crate) fn audit_write(&self, entry: &AuditEntry) -> Result<TransactWriteItem, StoreError> {
        put(&self.table, audit_item(entry), Some("attribute_not_exists(#pk)"))
    }

    /// Notes what was done in many writes of their own, before or after them. 2 write units for a KB.
    pub async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.with_retries(|| async {
            match self.transact(vec![self.audit_write(entry)?]).await? {
                Transacted::Committed | Transacted::Refused(_) => Ok(()),
            }
        })
        .await
    }

    /// The entries from `since` on, the youngest first, `limit` at most. Half a read unit for 4 KB of them, and for each
    /// month.
    pub async fn audit_trail(
        &self,
        since: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.audit_trail_of(since, now, limit, |_| true).await
    }

    /// The same, but only the entries that are `wanted`. All from `since` on are read until there are enough.
    pub async fn audit_trail_of(
        &self,
        since: Timestamp,
        now: Timestamp,
        limit: usize,
        wanted: impl Fn(&AuditEntry) -> bool,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let mut entries = Vec::new();
        let (first, mut month) = (month_of(since), month_of(now));
        // The first page may be enough; what is looked for longer is read in large ones.
        let mut page_max = limit.clamp(1, PAGE_MAX);
        while month >= first && entries.len() < limit {
            self.read_month(&month, since, [limit, page_max], &wanted, &mut entries).await?;
            page_max = PAGE_MAX;
            let Some(previous) = month_before(&month) else { break };
            month = previous;
        }
        Ok(entries)
    }

    async fn read_month(
        &self,
        month: &str,
        since: Timestamp,
        [limit, mut page_max]: [usize; 2],
        wanted: impl Fn(&AuditEntry) -> bool,
        entries: &mut Vec<AuditEntry>,
    ) -> Result<(), StoreError> {
        let mut from: Option<Item> = None;
        loop {
            let page = self
                .with_retries(|| async {
                    self.client
                        .query()
                        .table_name(&self.table)
                        .key_condition_expression("#pk = :pk AND #sk >= :since")
                        .expression_attribute_names("#pk", PK)
                        .expression_attribute_names("#sk", SK)
                        .expression_attribute_values(":pk", text(audit_pk(month)))
                        .expression_attribute_values(":since", text(since.to_microseconds_text()))
                        .scan_index_forward(false)
                        .limit(i32::try_from(page_max).unwrap_or(i32::MAX))
                        .set_exclusive_start_key(from.clone())
                        .send()
                        .await
                        .map_err(|error| StoreError::from_sdk("Query", &error))
                })
                .await?;
            for item in page.items() {
                let entry = read_audit(item)?;
                if wanted(&entry) && entries.len() < limit {
                    entries.push(entry);
                }
            }
            (from, page_max) = (page.last_evaluated_key, PAGE_MAX);
            if from.is_none() || entries.len() >= limit {
                return Ok(());
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_go_back_over_the_years() {
        assert_eq!(month_before("2026-11").as_deref(), Some("2026-10"));
        assert_eq!(month_before("2026-01").as_deref(), Some("2025-12"));
        assert_eq!(month_before("0000-01"), None);
    }
}
