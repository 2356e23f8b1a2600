//! `POST /api/v1/assign-license-key`: gives one named key to an owner.

use std::sync::Arc;

use keypool_domain::requests::AssignLicenseKey;
use keypool_domain::{Assignment, AssignmentId, Endpoint, Fingerprint, Reply, Status, ValidationErrors};
use keypool_function::{Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply, measure};
use keypool_store::{AssignOutcome, Backoff, Lookup};
use lambda_http::{Body, Request, Response};

/// How often a key is tried for that somebody else keeps changing without selling it.
const ATTEMPTS_MAX: usize = 8;

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<AssignHandler>(desk, event).await
}

struct AssignHandler;

impl EndpointHandler for AssignHandler {
    const ENDPOINT: Endpoint = Endpoint::AssignLicenseKey;
    type Request = AssignLicenseKey;
    type ReadAhead = ();

    /// The key says only later which product it is of.
    fn about(_: &AssignLicenseKey) -> Lookup {
        Lookup::default()
    }

    fn fingerprint(request: &AssignLicenseKey) -> Fingerprint {
        request.fingerprint()
    }

    fn incorrect(errors: ValidationErrors) -> Reply {
        Reply::IncorrectAssignment(errors)
    }

    async fn act(
        invocation: &Invocation,
        checked: Checked<AssignLicenseKey>,
    ) -> Result<SignedReply, FunctionError> {
        assign(invocation, checked).await
    }
}

async fn assign(
    invocation: &Invocation,
    checked: Checked<AssignLicenseKey>,
) -> Result<SignedReply, FunctionError> {
    let Checked { request, claim, .. } = checked;
    let store = invocation.desk().store();
    let mut backoff = Backoff::new();
    for _ in 0..ATTEMPTS_MAX {
        // Whether a key is unknown or sold is nobody's business who does not have it: both are told in the
        // same words, signed by the same key.
        let key =
            store.license_key(&request.license_key).await?.filter(|key| key.status == Status::Available);
        let key = key.ok_or(Reply::InvalidLicenseKey)?;
        let about = Lookup { product: Some(key.product_id), ..Lookup::default() };
        let signing_key =
            invocation.desk().look_up(about).await?.product.and_then(|product| product.signing_key_id);
        let assignment = Assignment {
            id: AssignmentId::random(invocation.desk().randomness()),
            owner: request.owner.clone(),
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
