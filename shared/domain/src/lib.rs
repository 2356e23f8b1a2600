//! The domain of keypool: types and rules, free of AWS and HTTP.
//!
//! - Values of the contract: [`LicenseKey`], [`Owner`], [`Quantity`], [`Status`], … Code behind
//!   [`Parameters`] sees only these; each can be made only from a valid text.
//! - Settings of an operator: [`Product`], [`Generator`], [`ApiKeyRecord`]; and their audit trail,
//!   [`AuditEntry`].
//! - Requests of a client ([`requests`]) and the responses to them ([`Reply`], [`Envelope`]).
//! - Targets and repetitions of callbacks: [`WebhookUrl`], [`WebhookRules`], [`next_delivery`].
//! - [`LicenseKeyRecord`], the one truth about a license key, and [`pick`], the random choice.
//!
//! Clock and randomness come from outside, as [`Clock`] and [`Randomness`].

mod api_key;
mod audit;
mod endpoint;
mod envelope;
mod generator;
mod hourly_count;
mod idempotency;
mod key_change;
mod license_key;
mod license_key_record;
mod limits;
mod name;
mod order_change;
mod owner;
mod parameters;
mod product;
mod queued_order;
mod random;
mod reply;
pub mod requests;
mod status;
mod time;
mod webhook;

pub use api_key::{
    ApiKey, ApiKeyHash, ApiKeyRecord, ApiKeyRefusal, ApiKeySettings, GET_ALL_LICENSE_KEYS, InvalidApiKey,
    InvalidApiKeyHash,
};
pub use audit::{AuditEntry, AuditId, Principal};
pub use endpoint::{Endpoint, UnknownEndpoint};
pub use envelope::{Envelope, PrivateKeyUsed, SignablePayload, UnreadableEnvelope};
pub use generator::{
    Charset, ChunkSystem, Generator, GeneratorId, InvalidGenerator, KEY_SPACE_BITS_MIN, Method,
};
pub use hourly_count::{HourlyCount, InvalidTally, Tally};
pub use idempotency::{Fingerprint, IdempotencyKey, InvalidIdempotencyKey, RequestId};
pub use key_change::{KeyUpdateRefusal, NotAllowedInStatus};
pub use license_key::{InvalidLicenseKey, InvalidLicenseKeys, LicenseKey, LicenseKeys, ListFault};
pub use license_key_record::{
    Assignment, AttemptId, CreationId, ImportId, InvalidImportId, KeyOrder, LicenseKeyRecord, NewKey,
};
pub use limits::{ActivationLimit, ItemsPerPage, KeysPerHour, PageNumber, Quantity, RowId, Validity};
pub use name::{InvalidName, Name, Reason};
pub use order_change::OrderChangeRefusal;
pub use owner::{Owner, OwnerField};
pub use parameters::{Fields, Parameters, Reported, ValidationErrors, Value};
pub use product::{Product, ProductId, RetiredKey, SigningKeyId};
pub use queued_order::{
    Delivery, InvalidOrderId, InvalidOrderReference, OrderId, OrderReference, OrderState, QueuedOrder,
    UnknownOrderState,
};
pub use random::{OperatingSystemRandomness, Randomness, StockPosition, pick};
pub use reply::{KeyRow, ListedRow, Reply};
pub use status::{Activity, Status};
pub use time::{Clock, InvalidTimestamp, SystemClock, Timestamp};
pub use webhook::{
    DELIVERY_DAYS_MAX, DELIVERY_WAIT_MAX, ForbiddenNetwork, InvalidWebhookHost, InvalidWebhookUrl,
    NextDelivery, WEBHOOK_URL_BYTES_MAX, WebhookHost, WebhookHosts, WebhookRefusal, WebhookRules, WebhookUrl,
    forbidden_network, is_public, next_delivery,
};
