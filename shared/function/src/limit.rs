//! The limits of an API key: the keys of one request, and the keys of all its requests in an hour.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use keypool_domain::{ApiKeyHash, HourlyCount, KeysPerHour, Reply};
use keypool_store::CountOutcome;
use tokio::sync::OnceCell;

use crate::{FunctionError, Invocation, SignedReply, measure};

/// The counts of API keys that an environment has seen last. Others may have counted more since, so they
/// prove that a limit is reached, but not that it is not.
#[derive(Debug, Default)]
pub(crate) struct KnownCounts(Mutex<HashMap<ApiKeyHash, HourlyCount>>);

impl KnownCounts {
    fn get(&self, api_key: &ApiKeyHash) -> Option<HourlyCount> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(api_key).cloned()
    }

    /// Keeps a count. Only API keys with a limit have one, so they are few.
    fn keep(&self, api_key: ApiKeyHash, count: HourlyCount) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(api_key, count);
    }
}

/// The keys that a request asks for.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    keys: OnceLock<u64>,
    /// Set once they are counted.
    counted: OnceCell<()>,
}

impl Allowance {
    /// Notes the number of keys that the request would hand out.
    pub(crate) fn set_keys(&self, keys: usize) {
        // A request is parsed once.
        let _ = self.keys.set(u64::try_from(keys).unwrap_or(u64::MAX));
    }
}

impl Invocation {
    /// The API key, its limit, and the keys that count towards it; `None` if nothing is to be counted.
    fn limited(&self) -> Option<(ApiKeyHash, KeysPerHour, u64)> {
        let keys = self.allowance.keys.get().copied().filter(|keys| *keys > 0)?;
        let limit = self.settings().keys_per_hour?;
        Some((self.api_key.as_ref().ok()?.hash(), limit, keys))
    }

    /// Counts the keys of the request towards the limit of its API key, once for all calls. Returns
    /// [`FunctionError::Refused`] with code 104 beyond the limit. Costs nothing without a limit, else one
    /// write.
    ///
    /// A request must be counted before it hands out or promises a key. [`Invocation::finish`] counts, too,
    /// so a sale that forgot it is only slower. A sale that fails afterwards stays counted.
    pub async fn count_keys(&self) -> Result<(), FunctionError> {
        let Some((api_key, limit, keys)) = self.limited() else { return Ok(()) };
        // On the heap: few API keys have a limit.
        let count = Box::pin(async {
            let (known, now) = (self.desk.known_counts().get(&api_key), self.now());
            let counted = self.desk.store().count_keys(api_key, keys, limit, known, now).await?;
            let (count, refusal) = match counted {
                CountOutcome::Counted(count) => (count, None),
                CountOutcome::Reached { count, retry_after } => (Some(count), Some(reached(retry_after))),
            };
            if let Some(count) = count {
                self.desk.known_counts().keep(api_key, count);
            }
            refusal.map_or(Ok(()), Err)
        });
        self.allowance.counted.get_or_try_init(|| count).await.copied()
    }

    /// Marks the keys of the request as counted, because an earlier attempt at it has counted them.
    pub fn skip_count(&self) {
        // They may be counted already.
        let _ = self.allowance.counted.set(());
    }

    /// Refuses a request that is beyond a limit as far as this environment knows, without a call.
    pub(crate) fn check_known_limits(&self) -> Result<(), FunctionError> {
        let keys = self.allowance.keys.get().copied().unwrap_or(0);
        if !self.settings().allows_in_one_order(keys) {
            return Err(reached(HourlyCount::WAIT_OF_TOO_LARGE));
        }
        let Some((api_key, limit, keys)) = self.limited() else { return Ok(()) };
        match self.desk.known_counts().get(&api_key) {
            Some(count) => self.admit(&count, limit, keys),
            None => Ok(()),
        }
    }

    /// Returns the outcome of a request. But a refusal that reveals the stock becomes 104 if the API key is
    /// beyond its limit. For this it reads the count: 1 read unit, and none without a limit or if the keys
    /// are counted.
    pub(crate) async fn limit_refusal(
        &self,
        outcome: Result<SignedReply, FunctionError>,
    ) -> Result<SignedReply, FunctionError> {
        let code = match &outcome {
            Ok(reply) => reply.code(),
            Err(FunctionError::Refused(reply)) => reply.code(),
            Err(_) => return outcome,
        };
        let limited = self.limited().filter(|_| !self.allowance.counted.initialized());
        let Some((api_key, limit, keys)) = limited.filter(|_| Reply::tells_of_stock(code)) else {
            return outcome;
        };
        if let Some(count) = self.desk.store().hourly_count(api_key).await? {
            self.desk.known_counts().keep(api_key, count.clone());
            self.admit(&count, limit, keys)?;
        }
        outcome
    }

    fn admit(&self, count: &HourlyCount, limit: KeysPerHour, keys: u64) -> Result<(), FunctionError> {
        let now = self.now();
        count.at(now).admit(keys, limit, now).map_err(reached)
    }
}

/// The refusal of a request beyond a limit.
fn reached(retry_after: std::time::Duration) -> FunctionError {
    measure::limit_reached();
    Reply::LimitReached { retry_after }.into()
}
