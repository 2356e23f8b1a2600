use std::future::{Future, ready};
use std::sync::Arc;

use keypool_domain::{Endpoint, Fingerprint, Parameters, Reply, ValidationErrors};
use keypool_store::{Claim, Found, Lookup};
use lambda_http::{Body, Request, Response};

use crate::once::NextAction;
use crate::{Desk, FunctionError, Invocation, SignedReply};

/// The part of a function that is its own. [`answer`] does the rest, in the one order of checks.
pub trait EndpointHandler {
    /// The endpoint it answers for.
    const ENDPOINT: Endpoint;

    /// Its parameters, once they are valid.
    type Request: for<'a> TryFrom<&'a Parameters, Error = ValidationErrors> + Send + Sync;

    /// What it reads beside the authorisation; `()` if nothing.
    type ReadAhead: Default + Send;

    /// The product or generator that the request is about. One read fetches it together with the API key.
    fn about(request: &Self::Request) -> Lookup;

    /// The request as a hash, by which a repetition is recognised.
    fn fingerprint(request: &Self::Request) -> Fingerprint;

    /// The reply to parameters that are not valid.
    fn incorrect(errors: ValidationErrors) -> Reply;

    /// Reads beside the authorisation, so that a cold environment waits once and not twice. It must not write: the API
    /// key is not checked yet.
    #[must_use]
    fn read_ahead(_: &Invocation, _: &Self::Request) -> impl Future<Output = Self::ReadAhead> + Send {
        ready(Self::ReadAhead::default())
    }

    /// Does what was asked for. Every check but those of the product, the generator and the stock has passed.
    fn act(
        invocation: &Invocation,
        checked: Checked<Self::Request, Self::ReadAhead>,
    ) -> impl Future<Output = Result<SignedReply, FunctionError>> + Send;
}

/// A request that has passed the checks, with what they found.
#[derive(Debug)]
pub struct Checked<R, A = ()> {
    /// The parameters.
    pub request: R,
    /// What there is of the things that [`EndpointHandler::about`] named.
    pub found: Found,
    /// The claim under which it is done, if it has an `Idempotency-Key`.
    pub claim: Option<Claim>,
    /// What [`EndpointHandler::read_ahead`] read.
    pub read_ahead: A,
}

/// Answers one event.
pub async fn answer<E: EndpointHandler>(desk: Arc<Desk>, event: Request) -> Response<Body> {
    let invocation = Invocation::receive(desk, E::ENDPOINT, event).await;
    invocation.respond(check_and_act::<E>(&invocation)).await
}

/// Checks in the order that the API promises: a readable body, the API key, the parameters, the `Idempotency-Key`. The
/// parameters are parsed first, because the API key and what they name come by one read. But only a valid API key learns
/// what is wrong with them.
async fn check_and_act<E: EndpointHandler>(invocation: &Invocation) -> Result<SignedReply, FunctionError> {
    let request = E::Request::try_from(invocation.parameters()?);
    let (found, read_ahead) = match &request {
        Ok(request) => {
            let authorise = invocation.authorise(E::about(request));
            let read_ahead = async { Ok(E::read_ahead(invocation, request).await) };
            tokio::try_join!(authorise, read_ahead)?
        }
        Err(_) => (invocation.authorise(Lookup::default()).await?, E::ReadAhead::default()),
    };
    let request = request.map_err(E::incorrect)?;
    match invocation.next_action(E::fingerprint(&request)).await? {
        NextAction::Repeat(answer) => Ok(answer),
        NextAction::Proceed(claim) => E::act(invocation, Checked { request, found, claim, read_ahead }).await,
    }
}
