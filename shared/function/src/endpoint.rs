use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use keypool_domain::requests::Repeatable;
use keypool_domain::{
    Assignment, AttemptId, Endpoint, Generator, LicenseKey, LicenseKeyRecord, Owner, Parameters, ProductId,
    Reply, RequestId, ValidationErrors,
};
use keypool_store::{Creation, Found, Lookup, RequestSlot, RequestState, Sale, SaleOutcome};
use lambda_http::{Body, Request, Response};

use crate::{Desk, FunctionError, Invocation, SignedReply};

/// The time that the response to a queued order is kept: for the days of its delivery, and for
/// an operator to have it delivered again.
const ORDER_KEPT_FOR: Duration = Duration::from_hours(60 * 24);

/// The part of a function that is its own. [`answer`] does the rest, in the one order of checks.
pub trait EndpointHandler {
    /// The endpoint it answers for.
    const ENDPOINT: Endpoint;

    /// Its parameters, once they are valid.
    type Request: for<'a> TryFrom<&'a Parameters, Error = ValidationErrors> + Send + Sync;

    /// The records that it reads beside the checks; `()` if none.
    type ReadAhead: Default + Send;

    /// The product or generator that the request is about. One read fetches it together with the API key.
    fn about(request: &Self::Request) -> Lookup;

    /// The reply to parameters that are not valid.
    fn incorrect(errors: ValidationErrors) -> Reply;

    /// Reads beside the authorisation, so that a cold environment waits once and not twice. It must not
    /// write: the API key is not checked yet.
    #[must_use]
    fn read_cold(_: &Invocation, _: &Self::Request) -> impl Future<Output = Self::ReadAhead> + Send {
        ready(Self::ReadAhead::default())
    }

    /// Looks a request up that may be a repetition, and may read into `ahead` beside that. Fails with
    /// [`StoreError::Recorded`](keypool_store::StoreError::Recorded) if it is one.
    fn once(
        invocation: &Invocation,
        request: &Self::Request,
        found: &Found,
        ahead: &mut Self::ReadAhead,
    ) -> impl Future<Output = Result<Option<RequestSlot>, FunctionError>> + Send;

    /// Does what was asked for. Every check but those of the product, the generator and the stock has passed.
    fn act(
        invocation: &Invocation,
        checked: Checked<Self>,
    ) -> impl Future<Output = Result<SignedReply, FunctionError>> + Send;
}

/// A request that has passed the checks, with what they found.
pub struct Checked<E: EndpointHandler + ?Sized> {
    /// The parameters.
    pub request: E::Request,
    /// The records of [`EndpointHandler::about`] that exist.
    pub found: Found,
    /// The record of the request, if it has an `Idempotency-Key`.
    pub slot: Option<RequestSlot>,
    /// The records that were read beside the checks.
    pub ahead: E::ReadAhead,
}

/// Answers one event.
pub async fn answer<E: EndpointHandler>(desk: Arc<Desk>, event: Request) -> Response<Body> {
    let invocation = Invocation::receive(desk, E::ENDPOINT, event).await;
    invocation.respond(check_and_act::<E>(&invocation)).await
}

/// Checks in the order that the API promises: a readable body, the API key, the parameters, the
/// `Idempotency-Key`. The parameters are parsed first, because one read fetches the API key and what they
/// name. But only a valid API key learns what is wrong with them.
async fn check_and_act<E: EndpointHandler>(invocation: &Invocation) -> Result<SignedReply, FunctionError> {
    let request = E::Request::try_from(invocation.parameters()?);
    let (found, mut ahead) = match &request {
        Ok(request) => {
            let authorise = invocation.authorise(E::about(request));
            let read_cold = async { Ok(E::read_cold(invocation, request).await) };
            tokio::try_join!(authorise, read_cold)?
        }
        Err(_) => (invocation.authorise(Lookup::default()).await?, E::ReadAhead::default()),
    };
    let request = request.map_err(E::incorrect)?;
    let slot = E::once(invocation, &request, &found, &mut ahead).await?;
    E::act(invocation, Checked { request, found, slot, ahead }).await
}

/// The steps that handlers share.
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
