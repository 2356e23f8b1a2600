//! `POST /api/v1/random-assign-license-keys`: gives a number of keys, drawn at random, to an owner, all or
//! none.
//!
//! This file draws keys while the checks run, and falls back to a generator if the stock is short. `sell`
//! sells.

mod sell;

use std::collections::HashSet;
use std::sync::Arc;

use keypool_domain::requests::{RandomAssignLicenseKeys, Repeatable, ReplaceLicenseKey};
use keypool_domain::{ApiKeyRecord, Endpoint, Generator, LicenseKeyRecord, Product, Quantity, Reply};
use keypool_function::{
    Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply, Window, measure,
};
use keypool_store::{Drawn, Found, Look, Lookup, RequestSlot};
use lambda_http::{Body, Request, Response};

use crate::sell::Order;

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<Handler>(desk, event).await
}

struct Handler;

/// Keys that were drawn before the order is filled.
#[derive(Debug, Default)]
pub struct Ahead {
    /// A draw that ran beside other reads.
    pub drawn: Option<Drawn>,
    /// Keys that an earlier draw of this environment has left.
    pub window: Option<Window>,
}

impl EndpointHandler for Handler {
    const ENDPOINT: Endpoint = Endpoint::RandomAssignLicenseKeys;
    type Request = RandomAssignLicenseKeys;
    type ReadAhead = Ahead;

    fn about(request: &RandomAssignLicenseKeys) -> Lookup {
        Lookup { product: Some(request.product_id), ..Lookup::default() }
    }

    fn keys(request: &RandomAssignLicenseKeys) -> usize {
        quantity(request)
    }

    async fn read_cold(invocation: &Invocation, request: &RandomAssignLicenseKeys) -> Ahead {
        if invocation.desk().remembers_product(request.product_id) {
            return Ahead::default();
        }
        // Leaves an error to the draw that follows. On the heap, because cold environments are rare.
        let drawn = Box::pin(draw(invocation, request, Look::Once)).await.ok();
        Ahead { drawn: drawn.filter(|drawn| drawn.candidates.len() >= quantity(request)), window: None }
    }

    /// Draws keys while it reads the request record, unless the environment already has keys.
    async fn once(
        invocation: &Invocation,
        request: &RandomAssignLicenseKeys,
        found: &Found,
        ahead: &mut Ahead,
    ) -> Result<Option<RequestSlot>, FunctionError> {
        if ahead.drawn.is_none() {
            ahead.window = invocation.desk().take_window(request.product_id, quantity(request));
        }
        let recall = invocation.recall(request);
        let product = found.product.as_ref().filter(|product| product.is_active());
        let Some(product) = product.filter(|_| ahead.drawn.is_none() && ahead.window.is_none()) else {
            return recall.await;
        };
        let (slot, drawn) = tokio::join!(recall, draw(invocation, request, look(request, product)));
        let slot = slot?;
        ahead.drawn = Some(drawn?);
        Ok(slot)
    }

    async fn act(invocation: &Invocation, checked: Checked<Self>) -> Result<SignedReply, FunctionError> {
        random_assign(invocation, checked).await
    }
}

fn quantity(request: &RandomAssignLicenseKeys) -> usize {
    usize::from(request.quantity.get())
}

/// A product whose keys are generated when sold needs no second look at its stock.
fn look(request: &RandomAssignLicenseKeys, product: &Product) -> Look {
    if request.generate && product.generator_id.is_some() { Look::Once } else { Look::Twice }
}

async fn draw(
    invocation: &Invocation,
    request: &RandomAssignLicenseKeys,
    look: Look,
) -> Result<Drawn, FunctionError> {
    let store = invocation.desk().store();
    Ok(store.draw(request.product_id, quantity(request), &HashSet::new(), look).await?)
}

async fn random_assign(
    invocation: &Invocation,
    checked: Checked<Handler>,
) -> Result<SignedReply, FunctionError> {
    let Checked { request, found, slot, ahead } = checked;
    let product = found.product.filter(Product::is_active).ok_or(Reply::ProductNotFound)?;
    let refusal = match fill(invocation, &request, &product, slot, ahead, None).await? {
        Filled::Sold(reply) => return Ok(reply),
        Filled::TooFew(refusal) => refusal,
    };
    if let Reply::InsufficientLicenseKeys { .. } = refusal {
        measure::out_of_stock();
    }
    invocation.sign_reply(&refusal, product.signing_key_id.as_ref()).await
}

/// The result of an order.
#[derive(Debug)]
pub enum Filled {
    /// Its keys are the owner's.
    Sold(SignedReply),
    /// The stock is too small. Carries the refusal: the number of keys available to this order, or the lack
    /// of an active generator.
    TooFew(Reply),
}

/// The sold key that an order of one key replaces.
#[derive(Debug)]
pub struct Replaced<'a> {
    /// The request.
    pub request: &'a ReplaceLicenseKey,
    /// The API key that sends it.
    pub api_key: &'a ApiKeyRecord,
    /// The key as it was read.
    pub seen: LicenseKeyRecord,
}

/// Fills an order from the stock. If the request allows it and the stock is too small, generates the keys
/// instead. `in_front` is the number of keys that earlier queued orders wait for; `None` to read it.
pub async fn fill(
    invocation: &Invocation,
    request: &RandomAssignLicenseKeys,
    product: &Product,
    slot: Option<RequestSlot>,
    Ahead { drawn, window }: Ahead,
    in_front: Option<usize>,
) -> Result<Filled, FunctionError> {
    let (generator, replaced) = (None, None);
    let order = Order { invocation, asked: request, product, generator, slot, window, in_front, replaced };
    fill_order(order, drawn, request).await
}

/// Replaces a sold key of a product: fills an order of one key for the same owner under the same order
/// reference, and blocks the sold key in the same write. Fails with contention if the sold key has changed.
pub async fn replace(
    invocation: &Invocation,
    replaced: &Replaced<'_>,
    product: &Product,
    slot: Option<RequestSlot>,
) -> Result<Filled, FunctionError> {
    let order = RandomAssignLicenseKeys {
        product_id: product.id,
        quantity: Quantity::MIN,
        generate: replaced.request.generate,
        owner: replaced.seen.owner.clone(),
        identifier: None,
    };
    let mut window = invocation.desk().take_window(product.id, 1);
    if let Some(window) = &mut window {
        // An old draw may show the sold key in stock. DynamoDB refuses two writes of one key in a transaction.
        window.keys.retain(|key| key.license_key != replaced.seen.license_key);
    }
    let (generator, in_front) = (None, None);
    let asked = Order {
        invocation,
        asked: &order,
        product,
        generator,
        slot,
        window,
        in_front,
        replaced: Some(replaced),
    };
    fill_order(asked, None, replaced.request).await
}

async fn fill_order(
    mut order: Order<'_>,
    drawn: Option<Drawn>,
    request: &(impl Repeatable + Sync),
) -> Result<Filled, FunctionError> {
    let (invocation, product) = (order.invocation, order.product);
    let filled = order.sell(drawn).await?;
    if let Filled::Sold(_) = filled {
        return Ok(filled);
    }
    // An earlier attempt at this request may have bought the last keys since its record was read.
    Box::pin(invocation.recall(request)).await?;
    if !order.asked.generate {
        return Ok(filled);
    }
    let about = Lookup { generator: product.generator_id, ..Lookup::default() };
    let generator = invocation.desk().look_up(about).await?.generator.filter(Generator::is_active);
    let Some(generator) = &generator else { return Ok(Filled::TooFew(Reply::GeneratorNotFound)) };
    let mut order = Order { generator: Some(generator), ..order };
    Box::pin(order.sell(None)).await
}
