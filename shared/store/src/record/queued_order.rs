//! A queued order. It stands in the queue until its callback is delivered; while it waits for stock, an entry
//! in the line of its product tells others how many keys wait.

use keypool_domain::requests::RandomAssignLicenseKeys;
use keypool_domain::{
    Delivery, OrderId, OrderReference, OrderState, Owner, OwnerField, ProductId, QueuedOrder, Timestamp,
};

use super::{EXPIRES_AT, Item, Key, Reader, SK, Writer, text};
use crate::StoreError;

/// The state of an order that was refused while its write may have been under way. It is no order.
pub(crate) const VOID_ORDER: &str = "void";
/// How long a delivered order can still be shown and delivered again.
const DELIVERED_KEPT_FOR_SECONDS: i64 = 30 * 24 * 60 * 60;

/// The item of an order, at its place in the queue.
pub(crate) fn queued_order_item(order: &QueuedOrder) -> Item {
    let QueuedOrder { request, delivery, .. } = order;
    let field = |field: &'_ Option<OwnerField>| field.as_ref().map(|field| field.as_str().to_owned());
    Writer::at(Key::queued_order(&order.id))
        .text("state", order.state)
        .number("product_id", request.product_id)
        .number("quantity", request.quantity)
        .number("generate", u8::from(request.generate))
        .optional_text("owner_name", field(&request.owner.name))
        .optional_text("owner_email", field(&request.owner.email))
        .optional_text("identifier", request.identifier.as_ref().map(OrderReference::as_str))
        .text("webhook_url", order.webhook_url.as_str())
        .text("api_key", order.api_key)
        .text("accepted_at", order.accepted_at)
        .text("waits_until", order.waits_until)
        .optional_number("cancelled", order.is_cancelled.then_some(1))
        .optional_number("code", order.code)
        .number("attempts", delivery.attempts)
        .optional_text("first_at", delivery.first_at)
        .optional_text("next_at", delivery.next_at)
        .optional_text("answer", delivery.answer.as_ref())
        .0
}

/// Reads the item of an order, from the queue or among the delivered ones.
pub(crate) fn read_queued_order(item: &Item) -> Result<QueuedOrder, StoreError> {
    let reader = Reader { item, record: "queued order" };
    let id: Option<OrderId> = reader.optional(SK).ok().flatten();
    Ok(QueuedOrder {
        id: id.map_or_else(|| reader.id(), Ok)?,
        state: reader.required("state")?,
        request: RandomAssignLicenseKeys {
            product_id: reader.required("product_id")?,
            quantity: reader.required("quantity")?,
            generate: reader.raw("generate")? == "1",
            owner: Owner { name: reader.optional("owner_name")?, email: reader.optional("owner_email")? },
            identifier: reader.optional("identifier")?,
        },
        webhook_url: reader.required("webhook_url")?,
        api_key: reader.required("api_key")?,
        accepted_at: reader.time("accepted_at")?,
        waits_until: reader.time("waits_until")?,
        is_cancelled: reader.optional_raw("cancelled")?.is_some(),
        code: reader.optional("code")?,
        delivery: Delivery {
            attempts: reader.required("attempts")?,
            first_at: reader.optional_time("first_at")?,
            next_at: reader.optional_time("next_at")?,
            answer: reader.optional("answer")?,
        },
    })
}

/// The item of an order whose shop has heard. DynamoDB deletes it after 30 days.
pub(crate) fn delivered_order_item(order: &QueuedOrder, now: Timestamp) -> Item {
    let mut item = queued_order_item(order);
    item.insert("state".to_owned(), text(OrderState::Delivered));
    item.extend(Key::delivered_order(&order.id).into_item());
    item.extend(Writer::default().number(EXPIRES_AT, now.unix_seconds() + DELIVERED_KEPT_FOR_SECONDS).0);
    item
}

/// An order in the line of its product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which order.
    pub id: OrderId,
    /// The number of keys that it waits for.
    pub quantity: usize,
}

/// The entry of an order in the line of its product.
pub(crate) fn waiting_item(order: &QueuedOrder) -> Item {
    let key = Key::waiting(order.request.product_id, &order.id);
    Writer::at(key).number("quantity", order.request.quantity).0
}

/// Reads such an entry.
pub(crate) fn read_waiting(item: &Item) -> Result<Waiting, StoreError> {
    let reader = Reader { item, record: "waiting order" };
    Ok(Waiting { id: reader.required(SK)?, quantity: reader.required("quantity")? })
}

impl Key {
    /// The place of an order in the queue.
    pub(crate) fn queued_order(id: &OrderId) -> Self {
        Self { pk: QUEUE.to_owned(), sk: id.to_string() }
    }

    /// The place of an order whose shop has heard.
    pub(crate) fn delivered_order(id: &OrderId) -> Self {
        Self::new("DELIVERED", id)
    }

    /// The place of an order in the line of its product.
    pub(crate) fn waiting(product_id: ProductId, id: &OrderId) -> Self {
        Self { pk: line_of(product_id), sk: id.to_string() }
    }
}

/// The hash key of the orders that are not delivered, in the order of their acceptance.
pub(crate) const QUEUE: &str = "QUEUE";

/// The hash key of the orders that wait for keys of a product, in the order of their acceptance.
pub(crate) fn line_of(product_id: ProductId) -> String {
    format!("WAITING#{product_id}")
}

#[cfg(test)]
mod tests {
    use keypool_domain::{ApiKey, OperatingSystemRandomness, Owner};

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
        assert_eq!(read_queued_order(&queued_order_item(&order)), Ok(order.clone()));
        let fresh =
            QueuedOrder { is_cancelled: false, code: None, delivery: Delivery::default(), ..order.clone() };
        assert_eq!(read_queued_order(&queued_order_item(&fresh)), Ok(fresh));
        let delivered = delivered_order_item(&order, at);
        assert_eq!(
            read_queued_order(&delivered),
            Ok(QueuedOrder { state: OrderState::Delivered, ..order.clone() })
        );
        assert_eq!(read_waiting(&waiting_item(&order)), Ok(Waiting { id: order.id, quantity: 7 }));
    }
}
