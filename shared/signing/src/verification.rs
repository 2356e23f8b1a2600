use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaSubjectPublicKey, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keypool_domain::Envelope;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exact::Exact;

/// The public half of a signing key: an RSA key of 2,048 bits or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// X.509 `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7) in DER.
    der: Vec<u8>,
    /// The modulus, big-endian, without zeros before it.
    modulus: Vec<u8>,
    /// The public exponent, likewise.
    exponent: Vec<u8>,
}

/// A text or bytes that hold no public key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key: expected a PEM block that begins with -----BEGIN PUBLIC KEY-----")]
pub struct InvalidPublicKey;

impl PublicKey {
    /// The label of a PEM block with a public key (RFC 7468, section 13).
    const LABEL: &str = "PUBLIC KEY";

    /// The least length of a modulus. Signatures by shorter keys are not trusted.
    const MODULUS_BYTES_MIN: usize = 256;

    /// Reads a `SubjectPublicKeyInfo` in DER, the form that KMS returns. It must be of an RSA key.
    pub fn from_der(der: Vec<u8>) -> Result<Self, InvalidPublicKey> {
        let rsa = RsaSubjectPublicKey::from_der(&der).map_err(|_| InvalidPublicKey)?;
        let (modulus, exponent) = rsa_components(rsa.as_ref()).ok_or(InvalidPublicKey)?;
        if modulus.len() < Self::MODULUS_BYTES_MIN {
            return Err(InvalidPublicKey);
        }
        Ok(Self { der, modulus, exponent })
    }

    /// The same key in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Modulus and public exponent, big-endian, without zeros before them.
    pub(crate) fn components(&self) -> (&[u8], &[u8]) {
        (&self.modulus, &self.exponent)
    }

    /// Reads the first public key in a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidPublicKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| InvalidPublicKey)?;
        Self::from_der(der.to_vec())
    }

    /// The key as `openssl` reads it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new(Self::LABEL, self.der.clone()), config)
    }

    /// Returns true if `signature` is this key's, over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.der).verify(message, signature).is_ok()
    }
}

/// The two numbers of an `RSAPublicKey` (RFC 8017, appendix A.1.1) that aws-lc has parsed and rewritten.
fn rsa_components(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let (numbers, _) = element(der, SEQUENCE)?;
    let (modulus, rest) = element(numbers, INTEGER)?;
    let (exponent, _) = element(rest, INTEGER)?;
    // A number whose first bit is set has a zero before it, so that it is not negative.
    let unsigned = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect();
    Some((unsigned(modulus), unsigned(exponent)))
}

/// The contents of a DER element of that type, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    // Up to 127 the byte is the length; else it says how many bytes the length has.
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (length.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
    };
    rest.split_at_checked(length)
}

/// A response as a client received it, not yet verified.
#[derive(Debug, Deserialize)]
pub struct SignedEnvelope {
    response: Box<RawValue>,
    response_base64: String,
    signature: String,
}

/// The reason why a response is not valid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnvelope {
    /// Not JSON, or one of the members is missing.
    #[error("not an envelope: expected JSON with response, response_base64, private_key_used and signature")]
    Unreadable,
    /// The shop has no signing key.
    #[error("the response is not signed: {}", Envelope::WITHOUT_KEY)]
    Unsigned,
    /// The signature is not this key's, or the text it covers was changed.
    #[error("the signature does not hold for this public key")]
    WrongSignature,
    /// `response` differs from the signed text.
    #[error("the signature holds, but the member response is not what was signed")]
    OtherResponse,
}

impl SignedEnvelope {
    /// Reads the body of a response.
    pub fn from_json(json: &str) -> Result<Self, InvalidEnvelope> {
        serde_json::from_str(json).map_err(|_| InvalidEnvelope::Unreadable)
    }

    /// Checks the signature against `key`, and `response` against the signed text. Returns the signed text.
    ///
    /// Compares members of `response` as JSON values: a client may have read the envelope and written it
    /// again with other white space. A repeated member counts as a difference.
    pub fn verify(&self, key: &PublicKey) -> Result<String, InvalidEnvelope> {
        if self.signature == Envelope::WITHOUT_KEY {
            return Err(InvalidEnvelope::Unsigned);
        }
        let signature = STANDARD.decode(&self.signature).map_err(|_| InvalidEnvelope::WrongSignature)?;
        if !key.verifies(self.response_base64.as_bytes(), &signature) {
            return Err(InvalidEnvelope::WrongSignature);
        }
        let signed =
            STANDARD.decode(&self.response_base64).ok().and_then(|json| String::from_utf8(json).ok());
        let signed = signed.ok_or(InvalidEnvelope::Unreadable)?;
        let value = |json: &str| serde_json::from_str::<Exact>(json).ok();
        if value(&signed).is_none() || value(&signed) != value(self.response.get()) {
            return Err(InvalidEnvelope::OtherResponse);
        }
        Ok(signed)
    }
}
