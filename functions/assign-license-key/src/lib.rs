//! `POST /api/v1/assign-license-key`: gives one named key to an owner.

use std::sync::Arc;

use keypool_domain::requests::AssignLicenseKey;
use keypool_domain::{Assignment, AssignmentId, Endpoint, Reply, Status};
use keypool_function::{Desk, FunctionError, Invocation, NextAction, SignedReply, measure};
use keypool_store::{AssignOutcome, Backoff, Lookup};
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
    let claim = match invocation.next_action(asked.fingerprint()).await? {
        NextAction::Repeat(answer) => return Ok(answer),
        NextAction::Proceed(claim) => claim,
    };

    let store = invocation.desk().store();
    let mut backoff = Backoff::new();
    for _ in 0..ATTEMPTS_MAX {
        // Whether a key is unknown or sold is nobody's business who does not have it: both are told in the
        // same words, signed by the same key.
        let key = store.license_key(&asked.license_key).await?.filter(|key| key.status == Status::Available);
        let key = key.ok_or(Reply::InvalidLicenseKey)?;
        let about = Lookup { product: Some(key.product_id), ..Lookup::default() };
        let signing_key =
            invocation.desk().look_up(about).await?.product.and_then(|product| product.signing_key_id);
        let assignment = Assignment {
            id: AssignmentId::random(invocation.desk().randomness()),
            owner: asked.owner.clone(),
            at: invocation.now(),
        };
        let answer = invocation.sign_reply(&Reply::LicenseKeyAssigned, signing_key.as_ref()).await?;
        invocation.check_time_to_give_away()?;
        invocation.note_sale([&key]);
        match store.assign(&[key], &assignment, answer.recording(claim.as_ref())).await? {
            AssignOutcome::Assigned => {
                measure::keys_assigned(1);
                return Ok(answer);
            }
            AssignOutcome::Superseded => return Err(FunctionError::InFlight),
            AssignOutcome::Missed { changed, .. } if changed.is_empty() => {
                return Err(Reply::InvalidLicenseKey.into());
            }
            AssignOutcome::Missed { .. } => {
                invocation.note_sale([]);
                measure::contention_retry();
                tokio::time::sleep(backoff.next_wait(invocation.desk().randomness())).await;
            }
        }
    }
    Err(FunctionError::Contention)
}
