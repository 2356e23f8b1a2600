//! Public keys as JSON Web Keys (RFC 7517), which libraries of every language read.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::RsaPublicKeyComponents;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::PublicKey;

/// The algorithm of signatures in a JSON Web Key: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3).
const ALGORITHM: &str = "RS256";

impl PublicKey {
    /// The key as a JSON Web Key. Its `kid` is its thumbprint.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let (n, e) = self.encoded_components();
        json!({"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": self.thumbprint(), "n": n, "e": e})
    }

    /// The key's SHA-256 thumbprint (RFC 7638) in base64url, which is the same everywhere.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let (n, e) = self.encoded_components();
        // The required members in the order of their names, and no white space: section 3 of the RFC.
        URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)))
    }

    fn encoded_components(&self) -> (String, String) {
        let (modulus, exponent) = self.components();
        (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(exponent))
    }
}

/// A set of public keys: those that sign a shop's responses, or have signed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwkSet {
    keys: Vec<PublicKey>,
}

/// A text that is not a set of JSON Web Keys, or a set without a key that could have signed a response.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwkSet {
    /// Not JSON, or without the member `keys`.
    #[error("not a set of JSON Web Keys: expected JSON like {{\"keys\":[...]}}")]
    Unreadable,
    /// No key in it signs responses.
    #[error("none of the JSON Web Keys is an RSA key of 2048 bits or more for signatures by {ALGORITHM}")]
    NoKey,
}

/// The parts of a key that decide if it signs responses. Unknown members are ignored.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    n: String,
    e: String,
}

impl Jwk {
    /// The key, if it is one that signs responses.
    fn into_key(self) -> Option<PublicKey> {
        let fits = self.kty == "RSA"
            && self.purpose.is_none_or(|purpose| purpose == "sig")
            && self.alg.is_none_or(|algorithm| algorithm == ALGORITHM);
        if !fits {
            return None;
        }
        let (n, e) = (component(&self.n)?, component(&self.e)?);
        let der: PublicKeyX509Der<'_> = RsaPublicKeyComponents { n, e }.as_der().ok()?;
        PublicKey::from_der(der.as_ref().to_vec()).ok()
    }
}

/// An unsigned number, big-endian. Some libraries put a zero before it, which RFC 7518 forbids but which
/// changes nothing.
fn component(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

impl JwkSet {
    /// Makes a set of these keys, each once.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let mut distinct = Vec::new();
        for key in keys {
            if !distinct.contains(&key) {
                distinct.push(key);
            }
        }
        Self { keys: distinct }
    }

    /// Reads a set. Skips keys that cannot have signed a response, as RFC 7517 (section 5) requires: other
    /// types, other uses, other algorithms, incomplete ones.
    pub fn from_json(json: &str) -> Result<Self, InvalidJwkSet> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_str(json).map_err(|_| InvalidJwkSet::Unreadable)?;
        let read = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let set = Self::new(read.filter_map(Jwk::into_key));
        if set.keys.is_empty() { Err(InvalidJwkSet::NoKey) } else { Ok(set) }
    }

    /// The set as JSON, in one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        json!({"keys": self.keys.iter().map(PublicKey::to_jwk).collect::<Vec<_>>()}).to_string()
    }

    /// The keys, in their original order.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7638, section 3.1.
    const EXAMPLE: &str = concat!(
        r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_B"#,
        "JECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAt",
        "aSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_x",
        r#"BniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#
    );
    const EXAMPLE_THUMBPRINT: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

    fn example() -> Value {
        serde_json::from_str(EXAMPLE).unwrap()
    }

    fn read(key: &Value) -> Result<JwkSet, InvalidJwkSet> {
        JwkSet::from_json(&json!({"keys": [key]}).to_string())
    }

    #[test]
    fn the_thumbprint_matches_the_example_in_the_rfc() {
        let set = read(&example()).unwrap();
        let [key] = set.keys() else { panic!("one key: {set:?}") };
        assert_eq!(key.thumbprint(), EXAMPLE_THUMBPRINT);
        let jwk = key.to_jwk();
        assert_eq!((&jwk["n"], &jwk["e"]), (&example()["n"], &example()["e"]));
        assert_eq!(jwk["kid"], EXAMPLE_THUMBPRINT);
        assert_eq!((&jwk["use"], &jwk["alg"]), (&"sig".into(), &"RS256".into()));
    }

    #[test]
    fn a_set_reads_back_and_names_each_key_once() {
        let json = json!({"keys": [example(), example()]}).to_string();
        let set = JwkSet::from_json(&json).unwrap();
        assert_eq!(set.keys().len(), 1);
        assert_eq!(JwkSet::from_json(&set.to_json()), Ok(set.clone()));
        let pem = set.keys().first().unwrap().to_pem();
        assert_eq!(PublicKey::from_pem(pem.as_bytes()).ok().as_ref(), set.keys().first());
    }

    #[test]
    fn keys_that_sign_no_responses_are_skipped() {
        let others = [
            json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
            json!({"kty": "RSA", "use": "enc", "n": example()["n"], "e": "AQAB"}),
            json!({"kty": "RSA", "alg": "PS256", "n": example()["n"], "e": "AQAB"}),
            json!({"kty": "RSA", "n": example()["n"]}),
            json!({"kty": "RSA", "n": "not base64!", "e": "AQAB"}),
            json!({"kty": "RSA", "n": "", "e": "AQAB"}),
            json!({"kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZw", "e": "AQAB"}),
            json!("a text"),
        ];
        for other in &others {
            assert_eq!(read(other), Err(InvalidJwkSet::NoKey), "{other}");
        }
        let mixed = json!({"keys": others.iter().chain([&example()]).collect::<Vec<_>>()});
        assert_eq!(JwkSet::from_json(&mixed.to_string()).unwrap().keys().len(), 1);
    }

    #[test]
    fn a_number_with_a_zero_before_it_is_the_same_number() {
        let mut padded = example();
        padded["e"] = "AAEAAQ".into();
        assert_eq!(read(&padded), read(&example()));
    }

    #[test]
    fn invalid_sets_are_refused() {
        for text in ["", "{}", "[]", r#"{"keys":{}}"#, EXAMPLE] {
            assert_eq!(JwkSet::from_json(text), Err(InvalidJwkSet::Unreadable), "{text}");
        }
        assert_eq!(JwkSet::from_json(r#"{"keys":[]}"#), Err(InvalidJwkSet::NoKey));
    }
}
