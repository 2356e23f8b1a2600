//! `POST /api/v1/create-license-keys`: puts keys into stock.

use std::sync::Arc;

use keypool_domain::requests::CreateLicenseKeys;
use keypool_domain::{Endpoint, NewKey, Product, Reply, StockedKey};
use keypool_function::{Desk, FunctionError, Invocation, NextAction, SignedReply, measure};
use keypool_store::{Begun, Lookup};
use lambda_http::{Body, Request, Response};

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    let invocation = Invocation::receive(desk, Endpoint::CreateLicenseKeys, event).await;
    invocation.answer(create(&invocation)).await
}

async fn create(invocation: &Invocation) -> Result<SignedReply, FunctionError> {
    let asked = CreateLicenseKeys::try_from(invocation.parameters()?);
    let product = asked.as_ref().ok().map(|asked| asked.product_id);
    let found = invocation.authorise(Lookup { product, ..Lookup::default() }).await?;
    let asked = asked.map_err(Reply::IncorrectCreation)?;
    let begun = match invocation.begin(asked.fingerprint()).await? {
        NextAction::Repeat(answer) => return Ok(answer),
        NextAction::Proceed(begun) => begun,
    };
    let product = found.product.filter(Product::is_active).ok_or(Reply::ProductNotFound)?;
    let signing_key = product.signing_key_id.as_ref();

    let now = invocation.now();
    let new_keys = asked.new_keys(now, begun.as_ref().map(Begun::creation_id));
    let sent = asked.license_keys.sent();
    let told = |created: usize| Reply::Created { created, duplicate: sent - created };

    // Signed before anything is stored, on the guess that every key is new: when KMS is away, nothing happens.
    let store = invocation.desk().store();
    let guess = told(new_keys.len());
    let sign_reply = invocation.sign_reply(&guess, signing_key);
    let ids = async { store.take_row_ids(new_keys.len()).await.map_err(FunctionError::from) };
    let (answer, ids) = tokio::try_join!(sign_reply, ids)?;

    let stocked = |(key, id): (&NewKey, _)| key.clone().into_stocked(id, now, invocation.desk().randomness());
    let keys: Vec<StockedKey> = new_keys.iter().zip(ids).map(stocked).collect();
    let counts = store.insert(&keys).await?;
    measure::keys_created(counts.created, sent - counts.created);
    let answer = match counts.duplicates.len() {
        0 => answer,
        _ => invocation.sign_reply(&told(counts.created), signing_key).await?,
    };
    invocation.record_answer(begun.as_ref(), &answer).await?;
    Ok(answer)
}
