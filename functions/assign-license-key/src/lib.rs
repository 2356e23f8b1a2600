//! `POST /api/v1/assign-license-key`: gives one named key to an owner.

use std::sync::Arc;

use keypool_domain::requests::AssignLicenseKey;
use keypool_domain::{Endpoint, LicenseKeyRecord, Product, Reply, Status};
use keypool_function::{Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply, measure};
use keypool_store::{Backoff, Found, Lookup, RequestSlot, SaleOutcome};
use lambda_http::{Body, Request, Response};

/// The number of attempts at a key that others keep changing without selling it.
const ATTEMPTS_MAX: usize = 8;

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<Handler>(desk, event).await
}

struct Handler;

impl EndpointHandler for Handler {
    const ENDPOINT: Endpoint = Endpoint::AssignLicenseKey;
    type Request = AssignLicenseKey;
    type ReadAhead = Option<LicenseKeyRecord>;

    fn about(_: &AssignLicenseKey) -> Lookup {
        Lookup::default()
    }

    fn keys(_: &AssignLicenseKey) -> usize {
        1
    }

    async fn once(
        invocation: &Invocation,
        request: &AssignLicenseKey,
        _: &Found,
        key: &mut Option<LicenseKeyRecord>,
    ) -> Result<Option<RequestSlot>, FunctionError> {
        let (slot, read) = invocation.recall_and_read(request, &request.license_key).await?;
        *key = read;
        Ok(slot)
    }

    async fn act(invocation: &Invocation, checked: Checked<Self>) -> Result<SignedReply, FunctionError> {
        assign(invocation, checked).await
    }
}

async fn assign(invocation: &Invocation, checked: Checked<Handler>) -> Result<SignedReply, FunctionError> {
    let Checked { request, slot, ahead: mut key, .. } = checked;
    let mut backoff = Backoff::new();
    for _ in 0..ATTEMPTS_MAX {
        // The response is the same for a key that is unknown, sold or of an inactive product, so callers
        // learn nothing from it.
        let Some(seen) = key.filter(|key| key.status == Status::Available) else {
            // An earlier attempt at this request may have bought the key since its record was read.
            invocation.recall(&request).await?;
            return Err(Reply::InvalidLicenseKey.into());
        };
        let about = Lookup { product: Some(seen.product_id), ..Lookup::default() };
        let product = invocation.look_up(about).await?.product.filter(Product::is_active);
        let product = product.ok_or(Reply::InvalidLicenseKey)?;
        let assignment = invocation.assignment(request.owner.clone(), request.identifier.as_ref());
        let sale = invocation.sale(product.id, assignment, slot.clone());
        let sign = invocation.sign_reply(&Reply::LicenseKeyAssigned, product.signing_key_id.as_ref());
        let (answer, ()) = tokio::try_join!(sign, invocation.count_keys())?;
        match invocation.finish(&sale, &[seen], &answer).await? {
            SaleOutcome::Done => {
                measure::keys_assigned(1);
                return Ok(answer);
            }
            SaleOutcome::Missed(_) => {
                measure::contention_retry();
                backoff.wait(invocation.desk().randomness()).await;
                key = invocation.license_key(&request.license_key).await?;
            }
        }
    }
    Err(FunctionError::Contention)
}
