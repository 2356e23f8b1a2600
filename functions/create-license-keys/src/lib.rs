//! `POST /api/v1/create-license-keys`: puts keys into stock.

use std::sync::Arc;

use keypool_domain::requests::CreateLicenseKeys;
use keypool_domain::{Endpoint, LicenseKeyRecord, NewKey, Product, Reply};
use keypool_function::{Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply, measure};
use keypool_store::{Found, Lookup, RequestSlot, RequestState};
use lambda_http::{Body, Request, Response};

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<Handler>(desk, event).await
}

struct Handler;

impl EndpointHandler for Handler {
    const ENDPOINT: Endpoint = Endpoint::CreateLicenseKeys;
    type Request = CreateLicenseKeys;
    type ReadAhead = ();

    fn about(request: &CreateLicenseKeys) -> Lookup {
        Lookup { product: Some(request.product_id), ..Lookup::default() }
    }

    async fn once(
        invocation: &Invocation,
        request: &CreateLicenseKeys,
        _: &Found,
        (): &mut (),
    ) -> Result<Option<RequestSlot>, FunctionError> {
        invocation.recall(request).await
    }

    async fn act(invocation: &Invocation, checked: Checked<Self>) -> Result<SignedReply, FunctionError> {
        create(invocation, checked).await
    }
}

async fn create(invocation: &Invocation, checked: Checked<Handler>) -> Result<SignedReply, FunctionError> {
    let Checked { request, found, slot, .. } = checked;
    let product = found.product.filter(Product::is_active).ok_or(Reply::ProductNotFound)?;
    let signing_key = product.signing_key_id.as_ref();

    let mut creation = invocation.begin(slot).await?;
    let now = invocation.now();
    let new_keys = request.new_keys(now, creation.as_ref().map(|creation| &creation.id));
    let sent = request.license_keys.sent();
    let told = |created: usize| Reply::Created { created, duplicate: sent - created };

    // Signs before it stores anything, on the guess that every key is new. If KMS is unavailable, no key is
    // stored.
    let store = invocation.desk().store();
    let guess = told(new_keys.len());
    let sign_reply = invocation.sign_reply(&guess, signing_key);
    let ids = async { store.take_row_ids(new_keys.len()).await.map_err(FunctionError::from) };
    let (answer, ids) = tokio::try_join!(sign_reply, ids)?;

    let stocked = |(key, id): (&NewKey, _)| key.clone().into_record(id, now, invocation.desk().randomness());
    let keys: Vec<LicenseKeyRecord> = new_keys.iter().zip(ids).map(stocked).collect();
    let counts = store.insert(&keys).await?;
    measure::keys_created(counts.created, sent - counts.created);
    let answer = match counts.duplicates.len() {
        0 => answer,
        _ => invocation.sign_reply(&told(counts.created), signing_key).await?,
    };
    invocation.save(creation.as_mut(), &answer, RequestState::Done).await?;
    Ok(answer)
}
