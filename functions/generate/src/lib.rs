//! `POST /api/v1/generate`: makes new keys and puts them into stock.

use std::collections::HashSet;
use std::sync::Arc;

use keypool_domain::requests::Generate;
use keypool_domain::{Endpoint, Generator, LicenseKey, NewKey, Product, Reply};
use keypool_http::{Answer, Call, Desk, Failure, measure};
use keypool_store::Lookup;
use lambda_http::{Body, Request, Response};

/// How often keys that exist already are made anew. At 2^40 possible keys or more once is rare.
const ROUNDS_MAX: usize = 4;

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    let call = Call::receive(desk, Endpoint::Generate, event).await;
    call.answer(generate(&call)).await
}

async fn generate(call: &Call) -> Result<Answer, Failure> {
    let asked = Generate::try_from(call.parameters()?);
    let generator = asked.as_ref().ok().map(|asked| asked.generator_id);
    let found = call.authorise(Lookup { generator, ..Lookup::default() }).await?;
    let asked = asked.map_err(Reply::IncorrectGeneration)?;
    let generator = found.generator.filter(Generator::is_active).ok_or(Reply::GeneratorNotFound)?;
    let about = Lookup { product: Some(generator.product_id), ..Lookup::default() };
    let product = call.desk().look_up(about).await?.product;
    let product = product.filter(Product::is_active).ok_or(Reply::ProductNotFound)?;

    let quantity = usize::from(asked.quantity.get());
    let mut keys = make(call, &generator, quantity)?;
    let mut to_store = keys.clone();
    for _ in 0..ROUNDS_MAX {
        // Signed before anything is stored: when KMS is away, nothing happens.
        let reply = Reply::Generated(keys.clone());
        let seal = call.seal(&reply, product.signing_key_id.as_ref());
        let store = call.desk().store();
        let ids = async { store.take_row_ids(to_store.len()).await.map_err(Failure::from) };
        let (answer, ids) = tokio::try_join!(seal, ids)?;
        let now = call.now();
        let stocked = |(key, id): (LicenseKey, _)| {
            NewKey::in_stock(&generator, key).into_stocked(id, now, call.desk().randomness())
        };
        let counts = store.insert(to_store.into_iter().zip(ids).map(stocked).collect()).await?;
        measure::keys_generated(counts.created);
        if counts.duplicates.is_empty() {
            return Ok(answer);
        }
        let duplicates: HashSet<LicenseKey> = counts.duplicates.into_iter().collect();
        to_store = make(call, &generator, duplicates.len())?;
        keys.retain(|key| !duplicates.contains(key));
        keys.extend(to_store.iter().cloned());
    }
    Err(Failure::Contention)
}

fn make(call: &Call, generator: &Generator, count: usize) -> Result<Vec<LicenseKey>, Failure> {
    let made = generator.make_distinct(count, call.desk().randomness());
    made.map_err(|_| Failure::Bug("a stored generator makes invalid keys"))
}
