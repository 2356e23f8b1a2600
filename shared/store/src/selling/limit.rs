//! The limit of an API key: the most keys that it hands out in any 60 minutes.
//!
//! One item for each API key has the count. Within a minute, a count is one conditional `ADD`, which does not
//! depend on the other minutes. The first count of a minute replaces the item, if it is as it was seen, and
//! leaves out the minutes that are too old.

use std::time::Duration;

use keypool_domain::{ApiKeyHash, HourlyCount, KeysPerHour, Timestamp};

use crate::dynamo::{IS_NEW, Obstacle, Write, Written, contention};
use crate::record::{Key, hourly_count_attributes, number, read_hourly_count};
use crate::{Store, StoreError};

/// The most writes of one count. Each refused one returns the item as it is. So more than three mean that a
/// minute has begun in between, again and again.
const WRITES_MAX: usize = 8;

/// The result of counting keys. Carries the count as far as it is known: other environments may have counted
/// more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CountOutcome {
    /// The keys are counted.
    Counted(Option<HourlyCount>),
    /// They would exceed the limit, and are not counted.
    Reached {
        /// The count.
        count: HourlyCount,
        /// The time until they may be within the limit.
        retry_after: Duration,
    },
}

/// The state of the item as a count has seen it.
enum Seen {
    /// It was not read.
    Unread,
    /// There is none.
    Absent,
    Count(HourlyCount),
}

impl Store {
    /// Counts keys that an API key is about to hand out, if they are within its limit. `known` is the count
    /// that the environment has seen last. It saves writes, and can only refuse.
    ///
    /// Usually takes one write of 1 unit. The first count of a minute may take up to three. If `known` shows
    /// that the limit is reached, there is no write. If a response gets lost, the keys may be counted twice.
    pub async fn count_keys(
        &self,
        api_key: ApiKeyHash,
        keys: u64,
        limit: KeysPerHour,
        known: Option<HourlyCount>,
        now: Timestamp,
    ) -> Result<CountOutcome, StoreError> {
        let mut seen = known.map_or(Seen::Unread, Seen::Count);
        for _ in 0..WRITES_MAX {
            let (before, is_new) = match &seen {
                Seen::Unread => (HourlyCount::none(now), false),
                Seen::Absent => (HourlyCount::none(now), true),
                Seen::Count(count) => (count.clone(), false),
            };
            let present = before.at(now);
            if let Err(retry_after) = present.admit(keys, limit, now) {
                return Ok(CountOutcome::Reached { count: present, retry_after });
            }
            let minute = number(present.minute);
            let after = present.with(keys);
            let write = Write::update(Key::limit(api_key));
            let write = if is_new {
                write.when(IS_NEW, []).with(hourly_count_attributes(&after, now))
            } else if after.minute == before.minute {
                let room = u64::from(limit.get()).saturating_sub(keys);
                write
                    .when(
                        "#minute = :minute AND #sum <= :room",
                        [(":minute", minute), (":room", number(room))],
                    )
                    .add("sum", number(keys))
            } else {
                let seen = [(":minute", number(before.minute)), (":sum", number(before.sum))];
                write
                    .when("#minute = :minute AND #sum = :sum", seen)
                    .with(hourly_count_attributes(&after, now))
            };
            match self.write([write]).await? {
                Written::Done if matches!(seen, Seen::Unread) => return Ok(CountOutcome::Counted(None)),
                Written::Done => return Ok(CountOutcome::Counted(Some(after))),
                Written::Refused(obstacles) => {
                    let item = obstacles.first().and_then(Obstacle::item);
                    seen = item.map(read_hourly_count).transpose()?.map_or(Seen::Absent, Seen::Count);
                }
            }
        }
        Err(contention("UpdateItem"))
    }

    /// Reads the count of an API key, with every earlier write. 1 read unit.
    pub async fn hourly_count(&self, api_key: ApiKeyHash) -> Result<Option<HourlyCount>, StoreError> {
        let item = self.get(Key::limit(api_key)).await?;
        item.as_ref().map(read_hourly_count).transpose()
    }
}
