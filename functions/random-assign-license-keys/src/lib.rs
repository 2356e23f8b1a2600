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
use keypool_domain::{Endpoint, Fingerprint, Product, Reply, ValidationErrors};
use keypool_function::{Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply, measure};
use keypool_store::{Drawn, Lookup};
use lambda_http::{Body, Request, Response};

use crate::sale::{Outcome, Sale};

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<RandomAssignHandler>(desk, event).await
}

struct RandomAssignHandler;

impl EndpointHandler for RandomAssignHandler {
    const ENDPOINT: Endpoint = Endpoint::RandomAssignLicenseKeys;
    type Request = RandomAssignLicenseKeys;
    type ReadAhead = Option<Drawn>;

    fn about(request: &RandomAssignLicenseKeys) -> Lookup {
        Lookup { product: Some(request.product_id), ..Lookup::default() }
    }

    fn fingerprint(request: &RandomAssignLicenseKeys) -> Fingerprint {
        request.fingerprint()
    }

    fn incorrect(errors: ValidationErrors) -> Reply {
        Reply::IncorrectAssignment(errors)
    }

    /// Looks at the stock of a product that has yet to be read.
    async fn read_ahead(invocation: &Invocation, request: &RandomAssignLicenseKeys) -> Option<Drawn> {
        let (desk, store) = (invocation.desk(), invocation.desk().store());
        let quantity = usize::from(request.quantity.get());
        if desk.remembers_product(request.product_id) || quantity > store.transaction_keys_max() {
            return None;
        }
        // On the heap: cold environments are rare. An error is left to the draw that comes after.
        Box::pin(store.draw_at_first_look(request.product_id, quantity)).await.unwrap_or_default()
    }

    async fn act(
        invocation: &Invocation,
        checked: Checked<RandomAssignLicenseKeys, Option<Drawn>>,
    ) -> Result<SignedReply, FunctionError> {
        random_assign(invocation, checked).await
    }
}

async fn random_assign(
    invocation: &Invocation,
    checked: Checked<RandomAssignLicenseKeys, Option<Drawn>>,
) -> Result<SignedReply, FunctionError> {
    let Checked { request: asked, found, claim, read_ahead: drawn_ahead } = checked;
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
