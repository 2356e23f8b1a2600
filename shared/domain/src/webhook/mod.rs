//! Callbacks to a shop: their targets ([`WebhookUrl`], [`WebhookRules`], [`is_public`]) and their repetitions
//! ([`next_delivery`]).

mod address;
mod hosts;
mod rules;
mod schedule;
mod url;

pub use address::{ForbiddenNetwork, forbidden_network, is_public};
pub use hosts::{InvalidWebhookHost, WebhookHost, WebhookHosts};
pub use rules::{WebhookRefusal, WebhookRules};
pub use schedule::{DELIVERY_DAYS_MAX, DELIVERY_WAIT_MAX, NextDelivery, next_delivery};
pub use url::{InvalidWebhookUrl, WEBHOOK_URL_BYTES_MAX, WebhookUrl};
