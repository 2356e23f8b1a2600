use std::time::Duration;

use futures_util::future::join_all;
use keypool_domain::{OrderState, Product, ProductId, QueuedOrder, Reply};
use keypool_function::{FunctionError, Invocation, SignedReply};
use keypool_store::{Lookup, SaleOutcome, Waiting};
use random_assign_license_keys::{Ahead, Filled, fill};
use tokio::time::Instant;

use crate::Worker;

/// The number of orders in a line that are filled side by side. Each one leaves enough keys for those before
/// it.
const SIDE_BY_SIDE: usize = 8;
/// The time for which one message may serve a line. Then another message continues.
const SERVES_FOR: Duration = Duration::from_secs(20);

impl Worker {
    /// Fills an open order if its turn has come. If there are too few keys, the order joins the line of its
    /// product. The message of a waiting order serves the whole line.
    pub(crate) async fn fill_in_turn(&self, order: &mut QueuedOrder) -> Result<(), FunctionError> {
        let product_id = order.request.product_id;
        if order.state == OrderState::Waiting && !order.is_over(self.desk.clock().now()) {
            return self.serve_line(product_id).await;
        }
        let line = self.desk.store().line(product_id).await?;
        let before = line.iter().take_while(|waiting| waiting.id < order.id);
        let in_front = before.map(|waiting| waiting.quantity).sum();
        if !self.fill(order, in_front).await? && self.desk.store().join_line(order).await? {
            order.state = OrderState::Waiting;
        }
        Ok(())
    }

    /// Fills the orders that wait for a product, first come first served, until the first one must keep
    /// waiting.
    async fn serve_line(&self, product_id: ProductId) -> Result<(), FunctionError> {
        let started = Instant::now();
        loop {
            let mut line = self.desk.store().line_front(product_id, SIDE_BY_SIDE).await?;
            if started.elapsed() > SERVES_FOR {
                if let Some(first) = line.first() {
                    self.desk.wake(&first.id, Duration::ZERO).await?;
                }
                return Ok(());
            }
            line.truncate(SIDE_BY_SIDE);
            let mut in_front = 0;
            let served = line.iter().map(|waiting| {
                let before = in_front;
                in_front += waiting.quantity;
                self.serve(product_id, waiting, before)
            });
            let served: Vec<bool> =
                join_all(served).await.into_iter().collect::<Result<_, FunctionError>>()?;
            // Later orders may have found too few keys only because earlier ones were being filled.
            if served.first() != Some(&true) {
                return Ok(());
            }
        }
    }

    /// Fills an order of a line, and sends a message for its callback. Returns true if it has left the line.
    async fn serve(
        &self,
        product_id: ProductId,
        waiting: &Waiting,
        in_front: usize,
    ) -> Result<bool, FunctionError> {
        let store = self.desk.store();
        let Some(mut order) = store.queued_order(&waiting.id).await?.filter(|order| order.state.is_open())
        else {
            // It is no longer open, or no longer in the queue.
            store.leave_line(product_id, &waiting.id).await?;
            return Ok(true);
        };
        let is_filled = self.fill(&mut order, in_front).await?;
        if is_filled {
            self.desk.wake(&order.id, Duration::ZERO).await?;
        }
        Ok(is_filled)
    }

    /// Fills an order, or ends it if its time is over. Returns true if it is decided now.
    async fn fill(&self, order: &mut QueuedOrder, in_front: usize) -> Result<bool, FunctionError> {
        let invocation = Invocation::of_order(self.desk.clone(), order);
        let filled = self.try_fill(&invocation, order, in_front).await.transpose();
        let Some(filled) = filled.map(|filled| invocation.or_repeat(filled)) else { return Ok(false) };
        invocation.log_order(filled.as_ref());
        let reply = filled?;
        self.desk.store().decide(order, reply.code(), self.desk.clock().now()).await?;
        Ok(true)
    }

    /// Returns the response to the order; `None` if it has to wait.
    async fn try_fill(
        &self,
        invocation: &Invocation,
        order: &QueuedOrder,
        in_front: usize,
    ) -> Result<Option<SignedReply>, FunctionError> {
        let request = &order.request;
        let slot = invocation.recall(request).await?;
        let about = Lookup { product: Some(request.product_id), ..Lookup::default() };
        let product = self.desk.look_up(about).await?.product;
        let mut refusal = Reply::InsufficientLicenseKeys { available_quantity: 0 };
        let mut is_over = order.is_over(invocation.now());
        if let Some(product) = product.as_ref().filter(|product| product.is_active() && !order.is_cancelled) {
            let quantity = usize::from(request.quantity.get());
            let ahead = Ahead { window: self.desk.take_window(product.id, quantity), ..Ahead::default() };
            match fill(invocation, request, product, slot, ahead, Some(in_front)).await {
                Ok(Filled::Sold(reply)) => return Ok(Some(reply)),
                Ok(Filled::TooFew(reply)) => refusal = reply,
                // Its response is too large and will stay so. The order must not block the line.
                Err(FunctionError::Refused(_)) => is_over = true,
                Err(error) => return Err(error),
            }
        }
        if !is_over {
            return Ok(None);
        }
        self.end(invocation, order, product.as_ref(), &refusal).await.map(Some)
    }

    /// Ends an order that was not filled, and saves the refusal in its request record.
    async fn end(
        &self,
        invocation: &Invocation,
        order: &QueuedOrder,
        product: Option<&Product>,
        refusal: &Reply,
    ) -> Result<SignedReply, FunctionError> {
        // The attempt to fill it may have changed its record.
        let slot = invocation.recall(&order.request).await?;
        let key = product.and_then(|product| product.signing_key_id.as_ref());
        let reply = invocation.sign_reply(refusal, key).await?;
        let assignment = invocation.assignment(order.request.owner.clone(), None);
        let nothing = invocation.sale(order.request.product_id, assignment, slot);
        match invocation.finish(&nothing, &[], &reply).await? {
            SaleOutcome::Done => Ok(reply),
            SaleOutcome::Missed(_) => Err(FunctionError::Contention),
        }
    }
}
