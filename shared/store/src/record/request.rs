//! The request record: one item for each request that must be recognised when it is repeated, or that takes
//! more than one write. Beside it stand the parts of a large order and the further parts of a long response.
//!
//! The first version of the table had two records in its place, and both are still read: claims, under the
//! same key as the request record, and orders of their own, with an entry under `ORDERS`.

use std::io::{Read as _, Write as _};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use keypool_domain::{
    Assignment, AttemptId, CreationId, Envelope, LicenseKey, Owner, OwnerField, ProductId, Timestamp,
};

use super::{EXPIRES_AT, Item, Key, Reader, SK, Writer, number, text};
use crate::StoreError;
use crate::dynamo::Write;

/// How much of a compressed response one item holds. An item takes 400 KB.
const PAYLOAD_BYTES_MAX: usize = 300_000;
/// How long a response is remembered from when it was given, and a void record is kept.
const KEPT_FOR_SECONDS: i64 = 24 * 60 * 60;
/// How long AWS may still accept a write that was signed before an order of the first version ended. Such an
/// order is settled after that, since its writes came one by one.
const FORMER_WRITES_US: i64 = 15 * 60 * 1_000_000;

/// The state of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// An attempt works on it.
    Open,
    /// It is answered. Its keys are the owner's, though not every key may say so yet.
    Done,
    /// Its attempt has failed. Nothing was sold, though keys may still be reserved.
    Void,
}

impl RequestState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Void => "void",
        }
    }

    fn read(text: &str) -> Option<Self> {
        match text {
            "open" | "started" | "reserving" => Some(Self::Open),
            "done" | "committed" | "sold" => Some(Self::Done),
            "void" | "aborted" => Some(Self::Void),
            _ => None,
        }
    }
}

/// The origin of the keys of a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The stock. A key that is undone returns there.
    Stock,
    /// A generator. A key that is undone is deleted.
    Generator,
}

impl Origin {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Generator => "generator",
        }
    }

    /// An entry of the first version names no origin; its record does.
    fn read(reader: &Reader<'_>) -> Result<Self, StoreError> {
        match reader.optional_raw("origin")? {
            None | Some("stock") => Ok(Self::Stock),
            Some("generator") => Ok(Self::Generator),
            Some(_) => Err(reader.corrupt("origin")),
        }
    }
}

/// A request record as the table has it.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    pub(crate) state: RequestState,
    /// The state in the table's words, for conditions.
    pub(crate) state_text: String,
    pub(crate) attempt: String,
    pub(crate) fingerprint: Option<String>,
    /// The mark of keys that the request stores one by one.
    pub(crate) creation_id: Option<CreationId>,
    /// The end of the attempt's lease, in Unix microseconds.
    pub(crate) lease_until: i64,
    pub(crate) expires_at: i64,
    /// The product of a large order.
    pub(crate) product_id: Option<ProductId>,
    pub(crate) owner: Owner,
    pub(crate) assigned_at: Option<Timestamp>,
    pub(crate) origin: Origin,
    /// The number of items that hold the response.
    payload_parts: usize,
    pub(crate) signature: Option<String>,
}

impl RequestRecord {
    pub(crate) fn read(item: &Item) -> Result<Self, StoreError> {
        let reader = Reader { item, record: "request" };
        let state_text = reader.raw("state")?.to_owned();
        let attempt = match reader.optional_raw("attempt")? {
            Some(attempt) => attempt.to_owned(),
            // An order of the first version.
            None => reader.id()?,
        };
        Ok(Self {
            state: RequestState::read(&state_text).ok_or_else(|| reader.corrupt("state"))?,
            state_text,
            attempt,
            fingerprint: reader.optional("fingerprint")?,
            creation_id: reader.optional("creation_id")?,
            lease_until: reader.optional("lease_until")?.unwrap_or(0),
            expires_at: reader.optional(EXPIRES_AT)?.unwrap_or(i64::MAX),
            product_id: reader.optional("product_id")?,
            owner: Owner { name: reader.optional("owner_name")?, email: reader.optional("owner_email")? },
            assigned_at: reader.optional_time("assigned_at")?,
            origin: Origin::read(&reader)?,
            payload_parts: reader.optional("payload_parts")?.unwrap_or(0),
            signature: reader.optional("signature")?,
        })
    }

    /// Whether `attempt` has answered the request.
    pub(crate) fn is_done_by(&self, attempt: &AttemptId) -> bool {
        self.state == RequestState::Done && self.attempt == attempt.as_str()
    }

    /// The assignment that the sale was made with.
    pub(crate) fn assignment(&self) -> Result<Assignment, StoreError> {
        let corrupt = StoreError::Corrupt { record: "request", attribute: "assigned_at" };
        let at = self.assigned_at.ok_or(corrupt)?;
        let Ok(id) = self.attempt.parse();
        Ok(Assignment { id, owner: self.owner.clone(), at })
    }

    /// The keys of the items that hold the rest of the response.
    pub(crate) fn further_payload(&self, key: &Key) -> Vec<Item> {
        (1..self.payload_parts).map(|part| Key::payload(key, part).into_item()).collect()
    }
}

/// The attributes that a write gives to a request record.
pub(crate) fn open_request_item(
    key: Key,
    attempt: &AttemptId,
    fingerprint: Option<&str>,
    lease_until: i64,
    now: Timestamp,
) -> Item {
    let (expires_at, seconds) = expiry(now);
    Writer::at(key)
        .text("state", RequestState::Open.as_str())
        .text("attempt", attempt)
        .optional_text("fingerprint", fingerprint)
        .number("lease_until", lease_until)
        .number(expires_at, seconds)
        .0
}

/// Adds the facts of a sale that whoever settles it needs.
pub(crate) fn with_sale(
    mut item: Item,
    product_id: ProductId,
    assignment: &Assignment,
    origin: Origin,
) -> Item {
    let owner = &assignment.owner;
    item.insert("product_id".to_owned(), number(product_id));
    item.insert("origin".to_owned(), text(origin.as_str()));
    item.insert("assigned_at".to_owned(), text(assignment.at));
    let mut owner_field = |name: &str, field: &Option<OwnerField>| {
        if let Some(field) = field {
            item.insert(name.to_owned(), text(field.as_str()));
        }
    };
    owner_field("owner_name", &owner.name);
    owner_field("owner_email", &owner.email);
    item
}

/// The time from which DynamoDB may delete a record that was answered or voided at `now`. A void record
/// outlives every write that AWS may still accept from its attempt.
pub(crate) fn expiry(now: Timestamp) -> (&'static str, i64) {
    (EXPIRES_AT, now.unix_seconds() + KEPT_FOR_SECONDS)
}

/// A response, compressed and cut into parts that fit into items.
pub(crate) struct SavedResponse<'a> {
    envelope: &'a Envelope,
    parts: Vec<Vec<u8>>,
}

impl<'a> SavedResponse<'a> {
    pub(crate) fn of(envelope: &'a Envelope) -> Self {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        // Writing into memory cannot fail.
        let compressed =
            encoder.write_all(envelope.payload_json().as_bytes()).and_then(|()| encoder.finish());
        let parts = compressed.unwrap_or_default().chunks(PAYLOAD_BYTES_MAX).map(<[u8]>::to_vec).collect();
        Self { envelope, parts }
    }

    /// The attributes of the request record: the first part of the response, and what belongs to all of it.
    pub(crate) fn attributes(&self) -> [(&'static str, AttributeValue); 4] {
        let first = self.parts.first().cloned().unwrap_or_default();
        [
            ("payload", AttributeValue::B(Blob::new(first))),
            ("payload_parts", number(self.parts.len())),
            ("private_key_used", text(self.envelope.private_key_used().as_str())),
            ("signature", text(self.envelope.signature())),
        ]
    }

    /// The writes of the further parts.
    pub(crate) fn further_writes(self, key: &Key, now: Timestamp) -> impl Iterator<Item = Write> {
        let (expires_at, seconds) = expiry(now);
        self.parts.into_iter().enumerate().skip(1).map(move |(part, bytes)| {
            let item = Writer::at(Key::payload(key, part)).bytes("payload", bytes);
            // The record of a large order begins its day when the order is handed over, which may be later.
            Write::put(item.number(expires_at, seconds + KEPT_FOR_SECONDS).0)
        })
    }
}

/// Reads a saved response from the request record and the items of its further parts, in order.
pub(crate) fn read_response(items: &[Item]) -> Result<Envelope, StoreError> {
    let reader = |item| Reader { item, record: "request" };
    let corrupt = || StoreError::Corrupt { record: "request", attribute: "payload" };
    let mut compressed = Vec::new();
    for item in items {
        compressed.extend_from_slice(reader(item).bytes("payload")?);
    }
    let mut payload = String::new();
    ZlibDecoder::new(&*compressed).read_to_string(&mut payload).map_err(|_| corrupt())?;
    let record = reader(items.first().ok_or_else(corrupt)?);
    Envelope::restore(payload, record.raw("private_key_used")?, record.required("signature")?)
        .map_err(|_| corrupt())
}

/// A key that a part of a large order reserves, and its version before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedKey {
    pub(crate) license_key: LicenseKey,
    pub(crate) seen: u64,
}

/// The item of a part.
pub(crate) fn part_item(key: Key, keys: &[ListedKey]) -> Item {
    Writer::at(key)
        .list("license_keys", keys.iter().map(|key| text(key.license_key.as_str())).collect())
        .list("versions", keys.iter().map(|key| number(key.seen)).collect())
        .0
}

pub(crate) fn read_part(item: &Item) -> Result<Vec<ListedKey>, StoreError> {
    let reader = Reader { item, record: "part" };
    let keys = reader.elements::<LicenseKey>("license_keys")?.into_iter();
    let listed = keys.zip(reader.elements("versions")?);
    Ok(listed.map(|(license_key, seen)| ListedKey { license_key, seen }).collect())
}

/// The entry by which a large order is found until each of its parts is handed over or undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    /// The entry's own key.
    pub(crate) entry: Key,
    /// The key of the request record.
    pub(crate) record: Key,
    pub(crate) product_id: ProductId,
    pub(crate) attempt: AttemptId,
    pub(crate) origin: Origin,
    /// The beginning of the range keys of its parts.
    pub(crate) parts: String,
    /// The end of the attempt's lease, in Unix microseconds.
    pub(crate) lease_until: i64,
}

impl OpenRequest {
    pub(crate) fn new(
        record: &Key,
        product_id: ProductId,
        origin: Origin,
        attempt: &AttemptId,
        lease_until: i64,
    ) -> Self {
        Self {
            origin,
            entry: Key::open_request(product_id, record, attempt),
            record: record.clone(),
            product_id,
            attempt: attempt.clone(),
            parts: Key::parts_of(attempt),
            lease_until,
        }
    }

    pub(crate) fn item(&self) -> Item {
        Writer::at(self.entry.clone())
            .text("origin", self.origin.as_str())
            .number("lease_until", self.lease_until)
            .0
    }

    pub(crate) fn read(item: &Item) -> Result<Self, StoreError> {
        let reader = Reader { item, record: "open request" };
        let entry = Key::of(item)?;
        let corrupt = || reader.corrupt(SK);
        let lease_until: i64 = reader.required("lease_until")?;
        let origin = Origin::read(&reader)?;
        let (product_id, rest) = reader.raw(SK)?.split_once('#').ok_or_else(corrupt)?;
        let product_id = product_id.parse().map_err(|_| corrupt())?;
        if let Some((id, attempt)) = rest.split_once('#') {
            let Ok(attempt) = attempt.parse();
            let open = Self::new(&Key::request(id), product_id, origin, &attempt, lease_until);
            return Ok(Self { entry, ..open });
        }
        let Ok(attempt) = rest.parse();
        Ok(Self {
            entry,
            record: Key::former_order(rest),
            product_id,
            attempt,
            origin,
            parts: Key::PARTS.to_owned(),
            lease_until: lease_until.saturating_add(FORMER_WRITES_US),
        })
    }

    /// Whether it is the order of this assignment.
    #[must_use]
    pub fn is_of(&self, assignment: &Assignment) -> bool {
        self.attempt == assignment.id
    }

    /// Whether its lease is over at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.lease_until <= now.unix_microseconds()
    }
}

#[cfg(test)]
mod tests {
    use keypool_domain::{OperatingSystemRandomness, PrivateKeyUsed, Reply, SignablePayload};

    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap()
    }

    /// Texts that do not compress.
    fn noise(count: usize) -> Reply {
        let mut state = 1_u64;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from_u32(0x4e00 + u32::try_from(state >> 51).unwrap()).unwrap()
        };
        let keys = (0..count).map(|_| (0..255).map(|_| letter()).collect::<String>().parse().unwrap());
        Reply::Generated(keys.collect())
    }

    #[test]
    fn a_response_of_any_size_reads_back() {
        let key = Key::request("1");
        for (reply, is_large) in [(Reply::LicenseKeyAssigned, false), (noise(1_000), true)] {
            let payload = SignablePayload::new(&reply, at());
            let envelope = payload.into_envelope(PrivateKeyUsed::Product, Some(&[7]));
            let saved = SavedResponse::of(&envelope);
            assert_eq!(saved.parts.len() > 1, is_large);
            let record: Item = saved.attributes().map(|(name, value)| (name.to_owned(), value)).into();
            let further = saved.parts.iter().skip(1);
            let further = further
                .map(|part| Item::from([("payload".to_owned(), AttributeValue::B(Blob::new(&**part)))]));
            let mut items: Vec<Item> = [record].into_iter().chain(further).collect();
            assert_eq!(read_response(&items).unwrap(), envelope);
            assert_eq!(saved.further_writes(&key, at()).count(), items.len() - 1);
            items[0].insert("signature".to_owned(), AttributeValue::Bool(true));
            assert!(read_response(&items).is_err());
        }
    }

    #[test]
    fn a_record_its_entry_and_its_parts_read_back() {
        let attempt = AttemptId::random(&OperatingSystemRandomness);
        let owner = Owner { name: Some("Test User".parse().unwrap()), email: None };
        let assignment = Assignment { id: attempt.clone(), owner, at: at() };
        let key = Key::request(&attempt);
        for origin in [Origin::Stock, Origin::Generator] {
            let item = open_request_item(key.clone(), &attempt, Some("f"), 7, at());
            let item = with_sale(item, ProductId::MAX, &assignment, origin);
            let record = RequestRecord::read(&item).unwrap();
            assert_eq!((record.state, record.origin, record.lease_until), (RequestState::Open, origin, 7));
            assert_eq!(record.assignment().unwrap(), assignment);
            let open = OpenRequest::new(&key, ProductId::MAX, origin, &attempt, 7);
            assert_eq!(OpenRequest::read(&open.item()), Ok(open));
        }
        let keys = [("a#1", 1), ("ключ", 2)]
            .map(|(key, seen)| ListedKey { license_key: key.parse().unwrap(), seen });
        assert_eq!(read_part(&part_item(Key::part(&key, &attempt, 0), &keys)), Ok(keys.to_vec()));
    }

    #[test]
    fn words_of_the_first_version_are_read() {
        use RequestState::{Done, Open, Void};
        for (text, state) in
            [("started", Open), ("reserving", Open), ("committed", Done), ("sold", Done), ("aborted", Void)]
        {
            assert_eq!(RequestState::read(text), Some(state), "{text}");
        }
    }
}
