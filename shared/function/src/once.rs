use std::time::Duration;

use keypool_domain::requests::Repeatable;
use keypool_domain::{
    Assignment, AttemptId, Generator, LicenseKey, LicenseKeyRecord, Owner, ProductId, RequestId,
};
use keypool_store::{Creation, RequestSlot, RequestState, Sale, SaleOutcome};

use crate::{FunctionError, Invocation, SignedReply};

/// The time that the response to a queued order is kept: for the days of its delivery, and for
/// an operator to have it delivered again.
const ORDER_KEPT_FOR: Duration = Duration::from_hours(60 * 24);

impl Invocation {
    /// Reads the record of the request. Nothing is read without an `Idempotency-Key`, unless the API key says
    /// that the order's reference stands for it.
    pub async fn recall(&self, request: &impl Repeatable) -> Result<Option<RequestSlot>, FunctionError> {
        let (id, kept_for) = match (&self.order, &self.api_key) {
            (Some(order), _) => (order.id.request_id(), Some(ORDER_KEPT_FOR)),
            (None, Ok(api_key)) => {
                let settings = self.settings();
                let of_order = || settings.once_per_identifier.then(|| request.key_of_order()).flatten();
                let Some(key) = self.idempotency_key.clone().or_else(of_order) else { return Ok(None) };
                (RequestId::new(api_key.hash(), self.endpoint, &key), settings.remember)
            }
            (None, Err(_)) => return Ok(None),
        };
        let slot = self.desk.store().recall(id, request.fingerprint(), kept_for, self.now()).await?;
        Ok(Some(slot))
    }

    /// Begins a creation. Without an `Idempotency-Key` nothing is written.
    pub async fn begin(&self, slot: Option<RequestSlot>) -> Result<Option<Creation>, FunctionError> {
        let Some(slot) = slot else { return Ok(None) };
        Ok(Some(self.desk.store().begin(slot, self.now()).await?))
    }

    /// Saves the response to a creation, if it has a record: `Open` before it is carried out, for other
    /// attempts to take up, and `Done` after it.
    pub async fn save(
        &self,
        creation: Option<&mut Creation>,
        reply: &SignedReply,
        state: RequestState,
    ) -> Result<(), FunctionError> {
        let Some(creation) = creation else { return Ok(()) };
        Ok(self.desk.store().save(creation, reply.envelope(), state, self.now()).await?)
    }

    /// Makes distinct keys by a stored generator.
    pub fn make(&self, generator: &Generator, count: usize) -> Result<Vec<LicenseKey>, FunctionError> {
        let made = generator.make_distinct(count, self.desk.randomness());
        made.map_err(|_| FunctionError::Bug("a stored generator makes invalid keys"))
    }

    /// Prepares an attempt to sell keys of a product to `owner`, now. Nothing is written yet.
    #[must_use]
    pub fn sale(&self, product_id: ProductId, owner: &Owner, slot: Option<RequestSlot>) -> Sale {
        let id = AttemptId::random(self.desk.randomness());
        let assignment = Assignment { id, owner: owner.clone(), at: self.now() };
        Sale::new(product_id, assignment, self.desk.lease(), slot)
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
