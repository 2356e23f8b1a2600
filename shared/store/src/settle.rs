use std::time::Duration;

use keypool_domain::StockedKey;
use tokio::time::timeout;

use crate::{Store, StoreError};

/// How long a write that gives keys away may take, its repetitions included.
const WRITE_WITHIN: Duration = Duration::from_millis(1_800);

/// How long it may take to find out what became of it.
const READ_BACK_WITHIN: Duration = Duration::from_millis(700);

impl Store {
    /// How long giving keys away takes at most. It must not be begun with less time than that: whoever stops
    /// waiting for it does not learn whose the keys are.
    pub const GIVE_AWAY_WITHIN: Duration = Duration::from_millis(2_500);

    /// Waits for `write`. When that ends in an error, or not in time, what it was to write may be there all the
    /// same: a response can get lost. Then `key` is read, and if `is_ours`, the write was done.
    pub(crate) async fn settled<T>(
        &self,
        write: impl Future<Output = Result<T, StoreError>>,
        done: T,
        key: &StockedKey,
        is_ours: impl Fn(&StockedKey) -> bool,
    ) -> Result<T, StoreError> {
        let out_of_time = || StoreError::Unavailable { operation: "write", code: "out of time".to_owned() };
        let error = match timeout(WRITE_WITHIN, write).await {
            Ok(Ok(outcome)) => return Ok(outcome),
            Ok(Err(error)) => error,
            Err(_) => out_of_time(),
        };
        match timeout(READ_BACK_WITHIN, self.license_key(&key.license_key)).await {
            Ok(Ok(Some(stored))) if is_ours(&stored) => Ok(done),
            _ => Err(error),
        }
    }
}

const _: () = assert!(
    WRITE_WITHIN.as_millis() + READ_BACK_WITHIN.as_millis() == Store::GIVE_AWAY_WITHIN.as_millis(),
    "the whole is the sum of its parts"
);
