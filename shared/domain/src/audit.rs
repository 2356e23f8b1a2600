use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::license_key_record::random_id;
use crate::{Name, Owner, OwnerField, Randomness, Timestamp};

random_id! {
    /// Tells one entry of the audit trail from every other.
    AuditId
}

/// Who made a change: an ARN as AWS STS says it, `local:USER` on the embedded stack, or `api-key:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal(String);

impl Principal {
    /// The most characters of a principal; an ARN has fewer.
    const CHARACTERS_MAX: usize = 2_048;

    /// Whoever calls themselves that; cut to 2,048 characters.
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

/// One change that an operator made by the command, or a shop by its API key: an entry of the audit trail. It
/// holds no secret: an API key is named by its hash or its name.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Which entry.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub principal: Principal,
    /// What was done, as kind and verb: `product.update`, `keys.block`.
    pub action: String,
    /// What it was done to: `product 42`, or a license key.
    pub subject: String,
    /// What it was like before; `None` if it was not there.
    pub before: Option<Value>,
    /// What it is like now; `None` if it is gone.
    pub after: Option<Value>,
}

impl AuditEntry {
    /// The entry without the owner with this email address; `None` if it does not tell of them. What an operator
    /// wrote as a reason stays.
    #[must_use]
    pub fn without_owner(&self, email: &OwnerField) -> Option<Self> {
        let mut entry = self.clone();
        let values = [&mut entry.before, &mut entry.after].into_iter().flatten();
        let count: usize = values.map(|value| Owner::erase_from_json(value, email)).sum();
        (count > 0).then_some(entry)
    }
}
