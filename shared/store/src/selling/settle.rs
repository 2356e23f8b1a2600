use std::time::Duration;

use tokio::time::timeout;

use crate::{Store, StoreError};

/// How long giving keys away may take: to write, and to find out what became of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    write_within: Duration,
    settle_within: Duration,
}

impl Patience {
    /// For a checkout, with a shop that waits for 5 seconds.
    pub(crate) const CHECKOUT: Self =
        Self { write_within: Duration::from_millis(1_800), settle_within: Duration::from_millis(700) };

    /// For whoever has time.
    pub(crate) const LONG: Self =
        Self { write_within: Duration::from_secs(40), settle_within: Duration::from_secs(20) };
}

impl Store {
    /// How long giving keys away takes at most. It must not be begun with less time than that: whoever stops
    /// waiting for it does not learn whose the keys are.
    #[must_use]
    pub fn give_away_within(&self) -> Duration {
        self.patience.write_within + self.patience.settle_within
    }

    /// Waits for `write`. When that ends in an error, or not in time, what it was to write may be there all the
    /// same, or come to be there later: a response, and a request, can get lost on the way. Then `find_out` says
    /// whether it was done (`Some`), or makes sure that it will not be (`None`).
    pub(crate) async fn settled<T>(
        &self,
        write: impl Future<Output = Result<T, StoreError>>,
        find_out: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<T, StoreError> {
        let out_of_time = || StoreError::Unavailable { operation: "write", code: "out of time".to_owned() };
        let error = match timeout(self.patience.write_within, write).await {
            Ok(Ok(outcome)) => return Ok(outcome),
            Ok(Err(error)) => error,
            Err(_) => out_of_time(),
        };
        match timeout(self.patience.settle_within, find_out).await {
            Ok(Ok(Some(outcome))) => Ok(outcome),
            _ => Err(error),
        }
    }
}
