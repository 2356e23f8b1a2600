//! `POST /api/v1/update-license-key`: changes the owner, limits or status of one key.

use std::sync::Arc;

use keypool_domain::requests::UpdateLicenseKey;
use keypool_domain::{Endpoint, KeyUpdateRefusal, LicenseKeyRecord, Reply};
use keypool_function::{Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply, measure};
use keypool_store::{Backoff, Found, Lookup, RequestSlot, UpdateOutcome};
use lambda_http::{Body, Request, Response};

/// The number of attempts at a key that others keep changing.
const ATTEMPTS_MAX: usize = 8;

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<Handler>(desk, event).await
}

struct Handler;

impl EndpointHandler for Handler {
    const ENDPOINT: Endpoint = Endpoint::UpdateLicenseKey;
    type Request = UpdateLicenseKey;
    type ReadAhead = Option<LicenseKeyRecord>;

    fn about(_: &UpdateLicenseKey) -> Lookup {
        Lookup::default()
    }

    async fn once(
        invocation: &Invocation,
        request: &UpdateLicenseKey,
        _: &Found,
        key: &mut Option<LicenseKeyRecord>,
    ) -> Result<Option<RequestSlot>, FunctionError> {
        let (slot, read) = invocation.recall_and_read(request, &request.license_key).await?;
        *key = read;
        Ok(slot)
    }

    async fn act(invocation: &Invocation, checked: Checked<Self>) -> Result<SignedReply, FunctionError> {
        update(invocation, checked).await
    }
}

async fn update(invocation: &Invocation, checked: Checked<Handler>) -> Result<SignedReply, FunctionError> {
    let Checked { request, found, slot, ahead: mut key } = checked;
    let api_key = found.api_key.ok_or(FunctionError::Bug("the checked API key was not read"))?;
    let (desk, mut backoff) = (invocation.desk(), Backoff::new());
    for _ in 0..ATTEMPTS_MAX {
        let seen = key.ok_or(Reply::LicenseKeyNotFound)?;
        let about = Lookup { product: Some(seen.product_id), ..Lookup::default() };
        let product = invocation.look_up(about).await?.product.ok_or(Reply::LicenseKeyNotFound)?;
        let next =
            seen.updated(&request, invocation.now(), desk.randomness()).map_err(|refusal| match refusal {
                KeyUpdateRefusal::Incorrect(errors) => {
                    Reply::incorrect(Endpoint::UpdateLicenseKey, errors).into()
                }
                KeyUpdateRefusal::HeldByOrder => FunctionError::KeyHeld,
            })?;
        let reply = invocation.sign_reply(&Reply::LicenseKeyUpdated, product.signing_key_id.as_ref()).await?;
        let entry = invocation.audit_entry(&api_key, "keys.update", [&seen, &next], None);
        let outcome = invocation.update_key([&seen, &next], &entry, slot.as_ref(), &reply).await?;
        if outcome == UpdateOutcome::Updated {
            return Ok(reply);
        }
        measure::contention_retry();
        backoff.wait(desk.randomness()).await;
        key = invocation.license_key(&request.license_key).await?;
    }
    Err(FunctionError::Contention)
}
