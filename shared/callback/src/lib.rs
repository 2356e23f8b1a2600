//! Delivers a callback to a shop by one `POST`, and never to an address that a shop must not reach.
//!
//! The caller chooses the URL, so a [`CallbackClient`] trusts nothing behind it:
//!
//! - It resolves the name once, by a [`Resolve`] of the caller's choice, and checks every address against the
//!   [`WebhookRules`](keypool_domain::WebhookRules). One forbidden address refuses the delivery.
//! - It opens the connection itself, to an address that was checked. Nothing resolves the name again.
//! - It follows no redirect, and reads neither proxy variables nor cookies. Each delivery has its own
//!   connection.
//! - Time, headers and body are bounded by [`CallbackLimits`].
//!
//! A [`DeliveryOutcome`] says if the shop has the callback. Its texts for operators quote neither the query
//! of the URL nor the response.

mod client;
mod connect;
mod exchange;
mod message;
mod outcome;
mod resolve;
mod response;

pub use client::{CallbackClient, CallbackLimits, UnusableRoots};
pub use message::{CallbackMessage, InvalidWebhookId};
pub use outcome::{DeliveryOutcome, NotDeliveredReason, TlsFailure};
pub use resolve::{Resolve, Resolving, SystemResolver};
