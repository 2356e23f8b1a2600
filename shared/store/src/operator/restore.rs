//! Operations on a table that was restored: ids must not be given twice.

use keypool_domain::{AuditEntry, Timestamp};

use crate::dynamo::{Write, Written};
use crate::record::{Key, number, number_of};
use crate::{Counter, Store, StoreError};

/// The attribute of a counter that holds the last id given out.
const LAST: &str = "last";

/// DynamoDB's record of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreState {
    /// The time to which the table was restored.
    pub restored_to: Timestamp,
    /// True if the restore is still in progress.
    pub is_in_progress: bool,
}

impl Store {
    /// Reads the restore of the table; `None` if it was not restored. Costs nothing.
    pub async fn restore_state(&self) -> Result<Option<RestoreState>, StoreError> {
        let Some(summary) = self.description().await?.restore_summary else { return Ok(None) };
        let restored_to = Timestamp::from_unix_microseconds(summary.restore_date_time().secs() * 1_000_000);
        Ok(restored_to
            .map(|restored_to| RestoreState { restored_to, is_in_progress: summary.restore_in_progress() }))
    }

    /// The last id that a counter gave out; 0 if it never gave one. 1 read unit.
    pub async fn last_id(&self, counter: Counter) -> Result<u64, StoreError> {
        let Some(item) = self.get(Key::counter(counter.name())).await? else { return Ok(0) };
        number_of(&item, LAST).ok_or(StoreError::Corrupt { record: "counter", attribute: LAST })
    }

    /// Raises a counter to `last` and records it. Returns `false` if the counter has already reached it. The
    /// write compares, so ids that are taken at the same moment are not given again. 4 write units.
    pub async fn raise_counter(
        &self,
        counter: Counter,
        last: u64,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        const IS_LOWER: &str = "(attribute_not_exists(#last) OR #last < :to)";
        let write = Write::update(Key::counter(counter.name()))
            .when(IS_LOWER, [(":to", number(last))])
            .set(LAST, number(last));
        let transacted = self.transact_audited([write], Some(entry)).await?;
        Ok(matches!(transacted, Written::Done))
    }
}
