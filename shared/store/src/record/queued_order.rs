//! A queued order. It stays in the queue until its callback is delivered.

use keypool_domain::requests::RandomAssignLicenseKeys;
use keypool_domain::{Delivery, OrderId, OrderReference, OrderState, QueuedOrder, Timestamp};

use super::attributes::record;
use super::{EXPIRES_AT, Item, KEPT_FOR, Key, OWNER, PK, Reader, Record as _, SK, Writer, expiry, text};
use crate::StoreError;

/// The state of an order that was refused while its write may have been under way. It is not an order.
pub(crate) const VOID_ORDER: &str = "void";
/// The time for which a delivered order can be shown and redelivered.
const DELIVERED_KEPT_FOR_SECONDS: i64 = 30 * 24 * 60 * 60;

record! {
    QueuedOrder as "queued order",
    |order| Writer::at(Key::queued_order(&order.id)) => id: order_id PK;
    state: text "state",
    request: request "quantity",
    webhook_url: text "webhook_url",
    api_key: text "api_key",
    accepted_at: time "accepted_at",
    waits_until: time "waits_until",
    is_cancelled: flag "cancelled",
    code: optional_number "code",
    delivery: delivery "attempts",
}

impl Writer {
    fn request(self, quantity: &str, request: &RandomAssignLicenseKeys) -> Self {
        self.number("product_id", request.product_id)
            .number(quantity, request.quantity)
            .number("generate", u8::from(request.generate))
            .owner(OWNER, &request.owner)
            .optional_text("identifier", request.identifier.as_ref().map(OrderReference::as_str))
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "every form takes a reference")]
    fn flag(self, name: &str, is_set: &bool) -> Self {
        self.optional_number(name, is_set.then_some(1))
    }

    fn delivery(self, attempts: &str, delivery: &Delivery) -> Self {
        self.number(attempts, delivery.attempts)
            .optional_time("first_at", delivery.first_at)
            .optional_time("next_at", delivery.next_at)
            .optional_text("answer", delivery.answer.as_ref())
    }
}

impl Reader<'_> {
    /// Reads the id of an order: the range key in the queue, else a part of the hash key.
    fn order_id(&self, hash_key: &'static str) -> Result<OrderId, StoreError> {
        self.text(SK).or_else(|_| self.id(hash_key))
    }

    fn request(&self, quantity: &'static str) -> Result<RandomAssignLicenseKeys, StoreError> {
        Ok(RandomAssignLicenseKeys {
            product_id: self.number("product_id")?,
            quantity: self.number(quantity)?,
            generate: self.number::<u8>("generate")? == 1,
            owner: self.owner(OWNER)?,
            identifier: self.optional_text("identifier")?,
        })
    }

    fn flag(&self, name: &'static str) -> Result<bool, StoreError> {
        Ok(self.optional_number::<u8>(name)? == Some(1))
    }

    fn delivery(&self, attempts: &'static str) -> Result<Delivery, StoreError> {
        Ok(Delivery {
            attempts: self.number(attempts)?,
            first_at: self.optional_time("first_at")?,
            next_at: self.optional_time("next_at")?,
            answer: self.optional_text("answer")?,
        })
    }
}

/// The item of a delivered order. DynamoDB deletes it after 30 days.
pub(crate) fn delivered_order_item(order: &QueuedOrder, now: Timestamp) -> Item {
    let mut item = order.item();
    item.insert("state".to_owned(), text(OrderState::Delivered));
    item.extend(Key::delivered_order(&order.id).into_item());
    item.extend(Writer::default().number(EXPIRES_AT, now.unix_seconds() + DELIVERED_KEPT_FOR_SECONDS).0);
    item
}

/// A void order in the place of one that was refused. DynamoDB deletes it a day later.
pub(crate) fn void_order_item(id: &OrderId, now: Timestamp) -> Item {
    let writer = Writer::at(Key::queued_order(id)).text("state", VOID_ORDER);
    writer.number(EXPIRES_AT, expiry(KEPT_FOR, now)).0
}

#[cfg(test)]
mod tests {
    use keypool_domain::{ApiKey, OperatingSystemRandomness, Owner, ProductId};

    use super::*;

    #[test]
    fn an_order_reads_back_from_the_queue_and_after_its_delivery() {
        let at = Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap();
        let order = QueuedOrder {
            id: OrderId::new(at, &OperatingSystemRandomness),
            state: OrderState::Decided,
            request: RandomAssignLicenseKeys {
                product_id: ProductId::MAX,
                quantity: "7".parse().unwrap(),
                generate: true,
                owner: Owner { name: Some("Test User".parse().unwrap()), email: None },
                identifier: "31".parse().ok(),
            },
            webhook_url: "https://shop.example/?keevault-webhook=k".parse().unwrap(),
            api_key: "secret".parse::<ApiKey>().unwrap().hash(),
            accepted_at: at,
            waits_until: at,
            is_cancelled: true,
            code: Some(803),
            delivery: Delivery {
                attempts: 2,
                first_at: Some(at),
                next_at: Some(at),
                answer: Some("status 500".to_owned()),
            },
        };
        assert_eq!(QueuedOrder::read(&order.item()), Ok(order.clone()));
        let fresh =
            QueuedOrder { is_cancelled: false, code: None, delivery: Delivery::default(), ..order.clone() };
        assert_eq!(QueuedOrder::read(&fresh.item()), Ok(fresh));
        let delivered = delivered_order_item(&order, at);
        assert_eq!(QueuedOrder::read(&delivered), Ok(QueuedOrder { state: OrderState::Delivered, ..order }));
    }
}
