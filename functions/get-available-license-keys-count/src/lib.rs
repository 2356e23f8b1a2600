//! `GET` and `POST /api/v1/get-available-license-keys-count`: counts the keys in stock of a product.

use std::sync::Arc;

use keypool_domain::requests::GetAvailableLicenseKeysCount;
use keypool_domain::{Endpoint, Product, Reply};
use keypool_function::{Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply};
use keypool_store::Lookup;
use lambda_http::{Body, Request, Response};

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<Handler>(desk, event).await
}

struct Handler;

impl EndpointHandler for Handler {
    const ENDPOINT: Endpoint = Endpoint::GetAvailableLicenseKeysCount;
    type Request = GetAvailableLicenseKeysCount;
    type ReadAhead = ();

    fn about(request: &GetAvailableLicenseKeysCount) -> Lookup {
        Lookup { product: Some(request.product_id), ..Lookup::default() }
    }

    async fn act(invocation: &Invocation, checked: Checked<Self>) -> Result<SignedReply, FunctionError> {
        let product = checked.found.product.filter(Product::is_active).ok_or(Reply::ProductDoesNotExist)?;
        let count = invocation.desk().count_stock(product.id).await?;
        let reply = Reply::AvailableLicenseKeysCount(count);
        invocation.sign_reply(&reply, product.signing_key_id.as_ref()).await
    }
}
