//! `POST /api/v1/random-assign-license-keys-queued`: accepts an order of keys at once. `process-orders` fills
//! it and calls the shop back.

use std::sync::Arc;
use std::time::Duration;

use keypool_domain::requests::RandomAssignLicenseKeysQueued;
use keypool_domain::{
    Delivery, Endpoint, OrderId, OrderState, Product, QueuedOrder, Reply, ValidationErrors,
};
use keypool_function::{Checked, Desk, EndpointHandler, FunctionError, Invocation, SignedReply, measure};
use keypool_store::{Found, Lookup, RequestSlot, StoreError};
use lambda_http::{Body, Request, Response};
use tokio::time::timeout;

/// The time that the response waits for the queue. After that, the sweep sends the message.
const WAKE_WITHIN: Duration = Duration::from_millis(500);

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    keypool_function::answer::<Handler>(desk, event).await
}

struct Handler;

impl EndpointHandler for Handler {
    const ENDPOINT: Endpoint = Endpoint::RandomAssignLicenseKeysQueued;
    type Request = RandomAssignLicenseKeysQueued;
    type ReadAhead = ();

    fn about(request: &RandomAssignLicenseKeysQueued) -> Lookup {
        Lookup { product: Some(request.order.product_id), ..Lookup::default() }
    }

    fn keys(request: &RandomAssignLicenseKeysQueued) -> usize {
        usize::from(request.order.quantity.get())
    }

    async fn once(
        invocation: &Invocation,
        request: &RandomAssignLicenseKeysQueued,
        _: &Found,
        (): &mut (),
    ) -> Result<Option<RequestSlot>, FunctionError> {
        invocation.recall(request).await
    }

    async fn act(invocation: &Invocation, checked: Checked<Self>) -> Result<SignedReply, FunctionError> {
        let Checked { request, found, slot, .. } = checked;
        let api_key = found.api_key.ok_or(FunctionError::Bug("the checked API key was not read"))?;
        let rules = invocation.desk().webhook_rules(&api_key.settings);
        if let Err(refusal) = rules.check(&request.webhook_url) {
            let errors = ValidationErrors::of("webhook_url", refusal);
            return Err(Reply::incorrect(Self::ENDPOINT, errors).into());
        }
        let product = found.product.filter(Product::is_active).ok_or(Reply::ProductNotFound)?;
        let now = invocation.now();
        let waits_for = api_key.settings.wait_for_stock.unwrap_or(QueuedOrder::WAITS_FOR);
        let order = QueuedOrder {
            id: OrderId::new(now, invocation.desk().randomness()),
            state: OrderState::Queued,
            request: request.order,
            webhook_url: request.webhook_url,
            api_key: api_key.hash,
            accepted_at: now,
            waits_until: now.after(waits_for),
            is_cancelled: false,
            code: None,
            delivery: Delivery::default(),
        };
        invocation.check_time_to_sell()?;
        invocation.uncut(accept(invocation, &order, &product, slot)).await
    }
}

/// Stores an order, signs its response, and wakes the worker.
async fn accept(
    invocation: &Invocation,
    order: &QueuedOrder,
    product: &Product,
    slot: Option<RequestSlot>,
) -> Result<SignedReply, FunctionError> {
    let (store, now) = (invocation.desk().store(), invocation.now());
    let sign = invocation.sign_reply(&Reply::RequestQueued, product.signing_key_id.as_ref());
    let reply = if let Some(slot) = slot {
        let (reply, ()) = tokio::try_join!(sign, invocation.count_keys())?;
        store.enqueue(order, Some((&slot, reply.envelope())), now).await?;
        reply
    } else {
        let count_and_store = async {
            invocation.count_keys().await?;
            Ok::<_, FunctionError>(store.enqueue(order, None, now).await?)
        };
        let (reply, stored) = tokio::join!(sign, count_and_store);
        stored?;
        match reply {
            Ok(reply) => reply,
            Err(error) => {
                // The shop gets an error and will ask again, so this order must not be filled.
                let taken_back = store.unqueue(&order.id, now).await;
                let unknown = |cause| StoreError::OutcomeUnknown { cause: Box::new(cause) };
                taken_back.map_err(unknown)?;
                return Err(error);
            }
        }
    };
    let wake = invocation.desk().wake(&order.id, Duration::ZERO);
    measure::order_queued();
    if !matches!(timeout(WAKE_WITHIN, wake).await, Ok(Ok(()))) {
        tracing::warn!(order = %order.id, "the sweep will wake the worker for an order");
    }
    Ok(reply)
}
