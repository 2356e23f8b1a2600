//! Renders records: as JSON, for `--json` and the audit trail, and as text for people.

use keypool_domain::{
    ApiKeyRecord, Generator, Method, OrderReference, Owner, OwnerField, Product, QueuedOrder, WebhookUrl,
};
use serde_json::{Value, json};

use crate::difference::NOTHING;
use crate::moment::length;
use crate::output::printable;

/// A product.
pub(crate) fn product(product: &Product) -> Value {
    json!({
        "id": product.id,
        "name": product.name.as_str(),
        "status": product.activity.as_str(),
        "generator_id": product.generator_id,
        "signing_key": product.signing_key_id.as_ref().map(ToString::to_string),
    })
}

/// A generator.
pub(crate) fn generator(generator: &Generator) -> Value {
    let mut value = json!({
        "id": generator.id,
        "product_id": generator.product_id,
        "status": generator.activity.as_str(),
        "method": generator.method.as_str(),
        "prefix": generator.prefix,
        "suffix": generator.suffix,
        "activation_limit": generator.activation_limit,
        "validity": generator.validity,
    });
    if let Method::ChunkSystem(chunks) = &generator.method {
        value["charset"] = json!(chunks.charset.to_string());
        value["number_of_chunks"] = json!(chunks.number_of_chunks);
        value["chunk_length"] = json!(chunks.chunk_length);
    }
    value
}

/// An API key record, without the key. A setting that is not set is null.
pub(crate) fn api_key(api_key: &ApiKeyRecord) -> Value {
    let settings = &api_key.settings;
    json!({
        "sha256": api_key.hash.to_string(),
        "name": api_key.name.as_str(),
        "status": api_key.activity.as_str(),
        "capabilities": api_key.capability_names().collect::<Vec<_>>(),
        "networks": api_key.networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "valid_until": api_key.valid_until.map(|end| end.to_string()),
        "wait_for_stock": settings.wait_for_stock.map(length),
        "webhook_hosts": settings.webhook_hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "once_per": settings.once_per_identifier.then_some("identifier"),
        "remember": settings.remember.map(length),
        "products": settings.products,
        "keys_per_order": settings.keys_per_order,
        "keys_per_hour": settings.keys_per_hour,
    })
}

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
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    if text.is_empty() { NOTHING.to_owned() } else { text }
}
