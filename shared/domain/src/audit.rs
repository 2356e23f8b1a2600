use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::license_key_record::random_id;
use crate::{Name, Owner, OwnerField, Randomness, Timestamp};

random_id! {
    /// The unique id of an entry of the audit trail.
    AuditId
}

/// The author of a change: an ARN from AWS STS, `local:USER` on the embedded stack, or `api-key:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal(String);

impl Principal {
    /// The most characters of a principal; an ARN has fewer.
    const CHARACTERS_MAX: usize = 2_048;

    /// Makes a principal of this name, cut to 2,048 characters.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.chars().take(Self::CHARACTERS_MAX).collect())
    }

    /// A shop, by the name of its API key.
    #[must_use]
    pub fn of_api_key(name: &Name) -> Self {
        Self::new(&format!("api-key:{name}"))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Principal {
    type Err = std::convert::Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(name))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An entry of the audit trail: one change, made by an operator with the command or by a shop with its API
/// key. It holds no secret: it names an API key by its hash or its name.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// The id of the entry.
    pub id: AuditId,
    /// The time of the change.
    pub at: Timestamp,
    /// The author of the change.
    pub principal: Principal,
    /// The kind and the verb of the change: `product.update`, `keys.block`.
    pub action: String,
    /// The changed thing: `product 42`, or a license key.
    pub subject: String,
    /// The state before; `None` if it did not exist.
    pub before: Option<Value>,
    /// The state after; `None` if it was deleted.
    pub after: Option<Value>,
}

impl AuditEntry {
    /// The entry without the owner with this email address; `None` if it does not name them. The operator's
    /// reason stays.
    #[must_use]
    pub fn without_owner(&self, email: &OwnerField) -> Option<Self> {
        let mut entry = self.clone();
        let values = [&mut entry.before, &mut entry.after].into_iter().flatten();
        let count: usize = values.map(|value| Owner::erase_from_json(value, email)).sum();
        (count > 0).then_some(entry)
    }
}
