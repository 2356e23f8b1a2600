//! The audit trail: who changed what by the command. Each entry is written in the same transaction as the change it tells of.

use aws_sdk_dynamodb::types::TransactWriteItem;
use keypool_domain::{AuditEntry, Timestamp};

use crate::change::{Change, Changed};
use crate::record::{Item, PK, SK, audit_item, audit_pk, month_of, read_audit, text};
use crate::transact::{Transacted, put};
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
        let transacted = self
            .with_retries(|| async {
                let writes = vec![change.clone().into_write(&self.table)?, self.audit_write(entry)?];
                self.transact(writes).await
            })
            .await?;
        Ok(match transacted {
            Transacted::Committed => Changed::Done,
            Transacted::Refused(obstacles) => match obstacles.as_slice() {
                // The entry is there: an earlier attempt of this very change, whose response was lost, has made both.
                [_, of_entry] if of_entry.is_there() => Changed::Done,
                [of_change, ..] => Changed::Refused(of_change.item().cloned()),
                [] => Changed::Refused(None),
            },
        })
    }

    /// The noting of a change, as a part of the transaction that makes it.
    pub(crate) fn audit_write(&self, entry: &AuditEntry) -> Result<TransactWriteItem, StoreError> {
        put(&self.table, audit_item(entry), Some("attribute_not_exists(#pk)"))
    }

    /// Notes what was done in many writes of their own, before or after them. 1 write unit for a KB.
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
        let mut entries = Vec::new();
        let (first, mut month) = (month_of(since), month_of(now));
        while month >= first && entries.len() < limit {
            self.read_month(&month, since, limit, &mut entries).await?;
            let Some(previous) = month_before(&month) else { break };
            month = previous;
        }
        Ok(entries)
    }

    async fn read_month(
        &self,
        month: &str,
        since: Timestamp,
        limit: usize,
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
                        .limit(i32::try_from((limit - entries.len()).min(PAGE_MAX)).unwrap_or(i32::MAX))
                        .set_exclusive_start_key(from.clone())
                        .send()
                        .await
                        .map_err(|error| StoreError::from_sdk("Query", &error))
                })
                .await?;
            for item in page.items() {
                entries.push(read_audit(item)?);
            }
            from = page.last_evaluated_key;
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
