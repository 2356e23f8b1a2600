//! The count of the keys that an API key with a limit has handed out.

use keypool_domain::{HourlyCount, Timestamp};

use super::{EXPIRES_AT, Item, Reader, Writer};
use crate::StoreError;

/// The time that a count is kept after its latest minute: the days whose greatest hour it holds, and one
/// more.
const KEPT_FOR_SECONDS: i64 = 8 * 24 * 60 * 60;

/// The attributes of a count that begins a minute at `now`.
pub(crate) fn hourly_count_attributes(count: &HourlyCount, now: Timestamp) -> Item {
    Writer::default()
        .number("minute", count.minute)
        .number("sum", count.sum)
        .words("earlier", &count.earlier)
        .words("peaks", &count.peaks)
        .number(EXPIRES_AT, now.unix_seconds() + KEPT_FOR_SECONDS)
        .0
}

/// Reads a count.
pub(crate) fn read_hourly_count(item: &Item) -> Result<HourlyCount, StoreError> {
    let reader = Reader { item, record: "limit" };
    Ok(HourlyCount {
        minute: reader.number("minute")?,
        sum: reader.number("sum")?,
        earlier: reader.words("earlier")?,
        peaks: reader.words("peaks")?,
    })
}
