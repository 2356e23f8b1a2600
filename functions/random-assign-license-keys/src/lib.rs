//! `POST /api/v1/random-assign-license-keys`: gives a number of keys, drawn at random, to an owner, all or none.
//!
//! `act` checks the request, and falls back to a generator where the stock is short; `sell` sells.

mod sell;

use std::collections::HashSet;
use std::sync::Arc;

use keypool_domain::requests::RandomAssignLicenseKeys;
use keypool_domain::{Endpoint, Generator, Product, Reply};
use keypool_function::{Desk, FunctionError, Invocation, NextAction, SignedReply, measure};
use keypool_store::{Drawn, Found, Look, Lookup};
use lambda_http::{Body, Request, Response};

use crate::sell::{Order, Outcome, Source};

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    let invocation = Invocation::receive(desk, Endpoint::RandomAssignLicenseKeys, event).await;
    invocation.answer(random_assign(&invocation)).await
}

/// Authorizes the request. Where the product has yet to be read, its stock is drawn from beside that, so that a cold
/// environment waits for one read and not for two.
async fn authorise(
    invocation: &Invocation,
    asked: Option<&RandomAssignLicenseKeys>,
) -> Result<(Found, Option<Drawn>), FunctionError> {
    let product = asked.map(|asked| asked.product_id);
    let authorise = invocation.authorise(Lookup { product, ..Lookup::default() });
    match asked.filter(|asked| !invocation.desk().remembers_product(asked.product_id)) {
        Some(asked) => {
            // On the heap: cold environments are rare.
            tokio::try_join!(authorise, Box::pin(draw_cold(invocation, asked)))
        }
        None => Ok((authorise.await?, None)),
    }
}

/// Draws for a request that is not authorized yet. An error is left to the draw that follows.
async fn draw_cold(
    invocation: &Invocation,
    asked: &RandomAssignLicenseKeys,
) -> Result<Option<Drawn>, FunctionError> {
    Ok(draw(invocation, asked, Look::Once).await.ok())
}

async fn draw(
    invocation: &Invocation,
    asked: &RandomAssignLicenseKeys,
    look: Look,
) -> Result<Drawn, FunctionError> {
    let quantity = usize::from(asked.quantity.get());
    Ok(invocation.desk().store().draw(asked.product_id, quantity, &HashSet::new(), look).await?)
}

async fn draw_if_wanted(
    invocation: &Invocation,
    asked: Option<&RandomAssignLicenseKeys>,
    look: Look,
) -> Option<Result<Drawn, FunctionError>> {
    Some(draw(invocation, asked?, look).await)
}

async fn random_assign(invocation: &Invocation) -> Result<SignedReply, FunctionError> {
    let asked = RandomAssignLicenseKeys::try_from(invocation.parameters()?);
    let (found, drawn) = authorise(invocation, asked.as_ref().ok()).await?;
    let asked = asked.map_err(Reply::IncorrectAssignment)?;
    let product = found.product.filter(Product::is_active);

    // A product whose keys are made when they are sold needs no second look at its stock.
    let makes_keys = asked.generate && product.as_ref().is_some_and(|product| product.generator_id.is_some());
    let look = if makes_keys { Look::Once } else { Look::Twice };
    let quantity = usize::from(asked.quantity.get());
    let drawn = drawn.filter(|drawn| makes_keys || drawn.candidates.len() >= quantity);
    let window = match drawn {
        None => invocation.desk().take_window(asked.product_id, quantity),
        Some(_) => None,
    };
    let has_keys = drawn.is_some() || window.is_some();
    let to_draw = product.as_ref().filter(|_| !has_keys).map(|_| &asked);
    let (recalled, drawn_now) =
        tokio::join!(invocation.recall(asked.fingerprint()), draw_if_wanted(invocation, to_draw, look));
    let drawn = drawn.map(Ok).or(drawn_now);
    let slot = match recalled? {
        NextAction::Repeat(answer) => return Ok(answer),
        NextAction::Proceed(slot) => slot,
    };
    let product = product.ok_or(Reply::ProductNotFound)?;
    let mut order = Order { invocation, asked: &asked, product: &product, slot, window };
    let available = match order.sell(Source::Stock(look), drawn.transpose()?).await? {
        Outcome::Sold(answer) => return Ok(answer),
        Outcome::TooFew { available } => available,
    };
    // An earlier attempt at this request may have bought the last keys since its record was read.
    if let NextAction::Repeat(answer) = Box::pin(invocation.recall(asked.fingerprint())).await? {
        return Ok(answer);
    }
    if !asked.generate {
        measure::out_of_stock();
        return order.sign(&Reply::InsufficientLicenseKeys { available_quantity: available }).await;
    }
    let about = Lookup { generator: product.generator_id, ..Lookup::default() };
    let generator = invocation.desk().look_up(about).await?.generator.filter(Generator::is_active);
    let Some(generator) = generator else { return order.sign(&Reply::GeneratorNotFound).await };
    match Box::pin(order.sell(Source::Generator(&generator), None)).await? {
        Outcome::Sold(answer) => Ok(answer),
        Outcome::TooFew { .. } => Err(FunctionError::Bug("a generator makes as many keys as asked for")),
    }
}
