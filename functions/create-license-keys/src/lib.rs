//! `POST /api/v1/create-license-keys`: puts keys into stock.

use std::sync::Arc;

use keypool_domain::requests::CreateLicenseKeys;
use keypool_domain::{Endpoint, NewKey, Product, Reply, StockedKey};
use keypool_function::{Answer, Call, Desk, Failure, NextAction, measure};
use keypool_store::{Begun, Lookup};
use lambda_http::{Body, Request, Response};

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    let call = Call::receive(desk, Endpoint::CreateLicenseKeys, event).await;
    call.answer(create(&call)).await
}

async fn create(call: &Call) -> Result<Answer, Failure> {
    let asked = CreateLicenseKeys::try_from(call.parameters()?);
    let product = asked.as_ref().ok().map(|asked| asked.product_id);
    let found = call.authorise(Lookup { product, ..Lookup::default() }).await?;
    let asked = asked.map_err(Reply::IncorrectCreation)?;
    let begun = match call.begin(asked.fingerprint()).await? {
        NextAction::Repeat(answer) => return Ok(answer),
        NextAction::Proceed(begun) => begun,
    };
    let product = found.product.filter(Product::is_active).ok_or(Reply::ProductNotFound)?;
    let signing_key = product.signing_key_id.as_ref();

    let now = call.now();
    let new_keys = asked.new_keys(now, begun.as_ref().map(Begun::creation_id));
    let sent = asked.license_keys.sent();
    let told = |created: usize| Reply::Created { created, duplicate: sent - created };

    // Signed before anything is stored, on the guess that every key is new: when KMS is away, nothing happens.
    let store = call.desk().store();
    let guess = told(new_keys.len());
    let seal = call.seal(&guess, signing_key);
    let ids = async { store.take_row_ids(new_keys.len()).await.map_err(Failure::from) };
    let (answer, ids) = tokio::try_join!(seal, ids)?;

    let stocked = |(key, id): (&NewKey, _)| key.clone().into_stocked(id, now, call.desk().randomness());
    let keys: Vec<StockedKey> = new_keys.iter().zip(ids).map(stocked).collect();
    let counts = store.insert(&keys).await?;
    measure::keys_created(counts.created, sent - counts.created);
    let answer = match counts.duplicates.len() {
        0 => answer,
        _ => call.seal(&told(counts.created), signing_key).await?,
    };
    call.record_answer(begun.as_ref(), &answer).await?;
    Ok(answer)
}
