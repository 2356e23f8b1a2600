use std::future::{Future, ready};
use std::sync::Arc;

use keypool_domain::{Endpoint, Parameters, Reply, ValidationErrors};
use keypool_store::{Found, Lookup, RequestSlot};
use lambda_http::{Body, Request, Response};

use crate::{Desk, FunctionError, Invocation, SignedReply};

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
