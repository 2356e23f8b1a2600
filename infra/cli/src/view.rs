//! Renders orders as JSON, for `--json` and the audit trail, and parts of them as text for people.

use keypool_domain::{OrderReference, Owner, OwnerField, QueuedOrder, WebhookUrl};
use serde_json::{Value, json};

use crate::difference::or_nothing;
use crate::output::printable;

/// A queued order. The webhook URL lacks its query, which holds the webhook key.
pub(crate) fn order(order: &QueuedOrder) -> Value {
    let request = &order.request;
    let mut value = json!({
        "id": order.id.to_string(),
        "product_id": request.product_id,
        "quantity": request.quantity,
        "generate": request.generate,
        "owner_name": request.owner.name.as_ref().map(OwnerField::as_str),
        "owner_email": request.owner.email.as_ref().map(OwnerField::as_str),
        "identifier": request.identifier.as_ref().map(OrderReference::as_str),
        "callback": webhook_without_key(&order.webhook_url),
        "api_key_sha256": order.api_key.to_string(),
        "accepted_at": order.accepted_at.to_string(),
        "waits_until": order.waits_until.to_string(),
        "code": order.code,
    });
    if let (Value::Object(value), Value::Object(progress)) = (&mut value, order_progress(order)) {
        value.extend(progress);
    }
    value
}

/// The part of a queued order that an operator can change.
pub(crate) fn order_progress(order: &QueuedOrder) -> Value {
    let delivery = &order.delivery;
    json!({
        "state": order.state.as_str(),
        "cancelled": order.is_cancelled,
        "attempts": delivery.attempts,
        "first_attempt_at": delivery.first_at.map(|at| at.to_string()),
        "next_attempt_at": delivery.next_at.map(|at| at.to_string()),
        "last_answer": delivery.answer,
    })
}

/// A webhook URL without its query, which holds the shop's webhook key: `https://shop.example/?…`.
pub(crate) fn webhook_without_key(url: &WebhookUrl) -> String {
    match url.as_str().split_once('?') {
        Some((before, _)) => format!("{before}?…"),
        None => url.as_str().to_owned(),
    }
}

/// An owner as text for people: `Ada <ada@example.com>`.
pub(crate) fn owner(owner: &Owner) -> String {
    let email = owner.email.as_ref().map(|email| format!("<{}>", printable(email.as_str())));
    let parts = [owner.name.as_ref().map(|name| printable(name.as_str())), email];
    or_nothing(Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" ")))
}
