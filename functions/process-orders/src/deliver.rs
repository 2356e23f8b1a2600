use std::time::Duration;

use keypool_callback::{CallbackMessage, DeliveryOutcome};
use keypool_domain::{ApiKeySettings, Envelope, NextDelivery, QueuedOrder, Timestamp, next_delivery};
use keypool_function::{FunctionError, Invocation, measure};
use keypool_store::{DeliveryResult, Lookup, Recorded, StoreError};

use crate::{Next, Worker};

/// The time for which an attempt reserves an order: longer than its time-out and the two writes around it.
const LEASE: Duration = Duration::from_secs(30);

impl Worker {
    /// Delivers the callback of a decided order, if it is due and no other worker is delivering it.
    pub(crate) async fn deliver(&self, mut order: QueuedOrder) -> Result<Next, FunctionError> {
        let store = self.desk.store();
        let now = self.desk.clock().now();
        if let Some(next_at) = order.delivery.next_at.filter(|next_at| *next_at > now) {
            return Ok(Next::Again(next_at.since(now)));
        }
        if !store.begin_delivery(&mut order, LEASE, now).await? {
            return Ok(Next::Done);
        }
        let (result, answer) = match self.response(&order).await? {
            Some(response) => self.attempt(&order, &response, now).await?,
            None => (DeliveryResult::Dead, "the response is no longer kept".to_owned()),
        };
        measure::callback(&result);
        let now = self.desk.clock().now();
        store.end_delivery(&order, &result, &answer, now).await?;
        match result {
            DeliveryResult::Again(next_at) => Ok(Next::Again(next_at.since(now))),
            DeliveryResult::Delivered | DeliveryResult::Dead => Ok(Next::Done),
        }
    }

    /// Reads the response of an order from its request record; `None` if it is no longer kept, or was erased.
    async fn response(&self, order: &QueuedOrder) -> Result<Option<Envelope>, FunctionError> {
        let invocation = Invocation::of_order(self.desk.clone(), order);
        match invocation.recall(&order.request).await {
            Err(FunctionError::Store(StoreError::Recorded(Recorded::Answered(response)))) => {
                Ok(Some(response))
            }
            Err(FunctionError::Store(StoreError::Recorded(Recorded::Erased))) => Ok(None),
            recalled => recalled.map(|_| None),
        }
    }

    async fn attempt(
        &self,
        order: &QueuedOrder,
        response: &Envelope,
        now: Timestamp,
    ) -> Result<(DeliveryResult, String), FunctionError> {
        let about = Lookup { api_key: Some(order.api_key), ..Lookup::default() };
        let settings = self.desk.look_up(about).await?.api_key.map(|api_key| api_key.settings);
        let rules = self.desk.webhook_rules(settings.as_ref().unwrap_or(&ApiKeySettings::default()));
        let message = CallbackMessage::new(&order.id.to_string(), now, response.to_callback_json())
            .map_err(|_| FunctionError::Bug("the id of an order is not a valid webhook-id"))?;
        let (why, retry_after) = match self.client.deliver(&order.webhook_url, &rules, &message).await {
            DeliveryOutcome::Delivered { status } => {
                return Ok((DeliveryResult::Delivered, format!("the shop has it (status {status})")));
            }
            DeliveryOutcome::Gone => {
                return Ok((DeliveryResult::Dead, "the shop wants no callback (status 410)".to_owned()));
            }
            DeliveryOutcome::NotDelivered { why, retry_after } => (why.to_string(), retry_after),
        };
        let (first_at, failed) = (order.delivery.first_at.unwrap_or(now), order.delivery.attempts);
        let result = match next_delivery(first_at, now, failed, retry_after, self.desk.randomness()) {
            NextDelivery::At(next_at) => DeliveryResult::Again(next_at),
            NextDelivery::Dead => DeliveryResult::Dead,
        };
        Ok((result, why))
    }
}
