//! `POST /api/v1/replace-license-key`: blocks a sold key and gives its owner another one of the same product.

use std::sync::Arc;

use keypool_domain::requests::ReplaceLicenseKey;
use keypool_domain::{Endpoint, LicenseKeyRecord, Product, Reply, Status};
use keypool_function::{Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply, measure};
use keypool_store::{Backoff, Found, Lookup, RequestSlot};
use lambda_http::{Body, Request, Response};
use random_assign_license_keys::{Filled, Replaced, replace};

/// The number of attempts at a key that others keep changing.
const ATTEMPTS_MAX: usize = 8;

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<Handler>(desk, event).await
}

struct Handler;

impl EndpointHandler for Handler {
    const ENDPOINT: Endpoint = Endpoint::ReplaceLicenseKey;
    type Request = ReplaceLicenseKey;
    type ReadAhead = Option<LicenseKeyRecord>;

    fn about(_: &ReplaceLicenseKey) -> Lookup {
        Lookup::default()
    }

    fn keys(_: &ReplaceLicenseKey) -> usize {
        1
    }

    async fn once(
        invocation: &Invocation,
        request: &ReplaceLicenseKey,
        _: &Found,
        key: &mut Option<LicenseKeyRecord>,
    ) -> Result<Option<RequestSlot>, FunctionError> {
        let (slot, read) = invocation.recall_and_read(request, &request.license_key).await?;
        *key = read;
        Ok(slot)
    }

    async fn act(invocation: &Invocation, checked: Checked<Self>) -> Result<SignedReply, FunctionError> {
        replace_key(invocation, checked).await
    }
}

async fn replace_key(
    invocation: &Invocation,
    checked: Checked<Handler>,
) -> Result<SignedReply, FunctionError> {
    let Checked { request, found, slot, ahead: mut key } = checked;
    let api_key = found.api_key.ok_or(FunctionError::Bug("the checked API key was not read"))?;
    let mut backoff = Backoff::new();
    for _ in 0..ATTEMPTS_MAX {
        // A key that is unknown, not assigned or replaced before gets the same answer.
        let is_replaceable =
            |key: &LicenseKeyRecord| key.status == Status::Assigned && key.replaced_by.is_none();
        let Some(seen) = key.filter(is_replaceable) else {
            // An earlier attempt at this request may have replaced the key since its record was read.
            invocation.recall(&request).await?;
            return Err(Reply::LicenseKeyCannotBeReplaced.into());
        };
        let about = Lookup { product: Some(seen.product_id), ..Lookup::default() };
        let product = invocation.look_up(about).await?.product.filter(Product::is_active);
        let product = product.ok_or(Reply::LicenseKeyCannotBeReplaced)?;
        let replaced = Replaced { request: &request, api_key: &api_key, seen };
        match replace(invocation, &replaced, &product, slot.clone()).await {
            Ok(Filled::Sold(reply)) => return Ok(reply),
            Ok(Filled::TooFew(refusal)) => {
                if let Reply::InsufficientLicenseKeys { .. } = refusal {
                    measure::out_of_stock();
                }
                return invocation.sign_reply(&refusal, product.signing_key_id.as_ref()).await;
            }
            Err(error) if error.is_contention() && !invocation.time_left().is_zero() => {
                measure::contention_retry();
                backoff.wait(invocation.desk().randomness()).await;
                key = invocation.license_key(&request.license_key).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Err(FunctionError::Contention)
}
