use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use keypool_domain::requests::Repeatable;
use keypool_domain::{
    ApiKey, ApiKeyRecord, Assignment, AuditEntry, AuditId, Endpoint, Generator, KeyOrder, LicenseKey,
    LicenseKeyRecord, OrderReference, Owner, Parameters, Principal, Product, ProductId, Reason, Reply,
    RequestId, ValidationErrors,
};
use keypool_store::{Creation, Found, Lookup, RequestSlot, RequestState, Sale, SaleOutcome, UpdateOutcome};
use lambda_http::{Body, Request, Response};

use crate::{Desk, FunctionError, Invocation, SignedReply};

/// The time that the response to a queued order is kept: for the days of its delivery, and for an operator to
/// have it redelivered.
const ORDER_KEPT_FOR: Duration = Duration::from_hours(60 * 24);

/// The part that is specific to a function. [`answer`] does the rest, in the one order of checks.
pub trait EndpointHandler {
    /// The endpoint it answers for.
    const ENDPOINT: Endpoint;

    /// Its parameters, once they are valid.
    type Request: for<'a> TryFrom<&'a Parameters, Error = ValidationErrors> + Send + Sync;

    /// The records that it reads beside the checks; `()` if none.
    type ReadAhead: Default + Send;

    /// The product or generator that the request is about. One read fetches it together with the API key.
    fn about(request: &Self::Request) -> Lookup;

    /// The number of keys that the request hands out or promises. They count towards the limits of the API
    /// key.
    #[must_use]
    fn keys(_: &Self::Request) -> usize {
        0
    }

    /// Reads during the authorization, so that a cold environment waits once and not twice. It must not
    /// write: the API key is not checked yet.
    #[must_use]
    fn read_cold(_: &Invocation, _: &Self::Request) -> impl Future<Output = Self::ReadAhead> + Send {
        ready(Self::ReadAhead::default())
    }

    /// Looks up a request that may be a repetition, and may read ahead meanwhile. Fails with
    /// [`StoreError::Recorded`](keypool_store::StoreError::Recorded) if it is one. A request that changes
    /// nothing is never one.
    #[must_use]
    fn once(
        _: &Invocation,
        _: &Self::Request,
        _: &Found,
        _: &mut Self::ReadAhead,
    ) -> impl Future<Output = Result<Option<RequestSlot>, FunctionError>> + Send {
        ready(Ok(None))
    }

    /// Carries out the request. All checks have passed but those of the product, the generator, the stock and
    /// the limit: it calls [`Invocation::count_keys`] before it hands out a key.
    fn act(
        invocation: &Invocation,
        checked: Checked<Self>,
    ) -> impl Future<Output = Result<SignedReply, FunctionError>> + Send;
}

/// A request that passed the checks, with the records that they found.
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
/// `Idempotency-Key`, and, if the product or generator exists, the limits of the API key. The parameters are
/// parsed first, because one read fetches the API key and the records that they name. But only a valid API
/// key gets to see their faults.
async fn check_and_act<E: EndpointHandler>(invocation: &Invocation) -> Result<SignedReply, FunctionError> {
    let request = E::Request::try_from(invocation.parameters()?);
    let (found, mut ahead) = match &request {
        Ok(request) => authorise_and_read::<E>(invocation, request).await?,
        Err(_) => (invocation.authorise(Lookup::default()).await?, E::ReadAhead::default()),
    };
    let request = request.map_err(|errors| Reply::incorrect(E::ENDPOINT, errors))?;
    invocation.allowance.set_keys(E::keys(&request));
    let is_limited = exists(E::about(&request), &found);
    // A repetition gets its response, even beyond the limits.
    if is_limited && !invocation.may_be_repetition() {
        invocation.check_known_limits()?;
    }
    let slot = E::once(invocation, &request, &found, &mut ahead).await?;
    // The count of an earlier attempt must not stop a later one that continues with its keys.
    if is_limited && !slot.as_ref().is_some_and(RequestSlot::follows_failed_attempt) {
        invocation.check_known_limits()?;
    }
    let outcome = E::act(invocation, Checked { request, found, slot, ahead }).await;
    if is_limited { invocation.limit_refusal(outcome).await } else { outcome }
}

/// The steps that handlers share.
impl Invocation {
    /// Reads the record of the request. Reads nothing without an `Idempotency-Key`, unless the API key
    /// derives one from the order's reference.
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

    /// Reads the record of a request about a license key, and the key, side by side.
    pub async fn recall_and_read(
        &self,
        request: &impl Repeatable,
        license_key: &LicenseKey,
    ) -> Result<(Option<RequestSlot>, Option<LicenseKeyRecord>), FunctionError> {
        let (slot, key) = tokio::join!(self.recall(request), self.license_key(license_key));
        Ok((slot?, key?))
    }

    /// Begins a creation. Writes nothing without an `Idempotency-Key`.
    pub async fn begin(&self, slot: Option<RequestSlot>) -> Result<Option<Creation>, FunctionError> {
        let Some(slot) = slot else { return Ok(None) };
        Ok(Some(self.desk.store().begin(slot, self.now()).await?))
    }

    /// Saves the response to a creation, if it has a record: as `Open` before it is carried out, so that
    /// other attempts can continue it, and as `Done` after it.
    pub async fn save(
        &self,
        creation: Option<&mut Creation>,
        reply: &SignedReply,
        state: RequestState,
    ) -> Result<(), FunctionError> {
        let Some(creation) = creation else { return Ok(()) };
        Ok(self.desk.store().save(creation, reply.envelope(), state, self.now()).await?)
    }

    /// Makes distinct keys with a stored generator.
    pub fn make(&self, generator: &Generator, count: usize) -> Result<Vec<LicenseKey>, FunctionError> {
        let made = generator.make_distinct(count, self.desk.randomness());
        made.map_err(|_| FunctionError::Bug("a stored generator makes invalid keys"))
    }

    /// A new assignment to `owner`, made now, under the order of the request if it has a reference.
    #[must_use]
    pub fn assignment(&self, owner: Owner, reference: Option<&OrderReference>) -> Assignment {
        let sold_by = match &self.order {
            Some(order) => Some(order.api_key),
            None => self.api_key.as_ref().ok().map(ApiKey::hash),
        };
        let order = reference.map(|reference| KeyOrder { reference: reference.clone(), sold_by });
        Assignment::new(owner, self.now(), self.desk.randomness()).under(order)
    }

    /// Prepares an attempt to sell keys of a product. Writes nothing yet.
    #[must_use]
    pub fn sale(&self, product_id: ProductId, assignment: Assignment, slot: Option<RequestSlot>) -> Sale {
        Sale::new(product_id, assignment, self.desk.lease(), slot)
    }

    /// Replaces a key by its next version, as [`Store::update_key`](keypool_store::Store::update_key) does.
    /// The deadline does not cut it off.
    pub async fn update_key(
        &self,
        [seen, next]: [&LicenseKeyRecord; 2],
        entry: &AuditEntry,
        slot: Option<&RequestSlot>,
        reply: &SignedReply,
    ) -> Result<UpdateOutcome, FunctionError> {
        self.check_time_to_sell()?;
        // After a restore of the table, the log shows the keys that have left the stock since.
        if seen.draw.is_some() && next.draw.is_none() {
            self.note_row_ids(vec![next.id]);
        }
        let remembered = slot.map(|slot| (slot, reply.envelope()));
        let update = self.desk.store().update_key([seen, next], entry, remembered, self.now());
        // On the heap, because a transaction is large.
        Ok(self.uncut(Box::pin(update)).await?)
    }

    /// The audit entry of a change of a key by an API key, made now.
    #[must_use]
    pub fn audit_entry(
        &self,
        api_key: &ApiKeyRecord,
        action: &str,
        [before, after]: [&LicenseKeyRecord; 2],
        reason: Option<&Reason>,
    ) -> AuditEntry {
        let mut after_json = after.to_json();
        if let Some(reason) = reason {
            after_json["reason"] = reason.as_str().into();
        }
        AuditEntry {
            id: AuditId::random(self.desk.randomness()),
            at: self.now(),
            principal: Principal::of_api_key(&api_key.name),
            action: action.to_owned(),
            subject: before.license_key.as_str().to_owned(),
            before: Some(before.to_json()),
            after: Some(after_json),
        }
    }

    /// Sells keys by the last write of a sale, after counting those that are not counted yet. The write must
    /// begin early enough before the deadline. Once it has begun, the deadline does not cut it off.
    pub async fn finish(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        reply: &SignedReply,
    ) -> Result<SaleOutcome, FunctionError> {
        self.count_keys().await?;
        self.check_time_to_sell()?;
        self.note_row_ids(sale.taken().iter().chain(keys).map(|key| key.id).collect());
        let deadline = self.deadline.instant();
        let finish = self.desk.store().finish(sale, keys, reply.envelope(), self.now(), deadline);
        let outcome = self.uncut(finish).await;
        if let Ok(SaleOutcome::Missed(_)) = outcome {
            self.note_row_ids(Vec::new());
            // There may be no time for other keys.
            if self.time_left().is_zero() {
                return Err(FunctionError::OutOfTime);
            }
        }
        Ok(outcome?)
    }
}

/// Authorizes the request, and reads meanwhile. Drops the read if the product or generator does not exist for
/// the API key. Otherwise its duration would reveal the stock of a hidden product.
async fn authorise_and_read<E: EndpointHandler>(
    invocation: &Invocation,
    request: &E::Request,
) -> Result<(Found, E::ReadAhead), FunctionError> {
    let about = E::about(request);
    let mut authorise = pin!(invocation.authorise(about));
    let mut read = pin!(E::read_cold(invocation, request));
    tokio::select! {
        biased;
        found = &mut authorise => {
            let found = found?;
            let ahead = if exists(about, &found) { read.await } else { E::ReadAhead::default() };
            Ok((found, ahead))
        }
        ahead = &mut read => Ok((authorise.await?, ahead)),
    }
}

/// Returns true if the product or generator of a request exists and is in use.
fn exists(about: Lookup, found: &Found) -> bool {
    let product = found.product.as_ref().is_some_and(Product::is_active);
    let generator = found.generator.as_ref().is_some_and(Generator::is_active);
    (about.product.is_none() || product) && (about.generator.is_none() || generator)
}
