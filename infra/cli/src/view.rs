//! How records look in JSON: for `--json`, and before and after in the audit trail.

use keypool_domain::{ApiKeyRecord, Generator, LicenseKeyRecord, Method, OwnerField, Product};
use serde_json::{Value, json};

/// A product.
pub(crate) fn product(product: &Product) -> Value {
    json!({
        "id": product.id,
        "name": product.name.as_str(),
        "status": product.activity.as_str(),
        "generator_id": product.generator_id,
        "signing_key": product.signing_key_id.as_ref().map(ToString::to_string),
    })
}

/// A generator.
pub(crate) fn generator(generator: &Generator) -> Value {
    let mut value = json!({
        "id": generator.id,
        "product_id": generator.product_id,
        "status": generator.activity.as_str(),
        "method": generator.method.as_str(),
        "prefix": generator.prefix,
        "suffix": generator.suffix,
        "activation_limit": generator.activation_limit,
        "validity": generator.validity,
    });
    if let Method::ChunkSystem(chunks) = &generator.method {
        value["charset"] = json!(chunks.charset.to_string());
        value["number_of_chunks"] = json!(chunks.number_of_chunks);
        value["chunk_length"] = json!(chunks.chunk_length);
    }
    value
}

/// An API key, without the key.
pub(crate) fn api_key(api_key: &ApiKeyRecord) -> Value {
    json!({
        "sha256": api_key.hash.to_string(),
        "name": api_key.name.as_str(),
        "status": api_key.activity.as_str(),
        "capabilities": api_key.capabilities.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "networks": api_key.networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "valid_until": api_key.valid_until.map(|end| end.to_string()),
    })
}

/// A license key.
pub(crate) fn license_key(key: &LicenseKeyRecord) -> Value {
    json!({
        "license_key": key.license_key,
        "product_id": key.product_id,
        "status": key.status.as_str(),
        "activation_limit": key.activation_limit,
        "validity": key.validity,
        "owner_name": key.owner.name.as_ref().map(OwnerField::as_str),
        "owner_email": key.owner.email.as_ref().map(OwnerField::as_str),
        "assigned_at": key.assigned_at.map(|at| at.to_string()),
        "created_at": key.created_at.to_string(),
        "updated_at": key.updated_at.to_string(),
        "id": key.id,
        "version": key.version,
    })
}
