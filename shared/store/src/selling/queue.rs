//! Queued orders: their acceptance, their line before a product that is out of stock, and the deliveries of
//! their callbacks. The request record of an order decides it, like that of a direct sale.

use std::time::Duration;

use keypool_domain::{AttemptId, Envelope, OrderId, OrderState, ProductId, QueuedOrder, Timestamp};

use super::Recorded;
use crate::dynamo::{IS_NEW, Obstacle, Query, Write, Written, contention};
use crate::record::{
    Item, KEPT_FOR, Key, QUEUE, Record as _, SK, VOID_ORDER, delivered_order_item, is_text, line_of, number,
    number_of, readable, text, text_of, void_order_item,
};
use crate::{RequestSlot, RequestState, Store, StoreError};

/// The number of orders of a line that one call reads: some 32 KB of them.
const LINE_PAGE: usize = 250;

/// The result of an attempt to deliver a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The callback is delivered.
    Delivered,
    /// The delivery failed. The next attempt is due at that time.
    Again(Timestamp),
    /// The delivery failed, and keypool gives up.
    Dead,
}

/// An order in the line of its product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The id of the order.
    pub id: OrderId,
    /// The number of keys that it waits for.
    pub quantity: usize,
}

impl Waiting {
    fn read(item: &Item) -> Result<Self, StoreError> {
        let corrupt = |attribute| StoreError::Corrupt { record: "waiting order", attribute };
        let id = text_of(item, SK).and_then(|id| id.parse().ok()).ok_or_else(|| corrupt(SK))?;
        let quantity = number_of(item, "quantity").ok_or_else(|| corrupt("quantity"))?;
        Ok(Self { id, quantity })
    }
}

impl Store {
    /// Accepts an order. 1 write unit for a KB. If the request has an `Idempotency-Key`, the same transaction
    /// remembers the response; then it is 2 for a KB. Fails with [`StoreError::Recorded`] if another attempt
    /// at the same request was quicker.
    ///
    /// After an error, nothing was accepted, and nothing will be; but see [`StoreError::OutcomeUnknown`].
    pub async fn enqueue(
        &self,
        order: &QueuedOrder,
        remembered: Option<(&RequestSlot, &Envelope)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let put = Write::put(order.item()).when(IS_NEW, []);
        let record = remembered.map(|(slot, response)| self.answered(slot, response, now));
        let written = match self.write([put].into_iter().chain(record.into_iter().flatten())).await {
            Ok(written) => written,
            Err(error) => {
                // The write may still arrive. A void order in its place refuses it.
                return match self.bury(&order.id, now).await {
                    Ok(true) => Err(error),
                    Ok(false) => Ok(()),
                    Err(_) => Err(StoreError::OutcomeUnknown { cause: Box::new(error) }),
                };
            }
        };
        let Written::Refused(obstacles) = written else { return Ok(()) };
        // The id is unique, so an earlier copy of this write stored the order itself.
        if obstacles.first().and_then(Obstacle::item).is_some() {
            return Ok(());
        }
        let Some((slot, _)) = remembered else { return Err(Recorded::Void.into()) };
        let record = obstacles.get(1).and_then(Obstacle::item).cloned();
        Err(self.recorded(slot, record).await?.into())
    }

    /// Takes back an order that was just accepted, because its response could not be signed. Puts a void
    /// order in its place, which refuses a late copy of its write. Also puts a void record, which refuses the
    /// sale of a worker that has read it before. 4 write units. Fails with contention if a worker has filled
    /// it or put it into a line.
    pub async fn unqueue(&self, id: &OrderId, now: Timestamp) -> Result<(), StoreError> {
        let order = Write::put(void_order_item(id, now)).when(
            "attribute_not_exists(#pk) OR #state IN (:queued, :void)",
            [(":queued", text(OrderState::Queued)), (":void", text(VOID_ORDER))],
        );
        // No worker replaces a void record without a fingerprint.
        let (slot, attempt) =
            (RequestSlot::new(id.request_id(), None, KEPT_FOR), AttemptId::random(self.randomness()));
        let record = slot
            .put(RequestState::Void, &attempt, 0, now)
            .when("attribute_not_exists(#pk) OR #state = :void", [(":void", RequestState::Void.value())]);
        match self.write([order, record]).await? {
            Written::Done => Ok(()),
            Written::Refused(_) => Err(contention("TransactWriteItems")),
        }
    }

    /// Puts a void order in the place of one whose write got no answer. Returns true if no order was there.
    async fn bury(&self, id: &OrderId, now: Timestamp) -> Result<bool, StoreError> {
        let written = self.write([Write::put(void_order_item(id, now)).when(IS_NEW, [])]).await?;
        let refused = written.into_refused_item();
        Ok(refused.is_none_or(|item| is_text(&item, "state", VOID_ORDER)))
    }

    /// Reads an order that is not delivered yet, with every earlier write. 1 read unit.
    pub async fn queued_order(&self, id: &OrderId) -> Result<Option<QueuedOrder>, StoreError> {
        let item = self.get(Key::queued_order(id)).await?.filter(is_order);
        item.as_ref().map(QueuedOrder::read).transpose()
    }

    /// The orders that are not delivered yet, in the order of their acceptance. 1 read unit for 4 KB of them.
    pub async fn queued_orders(&self) -> Result<Vec<QueuedOrder>, StoreError> {
        let items = self.query(Query::collection(QUEUE)).await?;
        Ok(readable(items.iter().filter(|item| is_order(item)), QueuedOrder::read).collect())
    }

    /// The orders that wait for keys of a product, in the order of their acceptance. 1 read unit for 4 KB of
    /// them, and 1 if none waits.
    pub async fn line(&self, product_id: ProductId) -> Result<Vec<Waiting>, StoreError> {
        let items = self.query(Query::collection(line_of(product_id))).await?;
        Ok(readable(&items, Waiting::read).collect())
    }

    /// The first orders that wait for keys of a product: at least `count` of them, if there are so many. 1
    /// read unit for 4 KB of them, and 1 if none waits.
    pub async fn line_front(&self, product_id: ProductId, count: usize) -> Result<Vec<Waiting>, StoreError> {
        self.line_until(product_id, count, |front| front.len() >= count).await
    }

    /// The number of keys that orders wait for, or any number above `enough` if there are more, because a
    /// long line is not read further. 1 read unit for 4 KB, and 1 if none waits.
    pub async fn keys_in_line(&self, product_id: ProductId, enough: usize) -> Result<usize, StoreError> {
        let keys = |line: &[Waiting]| line.iter().map(|waiting| waiting.quantity).sum::<usize>();
        let line = self.line_until(product_id, LINE_PAGE, |line| keys(line) > enough).await?;
        Ok(keys(&line))
    }

    /// Reads a line in pages, until `is_enough` of what was read.
    async fn line_until(
        &self,
        product_id: ProductId,
        page: usize,
        is_enough: impl Fn(&[Waiting]) -> bool,
    ) -> Result<Vec<Waiting>, StoreError> {
        let query = Query::collection(line_of(product_id)).limit(page);
        let (mut line, mut start) = (Vec::new(), None);
        loop {
            let page = self.query_page(&query, start.as_ref()).await?;
            line.extend(readable(&page.items, Waiting::read));
            start = page.next;
            if start.is_none() || is_enough(&line) {
                return Ok(line);
            }
        }
    }

    /// Puts an order into the line of its product. Returns true if it waits now; false if it was decided
    /// meanwhile. 4 write units.
    pub async fn join_line(&self, order: &QueuedOrder) -> Result<bool, StoreError> {
        let update = Write::update(Key::queued_order(&order.id)).when(
            "#state IN (:queued, :waiting)",
            [(":queued", text(OrderState::Queued)), (":waiting", text(OrderState::Waiting))],
        );
        let update = update.set("state", text(OrderState::Waiting));
        let mut entry = Key::waiting(order.request.product_id, &order.id).into_item();
        entry.insert("quantity".to_owned(), number(order.request.quantity));
        Ok(self.write([update, Write::put(entry)]).await?.is_done())
    }

    /// Takes an entry out of the line of a product, because its order no longer waits. 1 write unit.
    pub async fn leave_line(&self, product_id: ProductId, id: &OrderId) -> Result<(), StoreError> {
        self.write([Write::delete(Key::waiting(product_id, id))]).await.map(|_| ())
    }

    /// Notes that an order is filled (code 803) or ended, as its request record says, and takes it out of the
    /// line. From now on its callback is due. Write units: 1, or 4 if it was waiting.
    pub async fn decide(&self, order: &mut QueuedOrder, code: u16, now: Timestamp) -> Result<(), StoreError> {
        while order.state.is_open() {
            let update = Write::update(Key::queued_order(&order.id))
                .when("#state = :seen", [(":seen", text(order.state))])
                .set("state", text(OrderState::Decided))
                .set("code", number(code))
                .set("next_at", text(now));
            let entry = (order.state == OrderState::Waiting)
                .then(|| Write::delete(Key::waiting(order.request.product_id, &order.id)));
            match self.write([update].into_iter().chain(entry)).await? {
                Written::Done => {
                    (order.state, order.code) = (OrderState::Decided, Some(code));
                    order.delivery.next_at = Some(now);
                }
                // Another worker has moved it since it was read.
                Written::Refused(obstacles) => match obstacles.first().and_then(Obstacle::item) {
                    Some(item) => *order = QueuedOrder::read(item)?,
                    None => order.state = OrderState::Delivered,
                },
            }
        }
        Ok(())
    }

    /// Begins an attempt to deliver the callback of a decided order, unless another worker has begun one or
    /// it is not due. Until `lease` is over, no other worker begins one. 1 write unit.
    pub async fn begin_delivery(
        &self,
        order: &mut QueuedOrder,
        lease: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if order.state != OrderState::Decided || order.delivery.next_at.is_some_and(|next| next > now) {
            return Ok(false);
        }
        let seen = order.delivery.attempts;
        let delivery = &mut order.delivery;
        delivery.attempts = seen.saturating_add(1);
        let first_at = *delivery.first_at.get_or_insert(now);
        let next_at = now.after(lease);
        delivery.next_at = Some(next_at);
        let update = Write::update(Key::queued_order(&order.id)).when(
            "#state = :decided AND #attempts = :seen",
            [(":decided", text(OrderState::Decided)), (":seen", number(seen))],
        );
        let update = update
            .set("attempts", number(seen.saturating_add(1)))
            .set("first_at", text(first_at))
            .set("next_at", text(next_at));
        Ok(self.write([update]).await?.is_done())
    }

    /// Notes the result of an attempt, with the shop's answer as a sentence, unless another attempt has begun
    /// or the order is gone. 1 write unit; 4 if the callback is delivered. A delivered order can be shown for
    /// 30 days.
    pub async fn end_delivery(
        &self,
        order: &QueuedOrder,
        result: &DeliveryResult,
        answer: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = Key::queued_order(&order.id);
        let noted =
            |write: Write| write.when("#attempts = :mine", [(":mine", number(order.delivery.attempts))]);
        let update = || noted(Write::update(key.clone())).set("answer", text(answer));
        let writes = match result {
            DeliveryResult::Again(next_at) => vec![update().set("next_at", text(*next_at))],
            DeliveryResult::Dead => {
                vec![update().set("state", text(OrderState::Dead)).remove("next_at")]
            }
            DeliveryResult::Delivered => {
                let mut delivered = order.clone();
                delivered.delivery.next_at = None;
                delivered.delivery.answer = Some(answer.to_owned());
                // One transaction, because an operator may have erased the owner while the shop was called.
                let put = Write::put(delivered_order_item(&delivered, now));
                vec![noted(Write::delete(key.clone())), put]
            }
        };
        self.write(writes).await.map(|_| ())
    }
}

fn is_order(item: &Item) -> bool {
    !is_text(item, "state", VOID_ORDER)
}
