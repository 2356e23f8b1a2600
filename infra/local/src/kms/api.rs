use std::sync::Arc;

use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::KeyRing;
use super::key_ring::{Tag, public_key_der};

/// The largest message of `MessageType` `RAW` that KMS signs, in bytes.
const RAW_BYTES_MAX: usize = 4_096;
/// The length of a SHA-256 digest, in bytes.
const DIGEST_BYTES: usize = 32;

const ACCOUNT: &str = "arn:aws:kms:eu-central-1:000000000000";

/// An error of KMS: its name and its message.
struct KmsError(&'static str, &'static str);

type Answer = Result<Value, KmsError>;

/// Serves one call in the AWS JSON 1.1 protocol.
pub(super) async fn handle(
    State(key_ring): State<Arc<KeyRing>>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation = target.strip_prefix("TrentService.").unwrap_or_default().to_owned();
    // Creating a key takes so long that it would block this thread.
    let answered = tokio::task::spawn_blocking(move || call(&key_ring, &operation, &body)).await;
    let answer = answered.unwrap_or(Err(KmsError("KMSInternalException", "The call did not finish.")));
    let (status, json) = match answer {
        Ok(json) => (StatusCode::OK, json),
        Err(KmsError("KMSInternalException", text)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, json!({"__type": "KMSInternalException", "message": text}))
        }
        Err(KmsError(name, text)) => (StatusCode::BAD_REQUEST, json!({"__type": name, "message": text})),
    };
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], json.to_string()).into_response()
}

fn call(key_ring: &KeyRing, operation: &str, body: &[u8]) -> Answer {
    match operation {
        "CreateKey" => create_key(key_ring, &read(body)?),
        "CreateAlias" => create_alias(key_ring, &read(body)?),
        "ListResourceTags" => list_resource_tags(key_ring, &read(body)?),
        "GetPublicKey" => public_key(key_ring, &read(body)?),
        "Sign" => sign(key_ring, &read(body)?),
        _ => Err(KmsError("UnknownOperationException", "The embedded KMS does not have this operation.")),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, KmsError> {
    serde_json::from_slice(body)
        .map_err(|_| KmsError("SerializationException", "The request is not the JSON that was expected."))
}

fn internal<E>(_: E) -> KmsError {
    KmsError("KMSInternalException", "The embedded KMS failed.")
}

fn find(key_ring: &KeyRing, name: &str) -> Result<(String, Arc<KeyPair>), KmsError> {
    key_ring.find(name).ok_or(KmsError("NotFoundException", "There is no such key."))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateKey {
    key_spec: String,
    key_usage: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

fn create_key(key_ring: &KeyRing, request: &CreateKey) -> Answer {
    if request.key_spec != "RSA_2048" || request.key_usage != "SIGN_VERIFY" {
        let text = "The embedded KMS only makes keys of RSA_2048 for SIGN_VERIFY.";
        return Err(KmsError("UnsupportedOperationException", text));
    }
    if !request.tags.iter().all(Tag::is_valid) {
        return Err(KmsError(
            "TagException",
            "A tag has a key of 1 to 128 characters and a value of up to 256.",
        ));
    }
    let id = key_ring.create_key(&request.tags).map_err(internal)?;
    Ok(json!({"KeyMetadata": {
        "KeyId": id, "Arn": format!("{ACCOUNT}:key/{id}"), "Enabled": true, "KeyState": "Enabled",
        "KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY", "Origin": "AWS_KMS", "KeyManager": "CUSTOMER",
        "SigningAlgorithms": ["RSASSA_PKCS1_V1_5_SHA_256"],
    }}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateAlias {
    alias_name: String,
    target_key_id: String,
}

fn create_alias(key_ring: &KeyRing, request: &CreateAlias) -> Answer {
    // Letters, digits and two marks. KMS also allows a slash, but here a name is a file name.
    let is_plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if !request.alias_name.strip_prefix("alias/").is_some_and(is_plain) {
        return Err(KmsError(
            "InvalidAliasNameException",
            "An alias is alias/ with letters, digits, - and _.",
        ));
    }
    let (id, _) = find(key_ring, &request.target_key_id)?;
    if key_ring.create_alias(&request.alias_name, &id).map_err(internal)? {
        Ok(json!({}))
    } else {
        Err(KmsError("AlreadyExistsException", "An alias with this name already exists."))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListResourceTags {
    key_id: String,
}

fn list_resource_tags(key_ring: &KeyRing, request: &ListResourceTags) -> Answer {
    // Tags belong to keys, not to aliases.
    if request.key_id.contains("alias/") {
        return Err(KmsError("InvalidArnException", "The tags of a key need its id or ARN."));
    }
    let (id, _) = find(key_ring, &request.key_id)?;
    Ok(json!({"Tags": key_ring.tags(&id), "Truncated": false}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetPublicKey {
    key_id: String,
}

fn public_key(key_ring: &KeyRing, request: &GetPublicKey) -> Answer {
    let (id, key) = find(key_ring, &request.key_id)?;
    let der = public_key_der(&key).ok_or(()).map_err(internal)?;
    Ok(json!({
        "KeyId": format!("{ACCOUNT}:key/{id}"), "PublicKey": STANDARD.encode(der),
        "KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY",
        "SigningAlgorithms": ["RSASSA_PKCS1_V1_5_SHA_256"],
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sign {
    key_id: String,
    message: String,
    message_type: Option<String>,
    signing_algorithm: String,
}

fn sign(key_ring: &KeyRing, request: &Sign) -> Answer {
    if request.signing_algorithm != "RSASSA_PKCS1_V1_5_SHA_256" {
        let text = "The embedded KMS only signs with RSASSA_PKCS1_V1_5_SHA_256.";
        return Err(KmsError("InvalidKeyUsageException", text));
    }
    let message = STANDARD.decode(&request.message);
    let message = message.map_err(|_| KmsError("SerializationException", "Message is not base64."))?;
    let digest = match request.message_type.as_deref() {
        Some("DIGEST") if message.len() == DIGEST_BYTES => {
            Digest::import_less_safe(&message, &SHA256).map_err(internal)?
        }
        Some("DIGEST") => {
            return Err(KmsError("ValidationException", "Digest is of invalid length for the algorithm."));
        }
        None | Some("RAW") if (1..=RAW_BYTES_MAX).contains(&message.len()) => digest(&SHA256, &message),
        None | Some("RAW") => {
            return Err(KmsError("ValidationException", "Message must have 1 to 4096 bytes."));
        }
        Some(_) => return Err(KmsError("ValidationException", "MessageType must be RAW or DIGEST.")),
    };
    let (id, key) = find(key_ring, &request.key_id)?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature).map_err(internal)?;
    Ok(json!({
        "KeyId": format!("{ACCOUNT}:key/{id}"), "Signature": STANDARD.encode(signature),
        "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256",
    }))
}
