use std::fmt;
use std::str::FromStr;

use crate::limits::{InvalidNumber, integer_within, number};
use crate::status::Activity;
use crate::{GeneratorId, Name, Timestamp};
use serde::Serialize;

number! {
    /// The id of a product.
    ProductId, u32, 1, u32::MAX
}

/// The id, ARN or alias of a KMS key that signs responses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SigningKeyId(String);

impl SigningKeyId {
    /// The id as KMS accepts it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SigningKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that KMS would not accept as a key id (1 to 2,048 printable ASCII characters).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the id, ARN or alias of a KMS key")]
pub struct InvalidSigningKeyId;

impl FromStr for SigningKeyId {
    type Err = InvalidSigningKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if printable && (1..=2_048).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSigningKeyId)
        }
    }
}

/// A product: a stock of license keys, and its signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id in the shop.
    pub id: ProductId,
    /// The name that people use for it.
    pub name: Name,
    /// The activity. An inactive product does not exist for callers.
    pub activity: Activity,
    /// The generator that makes its keys when the stock runs out.
    pub generator_id: Option<GeneratorId>,
    /// The product's own signing key; without one, the global key signs.
    pub signing_key_id: Option<SigningKeyId>,
}

impl Product {
    /// Returns true if it is in use.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.activity == Activity::Active
    }
}

/// A retired signing key, and the data that verifies its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredKey {
    /// The product it signed for; `None` for a global key.
    pub product_id: Option<ProductId>,
    /// Its id in KMS, which may have deleted it.
    pub signing_key_id: SigningKeyId,
    /// Its public half, as `SubjectPublicKeyInfo` in DER: KMS forgets it when the key is deleted.
    pub public_key_der: Vec<u8>,
    /// The time at which it was retired. Warm functions may have signed with it for 60 seconds longer.
    pub retired_at: Timestamp,
}
