use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Reply, Timestamp};

/// Which key signed a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrivateKeyUsed {
    /// The key of the product that the response concerns.
    Product,
    /// The key that stands for every product without one of its own.
    Global,
}

/// A reply made ready for signing: its compact JSON and the base64 of it, over which the signature goes.
#[derive(Debug, Clone)]
pub struct SignablePayload {
    json: String,
    base64: String,
}

impl SignablePayload {
    /// Writes `reply`, given at `now`.
    #[must_use]
    pub fn new(reply: &Reply, now: Timestamp) -> Self {
        let json = reply.to_json(now);
        let base64 = STANDARD.encode(&json);
        Self { json, base64 }
    }

    /// What the signature covers: the ASCII text of `response_base64`.
    #[must_use]
    pub fn signed_text(&self) -> &str {
        &self.base64
    }

    /// The envelope around the payload. Without a `signature` it says so in its place.
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

/// A response as it goes to the client.
#[derive(Debug, Clone)]
pub struct Envelope {
    payload: SignablePayload,
    private_key_used: PrivateKeyUsed,
    signature: String,
}

impl Envelope {
    /// What stands for the signature where neither the product nor the shop has a signing key.
    pub const WITHOUT_KEY: &'static str = "Private key not set";

    /// The body of the HTTP response. `response` is the very text that `response_base64` encodes.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Members<'a> {
            response: &'a RawValue,
            response_base64: &'a str,
            private_key_used: PrivateKeyUsed,
            signature: &'a str,
        }
        // The payload was written by serde_json, so it reads back, and these members cannot fail to be
        // written.
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
}
