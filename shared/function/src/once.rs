use std::time::Duration;

use keypool_domain::requests::Repeatable;
use keypool_domain::{LicenseKeyRecord, RequestId};
use keypool_store::{Creation, Recalled, Recorded, RequestSlot, RequestState, Sale, SaleOutcome};

use crate::{FunctionError, Invocation, SignedReply, measure};

/// The time that the response to a queued order is kept: for the days of its delivery, and for
/// an operator to have it delivered again.
const ORDER_KEPT_FOR: Duration = Duration::from_hours(60 * 24);

/// The next step of a request that may be a repetition.
#[derive(Debug)]
pub enum NextAction<T> {
    /// Do it. Carries what the request needs to be remembered, if it has an `Idempotency-Key`.
    Proceed(Option<T>),
    /// Give the response that it got before.
    Repeat(SignedReply),
}

impl Invocation {
    /// Reads the record of the request. Nothing is read without an `Idempotency-Key`, unless the API key says
    /// that the order's reference stands for it.
    pub async fn recall(&self, request: &impl Repeatable) -> Result<NextAction<RequestSlot>, FunctionError> {
        let (settings, fingerprint) = (self.settings(), request.fingerprint());
        let (id, kept_for) = match (&self.order, &self.api_key) {
            (Some(order), _) => (order.id.request_id(), Some(ORDER_KEPT_FOR)),
            (None, Ok(api_key)) => {
                let of_order = || settings.once_per_identifier.then(|| request.key_of_order()).flatten();
                let Some(key) = self.idempotency_key.clone().or_else(of_order) else {
                    return Ok(NextAction::Proceed(None));
                };
                (RequestId::new(api_key.hash(), self.endpoint, &key), settings.remember)
            }
            (None, Err(_)) => return Ok(NextAction::Proceed(None)),
        };
        self.next(self.desk.store().recall(id, fingerprint, kept_for, self.now()).await?)
    }

    /// Begins a creation. Without an `Idempotency-Key` nothing is written.
    pub async fn begin(&self, slot: Option<RequestSlot>) -> Result<NextAction<Creation>, FunctionError> {
        match slot {
            Some(slot) => self.next(self.desk.store().begin(slot, self.now()).await?),
            None => Ok(NextAction::Proceed(None)),
        }
    }

    fn next<T>(&self, recalled: Recalled<T>) -> Result<NextAction<T>, FunctionError> {
        match recalled {
            Recalled::New(found) => Ok(NextAction::Proceed(Some(found))),
            Recalled::Recorded(recorded) => self.repeat(recorded).map(NextAction::Repeat),
        }
    }

    /// The response to a request of which another attempt has left a record.
    pub fn repeat(&self, recorded: Recorded) -> Result<SignedReply, FunctionError> {
        match recorded {
            Recorded::Answered(envelope) => {
                measure::repeated();
                // The first response may have been lost before it was logged.
                let row_ids = envelope.row_ids();
                let row_ids = row_ids.map_err(|_| FunctionError::Bug("what is remembered is no reply"))?;
                self.note_row_ids(row_ids);
                SignedReply::remembered(envelope)
            }
            Recorded::InProgress => Err(FunctionError::InFlight),
            Recorded::Mismatch => Err(FunctionError::Mismatch),
            Recorded::Void => Err(FunctionError::Contention),
        }
    }

    /// Saves the response to a creation, if it has a record: `Open` before it is carried out, for other
    /// attempts to take up, and `Done` after it. Returns the response of another attempt if that was quicker.
    pub async fn save(
        &self,
        creation: Option<&mut Creation>,
        reply: &SignedReply,
        state: RequestState,
    ) -> Result<Option<SignedReply>, FunctionError> {
        let Some(creation) = creation else { return Ok(None) };
        let recorded = self.desk.store().save(creation, reply.envelope(), state, self.now()).await?;
        recorded.map(|recorded| self.repeat(recorded)).transpose()
    }

    /// Sells keys: the last write of a sale. It must begin early enough before the deadline. Once it has
    /// begun, the deadline does not cut it off.
    pub async fn finish(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        reply: &SignedReply,
    ) -> Result<SaleOutcome, FunctionError> {
        self.check_time_to_sell()?;
        self.note_row_ids(sale.taken().iter().chain(keys).map(|key| key.id).collect());
        let deadline = self.deadline.instant();
        let finish = self.desk.store().finish(sale, keys, reply.envelope(), self.now(), deadline);
        let outcome = self.uncut(finish).await;
        if let Ok(SaleOutcome::Missed(_)) = outcome {
            self.note_row_ids(Vec::new());
        }
        Ok(outcome?)
    }
}
