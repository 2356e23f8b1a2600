//! A signed response as a client received it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keypool_domain::{Envelope, LicenseKey, PrivateKeyUsed, ProductId};
use keypool_signing::{InvalidEnvelope, SignedEnvelope};
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::output::printable;
use crate::public_keys::NamedKey;

/// The reason for not trusting a response, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) String);

/// An envelope that was parsed, but not verified yet.
#[derive(Debug)]
pub(crate) struct Received {
    envelope: SignedEnvelope,
    pub(crate) used: PrivateKeyUsed,
    is_signed: bool,
    signed: String,
    pub(crate) said: Said,
}

/// The payload of an envelope, trusted or not.
#[derive(Debug)]
pub(crate) struct Said(Value);

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, rename = "response")]
    _response: &'a RawValue,
    response_base64: String,
    private_key_used: String,
    signature: String,
}

impl Received {
    /// Reads the body of a response.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let fault = |text: &str| Fault(text.to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| fault("not JSON: it is not UTF-8 text"))?;
        // Some editors put a byte order mark before a text.
        let text = text.trim_start_matches('\u{feff}');
        if text.trim().is_empty() {
            return Err(fault("not JSON: it is empty"));
        }
        let members: Members = serde_json::from_str(text).map_err(|error| unreadable(text, &error))?;
        let used = match members.private_key_used.as_str() {
            "global" => PrivateKeyUsed::Global,
            "product" => PrivateKeyUsed::Product,
            _ => return Err(fault("not an envelope: private_key_used is neither global nor product")),
        };
        let is_signed = members.signature != Envelope::WITHOUT_KEY;
        if is_signed && STANDARD.decode(&members.signature).is_err() {
            return Err(fault("signature is not valid base64"));
        }
        let signed = STANDARD.decode(&members.response_base64);
        let signed = signed.map_err(|_| fault("response_base64 is not valid base64"))?;
        let signed = String::from_utf8(signed).ok();
        let said = signed.as_deref().and_then(|signed| serde_json::from_str::<Value>(signed).ok());
        let (Some(signed), Some(said)) = (signed, said) else {
            return Err(fault("the content of response_base64 is not JSON"));
        };
        let envelope = SignedEnvelope::from_json(text).map_err(|error| Fault(error.to_string()))?;
        Ok(Self { envelope, used, is_signed, signed, said: Said(said) })
    }

    /// Finds the key among `keys` that signed the response. Returns a fault if none did.
    pub(crate) fn check<'k>(&self, keys: &'k [NamedKey]) -> Result<&'k NamedKey, Fault> {
        if !self.is_signed {
            let text = "the response is not signed: its sender has no signing key set";
            return Err(Fault(format!("{text} ({})", Envelope::WITHOUT_KEY)));
        }
        for named in keys {
            match self.envelope.verify(&named.key) {
                Ok(_) => return Ok(named),
                Err(InvalidEnvelope::WrongSignature) => {}
                Err(error) => return Err(Fault(error.to_string())),
            }
        }
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        Err(Fault(format!(
            "the signature is not by {}: another key signed the response, or somebody changed it",
            names.join(" or ")
        )))
    }

    /// Pretty-prints the payload and keeps the order of its members.
    pub(crate) fn pretty(&self) -> String {
        pretty(&self.signed)
    }

    /// Returns true if there is a signature, valid or not.
    pub(crate) fn is_signed(&self) -> bool {
        self.is_signed
    }
}

/// Says why a text is not an envelope. The fault quotes no text, which may hold license keys.
fn unreadable(text: &str, error: &serde_json::Error) -> Fault {
    let at = format!("line {}, column {}", error.line(), error.column());
    Fault(match error.classify() {
        Category::Eof => format!("not JSON: it ends too early, at {at}"),
        Category::Syntax | Category::Io => format!("not JSON: see {at}"),
        Category::Data => {
            let problem = serde_json::from_str::<Value>(text).unwrap_or_default();
            let reason = error.to_string();
            let reason = reason.split(" at line").next().unwrap_or_default();
            if let Some(detail) = problem.get("detail").and_then(Value::as_str) {
                format!("not an envelope, but an unsigned problem report: {}", printable(detail))
            } else if reason.starts_with("missing field") || reason.starts_with("duplicate field") {
                format!("not an envelope: {reason}")
            } else {
                "not an envelope: expected response, response_base64, private_key_used and signature"
                    .to_owned()
            }
        }
    })
}

impl Said {
    /// The code, if it has one.
    pub(crate) fn code(&self) -> Option<u64> {
        self.0.get("code")?.as_u64()
    }

    /// The message, safe for a terminal.
    pub(crate) fn message(&self) -> String {
        printable(self.0.get("message").and_then(Value::as_str).unwrap_or_default())
    }

    /// The time of the response, in UTC.
    pub(crate) fn at(&self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_second(self.0.get("timestamp")?.as_i64()?).ok()
    }

    /// The license keys in the response.
    pub(crate) fn license_keys(&self) -> Vec<&str> {
        let list = |name: &str| self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        let rows = list("license_keys").filter_map(|row| row.get("license_key")?.as_str());
        rows.chain(list("licenseKeys").filter_map(Value::as_str)).collect()
    }

    /// The product of its rows.
    pub(crate) fn product(&self) -> Option<ProductId> {
        let row = self.0.get("license_keys")?.as_array()?.first()?;
        row.get("product_id")?.to_string().parse().ok()
    }

    /// The first of its license keys.
    pub(crate) fn a_license_key(&self) -> Option<LicenseKey> {
        self.license_keys().first()?.parse().ok()
    }

    /// The counts in the response: created, duplicate, available.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let count = |name: &'static str| Some((name, self.0.get(name)?.as_u64()?));
        ["created", "duplicate", "available_quantity"].into_iter().filter_map(count).collect()
    }

    /// The whole payload.
    pub(crate) fn value(&self) -> &Value {
        &self.0
    }

    /// The members that are not secret.
    pub(crate) fn summary(&self) -> Value {
        let mut value = json!({
            "code": self.code(),
            "message": self.0.get("message"),
            "timestamp": self.0.get("timestamp"),
            "license_keys": self.license_keys().len(),
        });
        for (name, count) in self.counts() {
            value[name] = count.into();
        }
        value
    }
}

/// Pretty-prints JSON. (Parsing it into a `Value` would reorder the members.)
fn pretty(json: &str) -> String {
    let mut reader = serde_json::Deserializer::from_str(json);
    let text = serde_json::to_string_pretty(&serde_transcode::Transcoder::new(&mut reader));
    // The text was parsed before, so this cannot fail.
    let text = text.unwrap_or_default();
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pretty_printing_does_not_change_json() {
        let json = r#"{"b":[1,{"x":"a,\\\"{ü"}],"a":{},"c":[]}"#;
        let text = pretty(json);
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            serde_json::from_str::<Value>(json).unwrap()
        );
        assert!(text.starts_with("{\n  \"b\": [\n    1,\n    {\n      \"x\": \"a,"), "{text}");
        assert!(text.ends_with("\"a\": {},\n  \"c\": []\n}"), "{text}");
        assert_eq!(pretty("{ \"a\" : [ 1 ] }"), pretty("{\"a\":[1]}"));
        assert_eq!(pretty("\"\\u001b\\u009b\\u2028\""), "\"\\u001b\u{fffd}\u{2028}\"");
    }

    #[test]
    fn a_fault_does_not_quote_the_text() {
        for (text, expected) in [
            ("", "not JSON: it is empty"),
            ("\"KEY-1\"", "not an envelope: expected response"),
            ("{\"response\": {}}", "not an envelope: missing field `response_base64`"),
            ("{\"detail\": \"Not\\u001b now.\"}", "an unsigned problem report: Not\u{fffd} now."),
            ("{\"response\": ", "not JSON: it ends too early, at line 1"),
            ("<html>KEY-1", "not JSON: see line 1, column 1"),
        ] {
            let Fault(said) = Received::read(text.as_bytes()).unwrap_err();
            assert!(said.contains(expected) && !said.contains("KEY-1"), "{said}");
        }
        assert_eq!(Received::read(b"\xff").unwrap_err(), Fault("not JSON: it is not UTF-8 text".to_owned()));
    }
}
