use keypool_signing::{PublicKey, SignedEnvelope};
use serde_json::Value;

use super::{Order, What};
use crate::{Promise, Shop, ShopResponse};

/// An order, and what came of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The order.
    pub order: Order,
    /// What its buyer was told.
    pub outcome: Outcome,
}

/// What a buyer was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A signed response.
    Told(Told),
    /// No answer: the connection was lost. What became of it is not known.
    Nothing,
    /// 503 whenever it was sent, and the weakest promise that came with it.
    Unavailable(Promise),
    /// 503, and it is certain that no key was given away, then or later.
    Refused,
}

/// What stands in a signed response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The whole body, byte for byte, as a number.
    pub digest: u128,
    /// `response.code`.
    pub code: u64,
    /// The rows of keys that were given away.
    pub rows: Vec<Row>,
    /// The keys that were made.
    pub made: Vec<String>,
    /// `created` and `duplicate`.
    pub created: Option<(usize, usize)>,
}

/// A key that was given away, as the response has it or as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub license_key: String,
    /// Its number.
    pub id: u64,
    /// When it was given away.
    pub assigned_at: String,
    /// Its product.
    pub product: u32,
    /// Its owner.
    pub owner: String,
}

/// The public keys that responses are checked with.
#[derive(Debug, Clone)]
pub struct PublicKeys {
    /// The global one.
    pub global: PublicKey,
    /// Products' own.
    pub products: Vec<(u32, PublicKey)>,
}

impl PublicKeys {
    /// The global one, for a shop whose products have none of their own.
    ///
    /// # Panics
    /// If the shop does not hand it out.
    pub async fn global_of(shop: &Shop) -> Self {
        let pem = shop.public_key_pem(None).await;
        Self { global: PublicKey::from_pem(pem.as_bytes()).unwrap(), products: Vec::new() }
    }

    /// Whether the response to an order is signed by the key that it names.
    #[must_use]
    pub fn verify(&self, response: &ShopResponse, order: &Order) -> bool {
        let Ok(envelope) = SignedEnvelope::from_json(&response.text) else { return false };
        let verifies = |key: &PublicKey| envelope.verify(key).is_ok();
        match response.envelope_text("private_key_used").as_str() {
            // Which product a key is of is not known to whoever names it.
            "product" => self.products.iter().any(|(product, key)| {
                (*product == order.product || matches!(order.what, What::Assign(_) | What::Replace { .. }))
                    && verifies(key)
            }),
            _ => verifies(&self.global),
        }
    }
}

impl Told {
    /// Whether it says that nothing was done.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.code, 801 | 802 | 804 | 805 | 806 | 816 | 862 | 901)
    }

    /// Reads a signed response.
    ///
    /// # Panics
    /// If it counts more than there can be.
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

/// A number for a text. (Not fit against an adversary, and there is none.)
fn digest(text: &str) -> u128 {
    text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |state: u128, byte| {
        (state ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}
