use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{LicenseKey, OrderReference, Owner, OwnerField, Reply, RowId, Timestamp};

/// The key that signed a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrivateKeyUsed {
    /// The key of the product that the response concerns.
    Product,
    /// The key for every product without its own.
    Global,
}

impl PrivateKeyUsed {
    /// The contract's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Global => "global",
        }
    }
}

/// A reply ready for signing: its compact JSON, and the base64 that the signature covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignablePayload {
    json: String,
    base64: String,
}

impl SignablePayload {
    /// Writes `reply`, given at `now`.
    #[must_use]
    pub fn new(reply: &Reply, now: Timestamp) -> Self {
        Self::about(None, reply, now)
    }

    /// Writes `reply`, given at `now`, about the shop's order `identifier`.
    #[must_use]
    pub fn about(identifier: Option<&OrderReference>, reply: &Reply, now: Timestamp) -> Self {
        Self::from_json(reply.to_json(identifier, now))
    }

    fn from_json(json: String) -> Self {
        let base64 = STANDARD.encode(&json);
        Self { json, base64 }
    }

    /// The text that the signature covers: the ASCII text of `response_base64`.
    #[must_use]
    pub fn signed_text(&self) -> &str {
        &self.base64
    }

    /// The most bytes that the envelope takes as a text in JSON, where quotes and backslashes are escaped.
    #[must_use]
    pub fn envelope_bytes_max(&self) -> usize {
        /// The names of the members, and a signature of 512 bytes.
        const AROUND: usize = 1_024;
        let escaped = self.json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        self.json.len() + escaped + self.base64.len() + AROUND
    }

    /// The envelope around the payload. Without a `signature`, a fixed text takes its place.
    #[must_use]
    pub fn into_envelope(self, private_key_used: PrivateKeyUsed, signature: Option<&[u8]>) -> Envelope {
        Envelope {
            signature: signature
                .map_or_else(|| Envelope::WITHOUT_KEY.to_owned(), |bytes| STANDARD.encode(bytes)),
            payload: self,
            private_key_used,
        }
    }
}

/// A stored text that is not part of an envelope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an envelope")]
pub struct UnreadableEnvelope;

/// A response as it goes to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload: SignablePayload,
    private_key_used: PrivateKeyUsed,
    signature: String,
}

impl Envelope {
    /// The text in place of the signature if neither the product nor the shop has a signing key.
    pub const WITHOUT_KEY: &'static str = "Private key not set";

    /// Restores an envelope from its stored parts, byte for byte.
    ///
    /// # Errors
    /// If `private_key_used` is no word of [`PrivateKeyUsed`], or `payload_json` is not JSON.
    pub fn restore(
        payload_json: String,
        private_key_used: &str,
        signature: String,
    ) -> Result<Self, UnreadableEnvelope> {
        let private_key_used = [PrivateKeyUsed::Product, PrivateKeyUsed::Global]
            .into_iter()
            .find(|used| used.as_str() == private_key_used)
            .ok_or(UnreadableEnvelope)?;
        serde_json::from_str::<&RawValue>(&payload_json).map_err(|_| UnreadableEnvelope)?;
        Ok(Self { payload: SignablePayload::from_json(payload_json), private_key_used, signature })
    }

    /// The JSON of `response`.
    #[must_use]
    pub fn payload_json(&self) -> &str {
        &self.payload.json
    }

    /// Returns true if a row of the response has the owner with this email address.
    #[must_use]
    pub fn tells_of_owner(&self, email: &OwnerField) -> bool {
        let payload = serde_json::from_str(self.payload_json());
        payload.is_ok_and(|mut payload| Owner::erase_from_json(&mut payload, email) > 0)
    }

    /// The key that signed.
    #[must_use]
    pub const fn private_key_used(&self) -> PrivateKeyUsed {
        self.private_key_used
    }

    /// The signature in base64, or the text in its place.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// Reads the code of the reply, and its `licenseKeys` if it has any (code 815).
    ///
    /// # Errors
    /// If the payload is not that of a reply.
    pub fn read(&self) -> Result<(u16, Vec<LicenseKey>), UnreadableEnvelope> {
        #[derive(Deserialize)]
        struct Payload {
            code: u16,
            #[serde(rename = "licenseKeys", default)]
            license_keys: Vec<String>,
        }
        let payload: Payload = serde_json::from_str(&self.payload.json).map_err(|_| UnreadableEnvelope)?;
        let keys = payload.license_keys.iter().map(|key| key.parse());
        Ok((payload.code, keys.collect::<Result<_, _>>().map_err(|_| UnreadableEnvelope)?))
    }

    /// Reads the numeric ids of the keys that the reply assigns (code 803).
    ///
    /// # Errors
    /// If the payload is not that of a reply.
    pub fn row_ids(&self) -> Result<Vec<RowId>, UnreadableEnvelope> {
        #[derive(Deserialize)]
        struct Payload {
            #[serde(default)]
            license_keys: Vec<Row>,
        }
        #[derive(Deserialize)]
        struct Row {
            id: u64,
        }
        let payload: Payload = serde_json::from_str(&self.payload.json).map_err(|_| UnreadableEnvelope)?;
        let ids = payload.license_keys.iter().map(|row| row.id.to_string().parse());
        ids.collect::<Result<_, _>>().map_err(|_| UnreadableEnvelope)
    }

    /// The body of a callback with the envelope, in the form that the shop's plugin reads.
    #[must_use]
    pub fn to_callback_json(&self) -> String {
        format!(r#"{{"headers":{{}},"original":{},"exception":null}}"#, self.to_json())
    }

    /// The body of the HTTP response. `response` is exactly the text that `response_base64` encodes.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Members<'a> {
            response: &'a RawValue,
            response_base64: &'a str,
            private_key_used: PrivateKeyUsed,
            signature: &'a str,
        }
        // serde_json wrote the payload, so it reads back, and writing these members cannot fail.
        serde_json::from_str(&self.payload.json)
            .and_then(|response| {
                serde_json::to_string(&Members {
                    response,
                    response_base64: &self.payload.base64,
                    private_key_used: self.private_key_used,
                    signature: &self.signature,
                })
            })
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_carries_the_bytes_that_were_signed() {
        let now = Timestamp::from_unix_microseconds(1_708_999_933_000_000).unwrap();
        let payload = SignablePayload::new(&Reply::LicenseKeyAssigned, now);
        // The base64 of the contract's sample.
        let base64 =
            "eyJjb2RlIjo4MDAsIm1lc3NhZ2UiOiJMaWNlbnNlIGtleSBhc3NpZ25lZCIsInRpbWVzdGFtcCI6MTcwODk5OTkzM30=";
        assert_eq!(payload.signed_text(), base64);
        assert_eq!(
            payload.clone().into_envelope(PrivateKeyUsed::Product, Some(&[0xff, 0xee])).to_json(),
            format!(
                r#"{{"response":{{"code":800,"message":"License key assigned","timestamp":1708999933}},"response_base64":"{base64}","private_key_used":"product","signature":"/+4="}}"#
            )
        );
        let unsigned = payload.into_envelope(PrivateKeyUsed::Global, None).to_json();
        assert!(unsigned.ends_with(r#""private_key_used":"global","signature":"Private key not set"}"#));
    }

    #[test]
    fn an_envelope_is_restored_byte_for_byte() {
        let now = Timestamp::from_unix_microseconds(1_708_999_933_000_000).unwrap();
        let reply = Reply::Generated(vec!["a/\"ü".parse().unwrap(), "b".parse().unwrap()]);
        for (used, signature) in
            [(PrivateKeyUsed::Product, Some(&[0xff, 0xee][..])), (PrivateKeyUsed::Global, None)]
        {
            let envelope = SignablePayload::new(&reply, now).into_envelope(used, signature);
            let restored = Envelope::restore(
                envelope.payload_json().to_owned(),
                envelope.private_key_used().as_str(),
                envelope.signature().to_owned(),
            );
            let restored = restored.unwrap();
            assert_eq!(restored.to_json(), envelope.to_json());
            let (code, keys) = restored.read().unwrap();
            assert_eq!((code, keys.len(), keys[0].as_str()), (815, 2, "a/\"ü"));
        }
        assert!(Envelope::restore("{".to_owned(), "global", String::new()).is_err());
        assert!(Envelope::restore("{}".to_owned(), "somebody", String::new()).is_err());
    }
}
