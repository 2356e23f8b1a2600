//! `POST /api/v1/generate`: makes new keys and puts them into stock.

use std::collections::HashSet;
use std::sync::Arc;

use keypool_domain::requests::Generate;
use keypool_domain::{Endpoint, Generator, LicenseKey, LicenseKeyRecord, NewKey, Product, Reply};
use keypool_function::{Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply, measure};
use keypool_store::{Creation, Found, Lookup, RequestSlot, RequestState};
use lambda_http::{Body, Request, Response};

/// The most rounds of one request. Each round after the first replaces keys that already exist, which is
/// rare.
const ROUNDS_MAX: usize = 4;

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<Handler>(desk, event).await
}

struct Handler;

impl EndpointHandler for Handler {
    const ENDPOINT: Endpoint = Endpoint::Generate;
    type Request = Generate;
    type ReadAhead = ();

    fn about(request: &Generate) -> Lookup {
        Lookup { generator: Some(request.generator_id), ..Lookup::default() }
    }

    fn keys(request: &Generate) -> usize {
        usize::from(request.quantity.get())
    }

    async fn once(
        invocation: &Invocation,
        request: &Generate,
        _: &Found,
        (): &mut (),
    ) -> Result<Option<RequestSlot>, FunctionError> {
        invocation.recall(request).await
    }

    async fn act(invocation: &Invocation, checked: Checked<Self>) -> Result<SignedReply, FunctionError> {
        generate(invocation, checked).await
    }
}

async fn generate(invocation: &Invocation, checked: Checked<Handler>) -> Result<SignedReply, FunctionError> {
    let Checked { request, found, slot, .. } = checked;
    let generator = found.generator.filter(Generator::is_active).ok_or(Reply::GeneratorNotFound)?;
    let about = Lookup { product: Some(generator.product_id), ..Lookup::default() };
    let product = invocation.look_up(about).await?.product;
    let product = product.filter(Product::is_active).ok_or(Reply::ProductNotFound)?;

    let mut creation = invocation.begin(slot).await?;
    let (mut noted, mut keys) = match noted(creation.as_ref())? {
        Some((answer, keys)) => {
            invocation.skip_count();
            (Some(answer), keys)
        }
        None => (None, invocation.make(&generator, usize::from(request.quantity.get()))?),
    };
    let mut to_store = keys.clone();
    let creation_id = creation.as_ref().map(|creation| creation.id.clone());
    for _ in 0..ROUNDS_MAX {
        // Signs before it stores keys: if KMS is unavailable, no key is stored. The request record keeps the
        // response, so that a later attempt stores these keys and no others.
        let earlier = noted.take();
        let is_noted = earlier.is_some();
        let sign = async {
            if let Some(answer) = earlier {
                return Ok(answer);
            }
            let reply = Reply::Generated(keys.clone());
            let sign = invocation.sign_reply(&reply, product.signing_key_id.as_ref());
            Ok(tokio::try_join!(sign, invocation.count_keys())?.0)
        };
        let store = invocation.desk().store();
        let ids = async { store.take_row_ids(to_store.len()).await.map_err(FunctionError::from) };
        let (answer, ids) = tokio::try_join!(sign, ids)?;
        if !is_noted {
            invocation.save(creation.as_mut(), &answer, RequestState::Open).await?;
        }
        let now = invocation.now();
        let stocked = |(key, id): (LicenseKey, _)| {
            let new = NewKey::in_stock(&generator, key).created_by(creation_id.as_ref());
            new.into_record(id, now, invocation.desk().randomness())
        };
        let stored: Vec<LicenseKeyRecord> = to_store.into_iter().zip(ids).map(stocked).collect();
        let counts = store.insert(&stored).await?;
        measure::keys_generated(counts.created);
        if counts.duplicates.is_empty() {
            invocation.save(creation.as_mut(), &answer, RequestState::Done).await?;
            return Ok(answer);
        }
        let duplicates: HashSet<LicenseKey> = counts.duplicates.into_iter().collect();
        to_store = invocation.make(&generator, duplicates.len())?;
        keys.retain(|key| !duplicates.contains(key));
        keys.extend(to_store.iter().cloned());
    }
    Err(FunctionError::Contention)
}

/// Reads the response that an earlier attempt saved, with its keys. That attempt may have stored some of
/// them.
fn noted(creation: Option<&Creation>) -> Result<Option<(SignedReply, Vec<LicenseKey>)>, FunctionError> {
    let Some(envelope) = creation.and_then(|creation| creation.noted.as_ref()) else { return Ok(None) };
    let (_, keys) = envelope.read().map_err(|_| FunctionError::Bug("the saved response is not a reply"))?;
    Ok(Some((SignedReply::remembered(envelope.clone())?, keys)))
}
