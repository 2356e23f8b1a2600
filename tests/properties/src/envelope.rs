//! Checks the verification of responses: only signed content is accepted.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use keypool_domain::{LicenseKey, PrivateKeyUsed, Reply, SignablePayload, Timestamp};
use keypool_signing::{InvalidEnvelope, PublicKey, SignedEnvelope};
use serde_json::Value;

/// The key that signed the contract's samples.
static SAMPLE_KEY: LazyLock<PublicKey> =
    LazyLock::new(|| PublicKey::from_pem(include_bytes!("../../vectors/sample-public-key.pem")).unwrap());

/// A key of this process.
static KEY: LazyLock<(KeyPair, PublicKey)> = LazyLock::new(|| {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let public = PublicKey::from_der(der.as_ref().to_vec()).unwrap();
    (pair, public)
});

/// The texts that the sample key is known to have signed.
static SAMPLES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let seeds = crate::envelope_seeds().into_iter().skip(1);
    seeds.map(|seed| serde_json::from_slice(&seed).unwrap()).collect()
});

/// Checks the properties of every verified response.
///
/// - Bytes that begin with `{` are a foreign response. It is accepted only if it is one of the samples.
/// - Of other bytes, the first three select the kind, the place and the value of a change. The rest are the
///   license keys of the response. The original is accepted, and the changed response is not.
///
/// # Panics
/// If one of these fails.
pub fn holds(raw: &[u8]) {
    match raw {
        [b'{', ..] => from_anywhere(raw),
        [how, at, by, keys @ ..] => tampered(*how, *at, *by, keys),
        _ => {}
    }
}

fn from_anywhere(raw: &[u8]) {
    let Ok(text) = std::str::from_utf8(raw) else { return };
    let Ok(envelope) = SignedEnvelope::from_json(text) else { return };
    assert!(envelope.verify(&KEY.1).is_err(), "a foreign response is accepted");
    if let Ok(signed) = envelope.verify(&SAMPLE_KEY) {
        let told: Value = serde_json::from_str(text).unwrap();
        let signed: Value = serde_json::from_str(&signed).unwrap();
        assert!(told["response"] == signed, "the response differs from the signed one");
        let is_sample = |sample: &Value| {
            ["response", "response_base64", "signature"].iter().all(|member| sample[member] == told[member])
        };
        assert!(SAMPLES.iter().any(is_sample), "a forged response is accepted");
    }
}

/// Makes a response, signed by the key of this process.
fn envelope(keys: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(keys);
    let keys: Vec<LicenseKey> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let reply = match keys.len() {
        0 => Reply::LicenseKeyAssigned,
        _ => Reply::Generated(keys),
    };
    let now = Timestamp::from_unix_microseconds(1_708_999_933_000_000).unwrap();
    let payload = SignablePayload::new(&reply, now);
    let mut signature = vec![0; KEY.0.public_modulus_len()];
    let message = payload.signed_text().as_bytes();
    KEY.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    (payload.into_envelope(PrivateKeyUsed::Global, Some(&signature)).to_json(), reply.to_json(None, now))
}

fn tampered(how: u8, at: u8, by: u8, keys: &[u8]) {
    let (json, payload) = envelope(keys);
    let verify = |json: &str, key| SignedEnvelope::from_json(json).and_then(|envelope| envelope.verify(key));
    assert!(verify(&json, &KEY.1).as_ref() == Ok(&payload), "a genuine response is rejected");
    assert!(
        verify(&json, &SAMPLE_KEY) == Err(InvalidEnvelope::WrongSignature),
        "another key verifies the response"
    );
    let whole: Value = serde_json::from_str(&json).unwrap();
    assert!(verify(&format!("{whole:#}"), &KEY.1) == Ok(payload), "white space or order changes the result");

    let mut changed = whole.clone();
    let changed = match how % 5 {
        0 => replaced(&mut changed, "response_base64", at, by),
        1 => replaced(&mut changed, "signature", at, by),
        2 => {
            changed["response"]["code"] = (800 + u64::from(by)).into();
            changed.to_string()
        }
        // A member occurs twice: some readers take the first, others the last.
        3 => json.replacen("{\"code\":", &format!("{{\"code\":{by},\"code\":"), 1),
        _ => json.replacen("\"timestamp\":", &format!("\"extra\":{by},\"timestamp\":"), 1),
    };
    let as_signed =
        serde_json::from_str::<Value>(&changed).is_ok_and(|changed| changed == whole) && how % 5 != 3;
    assert!(as_signed || verify(&changed, &KEY.1).is_err(), "a changed response is accepted: {changed}");
}

/// Replaces one byte of a text.
fn replaced(envelope: &mut Value, member: &str, at: u8, by: u8) -> String {
    let mut text = envelope[member].as_str().unwrap().as_bytes().to_vec();
    let at = usize::from(at) * text.len() / 256;
    text[at] = if by.is_ascii() { by } else { b'A' + by % 26 };
    envelope[member] = String::from_utf8(text).unwrap().into();
    envelope.to_string()
}
