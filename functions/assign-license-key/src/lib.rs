//! `POST /api/v1/assign-license-key`: gives one named key to an owner.

use std::sync::Arc;

use keypool_domain::requests::AssignLicenseKey;
use keypool_domain::{Assignment, AssignmentId, Endpoint, Product, Reply, Status};
use keypool_function::{Desk, FunctionError, Invocation, NextAction, SignedReply, measure};
use keypool_store::{Backoff, Lookup, Origin, Sale, SaleOutcome};
use lambda_http::{Body, Request, Response};

/// How often a key is tried for that somebody else keeps changing without selling it.
const ATTEMPTS_MAX: usize = 8;

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    let invocation = Invocation::receive(desk, Endpoint::AssignLicenseKey, event).await;
    invocation.answer(assign(&invocation)).await
}

async fn assign(invocation: &Invocation) -> Result<SignedReply, FunctionError> {
    let asked = AssignLicenseKey::try_from(invocation.parameters()?);
    invocation.authorise(Lookup::default()).await?;
    let asked = asked.map_err(Reply::IncorrectAssignment)?;

    let store = invocation.desk().store();
    let recall = invocation.recall(asked.fingerprint());
    let read = async { Ok(store.license_key(&asked.license_key).await?) };
    let (recalled, mut key) = tokio::try_join!(recall, read)?;
    let slot = match recalled {
        NextAction::Repeat(answer) => return Ok(answer),
        NextAction::Proceed(slot) => slot,
    };
    let mut backoff = Backoff::new();
    for _ in 0..ATTEMPTS_MAX {
        // Nobody learns from the response whether a key is unknown, sold or of an inactive product: it has the same words
        // and the same signature.
        let Some(seen) = key.filter(|key| key.status == Status::Available) else {
            // An earlier attempt at this request may have bought the key since its record was read.
            return match invocation.recall(asked.fingerprint()).await? {
                NextAction::Repeat(answer) => Ok(answer),
                NextAction::Proceed(_) => Err(Reply::InvalidLicenseKey.into()),
            };
        };
        let about = Lookup { product: Some(seen.product_id), ..Lookup::default() };
        let product = invocation.desk().look_up(about).await?.product.filter(Product::is_active);
        let product = product.ok_or(Reply::InvalidLicenseKey)?;
        let assignment = Assignment {
            id: AssignmentId::random(invocation.desk().randomness()),
            owner: asked.owner.clone(),
            at: invocation.now(),
        };
        let sale = Sale::new(product.id, Origin::Stock, assignment, invocation.desk().lease(), slot.clone());
        let answer =
            invocation.sign_reply(&Reply::LicenseKeyAssigned, product.signing_key_id.as_ref()).await?;
        match invocation.finish(&sale, &[seen], &answer).await? {
            SaleOutcome::Done => {
                measure::keys_assigned(1);
                return Ok(answer);
            }
            SaleOutcome::Recorded(recorded) => return invocation.repeat(recorded),
            SaleOutcome::Missed { changed, .. } if changed.is_empty() => {
                return Err(Reply::InvalidLicenseKey.into());
            }
            SaleOutcome::Missed { .. } => {
                measure::contention_retry();
                tokio::time::sleep(backoff.next_wait(invocation.desk().randomness())).await;
                key = store.license_key(&asked.license_key).await?;
            }
        }
    }
    Err(FunctionError::Contention)
}
