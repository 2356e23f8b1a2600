use tokio::time::timeout;

use crate::{Store, StoreError};

impl Store {
    /// Waits for `write`. When that ends in an error, or not in time, what it was to write may be there all the
    /// same, or come to be there later: a response, and a request, can get lost on the way. Then `find_out` says
    /// whether it was done (`Some`), or makes sure that it will not be (`None`).
    pub(crate) async fn settled<T>(
        &self,
        write: impl Future<Output = Result<T, StoreError>>,
        find_out: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<T, StoreError> {
        let out_of_time = || StoreError::Unavailable { operation: "write", code: "out of time".to_owned() };
        let error = match timeout(self.timeouts.write_within, write).await {
            Ok(Ok(outcome)) => return Ok(outcome),
            Ok(Err(error)) => error,
            Err(_) => out_of_time(),
        };
        match timeout(self.timeouts.resolve_within, find_out).await {
            Ok(Ok(Some(outcome))) => Ok(outcome),
            _ => Err(error),
        }
    }
}
