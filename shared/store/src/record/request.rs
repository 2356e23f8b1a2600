//! The request record: one item for each request whose repetition must be recognized, or that takes more than
//! one write. The parts of a large order and the further parts of a long response are stored beside it.
//!
//! The first version of the table had two records in its place: claims, under the same key as the request
//! record, and orders of their own, with an entry under `ORDERS`. Both are still read.

use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use keypool_domain::{
    ApiKeySettings, Assignment, AttemptId, CreationId, Envelope, Fingerprint, LicenseKey, LicenseKeyRecord,
    Owner, ProductId, Timestamp,
};

use super::{EXPIRES_AT, Item, Key, ORDER_TO_BE, OWNER, PK, Reader, SK, Writer, kind, number, text};
use crate::StoreError;
use crate::dynamo::Write;

/// The attributes of a response that a record holds.
const RESPONSE: [&str; 4] = ["payload", "payload_parts", "private_key_used", "signature"];
/// The most bytes of a compressed response in one item. An item has 400 KB at most.
const PAYLOAD_BYTES_MAX: usize = 300_000;
/// The default time that a response is kept from its answer on. A void record is kept as long: longer than
/// AWS may still accept a write of its attempt.
pub(crate) const KEPT_FOR: Duration = ApiKeySettings::REMEMBERED_FOR;
/// The time for which AWS may still accept a write that was signed before an order of the first version
/// ended. Such an order is settled after that time, because its writes came one by one.
const FORMER_WRITES_US: i64 = 15 * 60 * 1_000_000;

/// The state of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// An attempt works on it.
    Open,
    /// It is answered. Its keys belong to the owner, even if some are not marked as assigned yet.
    Done,
    /// Its attempt has failed. Nothing was sold, though keys may still be reserved.
    Void,
}

impl RequestState {
    /// Its word in the table, then those of the first version.
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Open => &["open", FORMER_CLAIM, FORMER_ORDER],
            Self::Done => &["done", "committed", "sold"],
            Self::Void => &["void", "aborted"],
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Self::Open, Self::Done, Self::Void].into_iter().find(|state| state.words().contains(&word))
    }

    /// The state as an attribute.
    pub(crate) fn value(self) -> AttributeValue {
        text(self.words()[0])
    }
}

/// The state of an open claim of the first version.
const FORMER_CLAIM: &str = "started";
/// The state of an open order of the first version.
const FORMER_ORDER: &str = "reserving";

/// A record that an attempt may write: there is none, it has expired, or its attempt has failed.
#[derive(Debug, Clone)]
pub struct RequestSlot {
    pub(crate) key: Key,
    /// The hash of the request's parameters; `None` for a large order without an `Idempotency-Key`, whose
    /// response is never asked for again.
    pub(crate) fingerprint: Option<String>,
    /// The failed attempt. The next attempt replaces its record only if it is still there.
    pub(crate) failed: Option<AttemptId>,
    /// The time that the response is kept.
    pub(crate) kept_for: Duration,
}

impl RequestSlot {
    /// Returns true if an earlier attempt at the request has failed. It may have counted its keys.
    #[must_use]
    pub fn follows_failed_attempt(&self) -> bool {
        self.failed.is_some()
    }

    /// Makes a slot that is free, as far as is known.
    pub(crate) fn new(id: impl Display, fingerprint: Option<Fingerprint>, kept_for: Duration) -> Self {
        let fingerprint = fingerprint.map(|fingerprint| fingerprint.to_string());
        Self { key: Key::request(id), fingerprint, failed: None, kept_for }
    }

    /// Puts a new record, if the old one is absent, expired, or left by the failed attempt.
    pub(crate) fn put(
        &self,
        state: RequestState,
        attempt: &AttemptId,
        lease_until: i64,
        now: Timestamp,
    ) -> Write {
        const IS_FREE: &str = "attribute_not_exists(#pk) OR #expires_at <= :now \
            OR (#attempt = :failed AND #state IN (:void, :former_claim))";
        let item = Writer::at(self.key.clone())
            .value("state", state.value())
            .text("attempt", attempt)
            .optional_text("fingerprint", self.fingerprint.as_ref())
            .number("lease_until", lease_until)
            .number(EXPIRES_AT, expiry(self.kept_for, now))
            .optional_number("kept_for", (self.kept_for != KEPT_FOR).then_some(self.kept_for.as_secs()));
        let failed = self.failed.as_ref().map_or("none", AttemptId::as_str);
        let values = [
            (":now", number(now.unix_seconds())),
            (":failed", text(failed)),
            (":void", RequestState::Void.value()),
            (":former_claim", text(FORMER_CLAIM)),
        ];
        Write::put(item.0).when(IS_FREE, values)
    }

    /// The stored form of a response: attributes of the record, and the writes of the rest that does not fit
    /// into it. Empty without an `Idempotency-Key`.
    pub(crate) fn saved(&self, response: &Envelope, now: Timestamp) -> (Item, Vec<Write>) {
        if self.fingerprint.is_none() {
            return (Item::new(), Vec::new());
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        // Writing into memory cannot fail.
        let compressed =
            encoder.write_all(response.payload_json().as_bytes()).and_then(|()| encoder.finish());
        let compressed = compressed.unwrap_or_default();
        let mut parts = compressed.chunks(PAYLOAD_BYTES_MAX);
        let count = parts.len();
        let [payload, payload_parts, private_key_used, signature] = RESPONSE;
        let attributes = Writer::default()
            .bytes(payload, parts.next().unwrap_or_default())
            .number(payload_parts, count)
            .text(private_key_used, response.private_key_used().as_str())
            .text(signature, response.signature());
        let further = parts.zip(1..).map(|(bytes, part)| {
            let item = Writer::at(Key::payload(&self.key, part)).bytes("payload", bytes);
            // The retention of a large order's record begins when the order is handed over, which may be
            // later.
            Write::put(item.number(EXPIRES_AT, expiry(self.kept_for + KEPT_FOR, now)).0)
        });
        (attributes.0, further.collect())
    }
}

/// A request record of the table.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    pub(crate) state: RequestState,
    pub(crate) attempt: AttemptId,
    pub(crate) fingerprint: Option<String>,
    /// The end of the attempt's lease, in Unix microseconds.
    pub(crate) lease_until: i64,
    pub(crate) expires_at: i64,
    /// The time that the response is kept.
    pub(crate) kept_for: Duration,
    /// The product of a large order.
    pub(crate) product_id: Option<ProductId>,
    /// The number of items that hold the response; 0 if there is none.
    pub(crate) payload_parts: usize,
    pub(crate) item: Item,
}

impl RequestRecord {
    pub(crate) fn read(item: Item) -> Result<Self, StoreError> {
        let reader = Reader { item: &item, record: "request" };
        Ok(Self {
            state: reader.required("state", reader.optional("state", RequestState::read)?)?,
            // An order of the first version names no attempt.
            attempt: reader.optional_text("attempt")?.map_or_else(|| reader.id(PK), Ok)?,
            fingerprint: reader.optional_text("fingerprint")?,
            lease_until: reader.optional_text("lease_until")?.unwrap_or(0),
            expires_at: reader.optional_text(EXPIRES_AT)?.unwrap_or(i64::MAX),
            kept_for: reader.optional_text("kept_for")?.map_or(KEPT_FOR, Duration::from_secs),
            product_id: reader.optional_text("product_id")?,
            payload_parts: reader.optional_text("payload_parts")?.unwrap_or(0),
            item,
        })
    }

    fn reader(&self) -> Reader<'_> {
        Reader { item: &self.item, record: "request" }
    }

    /// The assignment that a large order was sold with.
    pub(crate) fn assignment(&self) -> Result<Assignment, StoreError> {
        let reader = self.reader();
        let (owner, order, at) =
            (reader.owner(OWNER)?, reader.order(ORDER_TO_BE)?, reader.time("assigned_at")?);
        Ok(Assignment { id: self.attempt.clone(), owner, order, at })
    }

    /// The mark of keys that the request stores one by one.
    pub(crate) fn creation_id(&self) -> Result<CreationId, StoreError> {
        self.reader().text("creation_id")
    }

    /// The owner of a large order.
    pub(crate) fn owner(&self) -> Result<Owner, StoreError> {
        self.reader().owner(OWNER)
    }

    /// Erases the owner and the response from the record. The record stays, so that a repetition of an
    /// answered request sells nothing.
    pub(crate) fn without_owner(&self) -> Result<Vec<Write>, StoreError> {
        let key = Key::of(&self.item)?;
        // An order of the first version names no attempt, and has other words for its state.
        let record = Write::update(key.clone()).when(
            "#state <> :open AND (#attempt = :seen OR attribute_not_exists(#attempt))",
            [(":open", RequestState::Open.value()), (":seen", text(&self.attempt))],
        );
        let record = RESPONSE.into_iter().chain(OWNER).fold(record, Write::remove);
        let further = (1..self.payload_parts).map(|part| Write::delete(Key::payload(&key, part)));
        Ok([record].into_iter().chain(further).collect())
    }

    /// The response that the record holds; `further` are the items of its other parts, in order.
    pub(crate) fn response(&self, further: &[Item]) -> Result<Envelope, StoreError> {
        let corrupt = || StoreError::Corrupt { record: "request", attribute: "payload" };
        let mut compressed = Vec::new();
        for item in [&self.item].into_iter().chain(further) {
            compressed.extend(Reader { item, record: "request" }.bytes("payload")?);
        }
        let mut payload = String::new();
        ZlibDecoder::new(&*compressed).read_to_string(&mut payload).map_err(|_| corrupt())?;
        let reader = self.reader();
        Envelope::restore(payload, &reader.text::<String>("private_key_used")?, reader.text("signature")?)
            .map_err(|_| corrupt())
    }
}

/// The facts of a sale in the record of a large order, for its settlement.
pub(crate) fn sale_facts(product_id: ProductId, assignment: &Assignment) -> Item {
    Writer::default()
        .number("product_id", product_id)
        .text("assigned_at", assignment.at)
        .owner(OWNER, &assignment.owner)
        .order(ORDER_TO_BE, &assignment.order)
        .0
}

/// The time from which DynamoDB may delete a record that was answered or voided at `now`, in Unix seconds.
pub(crate) fn expiry(kept_for: Duration, now: Timestamp) -> i64 {
    now.unix_seconds().saturating_add(i64::try_from(kept_for.as_secs()).unwrap_or(i64::MAX))
}

/// A key that a part of a large order reserves, and its version before that: 0 for a fresh key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedKey {
    pub(crate) license_key: LicenseKey,
    pub(crate) seen: u64,
}

/// The item of a part.
pub(crate) fn part_item(key: Key, keys: &[LicenseKeyRecord]) -> Item {
    Writer::at(key)
        .list("license_keys", keys.iter().map(|key| text(key.license_key.as_str())))
        .list("versions", keys.iter().map(|key| number(key.version)))
        .0
}

/// Reads the item of a part.
pub(crate) fn read_part(item: &Item) -> Result<Vec<ListedKey>, StoreError> {
    let reader = Reader { item, record: "part" };
    let keys = reader.elements::<LicenseKey>("license_keys")?.into_iter();
    let listed = keys.zip(reader.elements("versions")?);
    Ok(listed.map(|(license_key, seen)| ListedKey { license_key, seen }).collect())
}

/// The entry that finds a large order until each of its parts is handed over or undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    /// The entry's own key.
    pub(crate) entry: Key,
    /// The key of the request record.
    pub(crate) record: Key,
    pub(crate) product_id: ProductId,
    pub(crate) attempt: AttemptId,
    /// The beginning of the range keys of its parts.
    pub(crate) parts: String,
    /// The end of the attempt's lease, in Unix microseconds.
    pub(crate) lease_until: i64,
}

impl OpenRequest {
    pub(crate) fn new(record: &Key, product_id: ProductId, attempt: &AttemptId, lease_until: i64) -> Self {
        let entry = Key::open_request(product_id, record, attempt);
        let (record, attempt, parts) = (record.clone(), attempt.clone(), Key::parts_of(attempt));
        Self { entry, record, product_id, attempt, parts, lease_until }
    }

    pub(crate) fn item(&self) -> Item {
        Writer::at(self.entry.clone()).number("lease_until", self.lease_until).0
    }

    /// A write to the record, if the attempt holds it. An order of the first version names no attempt.
    pub(crate) fn when_held(&self, write: fn(Key) -> Write) -> Write {
        let values = [
            (":open", RequestState::Open.value()),
            (":former", text(FORMER_ORDER)),
            (":holder", text(&self.attempt)),
        ];
        write(self.record.clone()).when(
            "#state IN (:open, :former) AND (#attempt = :holder OR attribute_not_exists(#attempt))",
            values,
        )
    }

    /// Voids the record, if the attempt holds it.
    pub(crate) fn void(&self, now: Timestamp) -> Write {
        let void = self.when_held(Write::update).set("state", RequestState::Void.value());
        void.set(EXPIRES_AT, number(expiry(KEPT_FOR, now)))
    }

    pub(crate) fn read(item: &Item) -> Result<Self, StoreError> {
        let reader = Reader { item, record: "open request" };
        let (lease_until, sk): (i64, String) = (reader.text("lease_until")?, reader.text(SK)?);
        let (product_id, rest) = reader.required(SK, sk.split_once('#'))?;
        let product_id = product_id.parse().map_err(|_| reader.corrupt(SK))?;
        if let Some((id, attempt)) = rest.split_once('#') {
            let Ok(attempt) = attempt.parse();
            return Ok(Self::new(&Key::request(id), product_id, &attempt, lease_until));
        }
        // An order of the first version has a record of another kind, and parts that name no attempt.
        let record = Key::new(kind::FORMER_ORDER, rest);
        let lease_until = lease_until.saturating_add(FORMER_WRITES_US);
        let Ok(attempt) = rest.parse();
        let new = Self::new(&record, product_id, &attempt, lease_until);
        Ok(Self { entry: Key::of(item)?, parts: Key::PARTS.to_owned(), ..new })
    }

    /// Returns true if it is the order of this assignment.
    #[must_use]
    pub fn is_of(&self, assignment: &Assignment) -> bool {
        self.attempt == assignment.id
    }

    /// Returns true if its lease is over at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.lease_until <= now.unix_microseconds()
    }
}
