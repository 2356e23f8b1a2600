use keypool_signing::{PublicKey, SignedEnvelope};
use serde_json::Value;

use super::{Order, What};
use crate::{Promise, Shop, ShopResponse};

/// An order and its outcome.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The order.
    pub order: Order,
    /// The outcome for its buyer.
    pub outcome: Outcome,
}

/// The outcome of an order for its buyer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A signed response.
    SignedResult(SignedResult),
    /// No response: the connection was lost, and the outcome is unknown.
    Nothing,
    /// A 503 at each attempt, with the weakest of its promises.
    Unavailable(Promise),
    /// A 503 for an order that certainly assigned no key, then or later.
    Refused,
}

/// The contents of a signed response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedResult {
    /// A digest of the whole body.
    pub digest: u128,
    /// `response.code`.
    pub code: u64,
    /// The rows of the assigned keys.
    pub rows: Vec<Row>,
    /// The generated keys.
    pub made: Vec<String>,
    /// `created` and `duplicate`.
    pub created: Option<(usize, usize)>,
}

/// An assigned key, in a response or in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub license_key: String,
    /// Its row id.
    pub id: u64,
    /// The time of the assignment.
    pub assigned_at: String,
    /// Its product.
    pub product: u32,
    /// Its owner.
    pub owner: String,
}

/// The public keys that verify responses.
#[derive(Debug, Clone)]
pub struct PublicKeys {
    /// The global key.
    pub global: PublicKey,
    /// The keys of products.
    pub products: Vec<(u32, PublicKey)>,
}

impl PublicKeys {
    /// Reads the global key of a shop whose products have no keys of their own.
    ///
    /// # Panics
    /// If the shop does not serve the key.
    pub async fn global_of(shop: &Shop) -> Self {
        let pem = shop.public_key_pem(None).await;
        Self { global: PublicKey::from_pem(pem.as_bytes()).unwrap(), products: Vec::new() }
    }

    /// True if the response to an order is signed by the key that it names.
    #[must_use]
    pub fn verify(&self, response: &ShopResponse, order: &Order) -> bool {
        let Ok(envelope) = SignedEnvelope::from_json(&response.text) else { return false };
        let verifies = |key: &PublicKey| envelope.verify(key).is_ok();
        match response.envelope_text("private_key_used").as_str() {
            // The response does not name the product whose key signed it.
            "product" => self.products.iter().any(|(product, key)| {
                (*product == order.product || matches!(order.what, What::Assign(_) | What::Replace { .. }))
                    && verifies(key)
            }),
            _ => verifies(&self.global),
        }
    }
}

impl SignedResult {
    /// True if the code says that nothing was done.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.code, 801 | 802 | 804 | 805 | 806 | 816 | 862 | 901)
    }

    /// Reads a signed response.
    ///
    /// # Panics
    /// If a count exceeds `usize`.
    #[must_use]
    pub fn read(response: &ShopResponse) -> Self {
        let body = response.response();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let count = |name: &str| body[name].as_u64().map(|count| usize::try_from(count).unwrap());
        let rows = body["license_keys"].as_array().into_iter().flatten().map(|row| Row {
            license_key: text(&row["license_key"]),
            id: row["id"].as_u64().unwrap_or(0),
            assigned_at: text(&row["assigned_at"]),
            product: row["product_id"].as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or(0),
            owner: text(&row["owner_name"]),
        });
        Self {
            digest: digest(&response.text),
            code: body["code"].as_u64().unwrap_or(0),
            rows: rows.collect(),
            made: body["licenseKeys"].as_array().into_iter().flatten().map(text).collect(),
            created: count("created").zip(count("duplicate")),
        }
    }
}

/// Returns a digest of a text. It need not resist an adversary.
fn digest(text: &str) -> u128 {
    text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |state: u128, byte| {
        (state ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}
