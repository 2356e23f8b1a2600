//! `POST /api/v1/random-assign-license-keys`: gives a number of keys, drawn at random, to an owner, all or none.
//!
//! Up to what one transaction holds, they are given away by one write (`stock`, `fresh`); more by an order with a
//! record of its own (`large`).

mod fresh;
mod large;
mod sale;
mod stock;

use std::sync::Arc;

use keypool_domain::requests::RandomAssignLicenseKeys;
use keypool_domain::{Endpoint, Product, Reply};
use keypool_function::{Desk, FunctionError, Invocation, NextAction, SignedReply, measure};
use keypool_store::{Drawn, Found, Lookup};
use lambda_http::{Body, Request, Response};

use crate::sale::{Outcome, Sale};

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    let invocation = Invocation::receive(desk, Endpoint::RandomAssignLicenseKeys, event).await;
    invocation.answer(random_assign(&invocation)).await
}

/// Authorizes the request. Where the product has yet to be read, its stock is looked at beside that, so that a cold
/// environment waits for one read and not for two.
async fn authorise(
    invocation: &Invocation,
    asked: Option<&RandomAssignLicenseKeys>,
) -> Result<(Found, Option<Drawn>), FunctionError> {
    let (desk, store) = (invocation.desk(), invocation.desk().store());
    let product = asked.map(|asked| asked.product_id);
    let authorise = invocation.authorise(Lookup { product, ..Lookup::default() });
    let cold = asked.filter(|asked| !desk.remembers_product(asked.product_id));
    let quantity = |asked: &RandomAssignLicenseKeys| usize::from(asked.quantity.get());
    match cold.filter(|asked| quantity(asked) <= store.transaction_keys_max()) {
        Some(asked) => {
            // An error is left to the draw that comes after.
            let look = store.draw_at_first_look(asked.product_id, quantity(asked));
            // On the heap: cold environments are rare.
            let look = Box::pin(async { Ok(look.await.unwrap_or_default()) });
            tokio::try_join!(authorise, look)
        }
        None => Ok((authorise.await?, None)),
    }
}

async fn random_assign(invocation: &Invocation) -> Result<SignedReply, FunctionError> {
    let asked = RandomAssignLicenseKeys::try_from(invocation.parameters()?);
    let (found, drawn_ahead) = authorise(invocation, asked.as_ref().ok()).await?;
    let asked = asked.map_err(Reply::IncorrectAssignment)?;
    let claim = match invocation.next_action(asked.fingerprint()).await? {
        NextAction::Repeat(answer) => return Ok(answer),
        NextAction::Proceed(claim) => claim,
    };
    let product = found.product.filter(Product::is_active).ok_or(Reply::ProductNotFound)?;

    let sale = Sale { invocation, asked, product, claim };
    // On the heap: large orders are rare, and so is their future's size.
    let outcome = if sale.is_large() {
        Box::pin(large::from_stock(&sale)).await?
    } else {
        stock::assign(&sale, drawn_ahead).await?
    };
    match outcome {
        Outcome::Assigned(answer) => Ok(answer),
        Outcome::TooFew { available } => {
            measure::stock_remaining(sale.product.id, available);
            if sale.asked.generate {
                return Box::pin(fresh::assign(&sale)).await;
            }
            measure::out_of_stock();
            sale.sign_reply(&Reply::InsufficientLicenseKeys { available_quantity: available }).await
        }
    }
}
