use std::io::{Read as _, Write as _};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use keypool_domain::{ClaimId, CreationId, Envelope, Fingerprint};

use super::{EXPIRES_AT, Item, Key, Reader, Writer};
use crate::StoreError;

/// How much of a remembered response stands in one item, compressed. An item holds 400 KB.
const PART_BYTES_MAX: usize = 300_000;

/// A claim as the table has it.
pub(crate) struct ClaimRecord {
    pub(crate) fingerprint: String,
    pub(crate) attempt: String,
    pub(crate) creation_id: CreationId,
    /// Whether what it claims is done.
    pub(crate) is_done: bool,
    /// Until when the attempt that holds it has it to itself, in Unix microseconds.
    pub(crate) lease_until: i64,
    pub(crate) expires_at: i64,
    /// In how many items the response stands, if there is one.
    pub(crate) payload_parts: usize,
    /// The signature of that response.
    pub(crate) signature: Option<String>,
}

/// A claim that has just been made.
pub(crate) fn claim_item(id: ClaimId, fingerprint: Fingerprint, claim: &ClaimRecord) -> Item {
    Writer::at(Key::claim(id))
        .text("fingerprint", fingerprint)
        .text("state", "started")
        .text("attempt", &claim.attempt)
        .text("creation_id", &claim.creation_id)
        .number("lease_until", claim.lease_until)
        .number(EXPIRES_AT, claim.expires_at)
        .0
}

pub(crate) fn read_claim(item: &Item) -> Result<ClaimRecord, StoreError> {
    let reader = Reader { item, record: "idempotency" };
    Ok(ClaimRecord {
        fingerprint: reader.required("fingerprint")?,
        attempt: reader.required("attempt")?,
        creation_id: reader.required("creation_id")?,
        is_done: reader.raw("state")? == "done",
        lease_until: reader.required("lease_until")?,
        expires_at: reader.required(EXPIRES_AT)?,
        payload_parts: reader.optional("payload_parts")?.unwrap_or(0),
        signature: reader.optional("signature")?,
    })
}

/// The payload of a response, compressed and cut into parts that fit into items.
pub(crate) struct PayloadParts(Vec<Vec<u8>>);

impl PayloadParts {
    pub(crate) fn of(envelope: &Envelope) -> Self {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        // Writing into memory cannot fail.
        let compressed =
            encoder.write_all(envelope.payload_json().as_bytes()).and_then(|()| encoder.finish());
        Self(compressed.unwrap_or_default().chunks(PART_BYTES_MAX).map(<[u8]>::to_vec).collect())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first part, which stands in the claim itself.
    pub(crate) fn first(&self) -> AttributeValue {
        AttributeValue::B(Blob::new(self.0.first().cloned().unwrap_or_default()))
    }

    /// The parts that stand in items of their own, each with its number.
    pub(crate) fn others(self) -> impl Iterator<Item = (usize, Vec<u8>)> {
        self.0.into_iter().enumerate().skip(1)
    }
}

pub(crate) fn payload_part_item(id: ClaimId, part: usize, bytes: Vec<u8>, expires_at: i64) -> Item {
    Writer::at(Key::payload_part(id, part)).bytes("payload", bytes).number(EXPIRES_AT, expires_at).0
}

/// Reads the response that a claim remembers; `items` are the claim and the further parts, in order.
pub(crate) fn read_payload(items: &[Item]) -> Result<Envelope, StoreError> {
    let reader = |item| Reader { item, record: "idempotency" };
    let corrupt = || StoreError::Corrupt { record: "idempotency", attribute: "payload" };
    let mut compressed = Vec::new();
    for item in items {
        compressed.extend_from_slice(reader(item).bytes("payload")?);
    }
    let mut payload = String::new();
    ZlibDecoder::new(&*compressed).read_to_string(&mut payload).map_err(|_| corrupt())?;
    let claim = reader(items.first().ok_or_else(corrupt)?);
    Envelope::restore(payload, claim.raw("private_key_used")?, claim.required("signature")?)
        .map_err(|_| corrupt())
}

#[cfg(test)]
mod tests {
    use keypool_domain::{PrivateKeyUsed, Reply, SignablePayload, Timestamp};

    use super::*;
    use crate::record::text;

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
        let now = Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap();
        for (reply, is_large) in [(Reply::LicenseKeyAssigned, false), (noise(1_000), true)] {
            let envelope =
                SignablePayload::new(&reply, now).into_envelope(PrivateKeyUsed::Product, Some(&[7]));
            let cut = PayloadParts::of(&envelope);
            assert_eq!(cut.count() > 1, is_large);
            let mut claim = Item::from([
                ("private_key_used".to_owned(), text("product")),
                ("signature".to_owned(), text(envelope.signature())),
            ]);
            claim.insert("payload".to_owned(), cut.first());
            let mut items = vec![claim];
            let id = ClaimId::new(
                "k".parse::<keypool_domain::ApiKey>().unwrap().hash(),
                keypool_domain::Endpoint::Generate,
                &"1".parse().unwrap(),
            );
            items.extend(cut.others().map(|(part, bytes)| payload_part_item(id, part, bytes, 0)));
            assert_eq!(read_payload(&items).unwrap().to_json(), envelope.to_json());
            items[0].insert("signature".to_owned(), AttributeValue::Bool(true));
            assert!(read_payload(&items).is_err());
        }
    }
}
