use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::{
    ActivationLimit, ApiKeyHash, Generator, KeyRow, LicenseKey, ListedRow, OrderReference, Owner, ProductId,
    Randomness, RowId, Status, StockPosition, Timestamp, Validity,
};

/// The order that keys were sold under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOrder {
    /// The shop's name for it.
    pub reference: OrderReference,
    /// The API key that sold it. `None` for keys that were sold before they were stored, or by an operator.
    pub sold_by: Option<ApiKeyHash>,
}

/// A license key about to be stored.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The key.
    pub license_key: LicenseKey,
    /// The product it belongs to.
    pub product_id: ProductId,
    /// The number of times that it may be activated.
    pub activation_limit: ActivationLimit,
    /// The number of days for which it is valid.
    pub validity: Validity,
    /// The status it starts with.
    pub status: Status,
    /// Its owner, if it has one.
    pub owner: Owner,
    /// The time at which the owner got it.
    pub assigned_at: Option<Timestamp>,
    /// The order that it was sold under, if the order has a reference.
    pub order: Option<KeyOrder>,
    /// The assignment that sells it as it is stored, if there is one.
    pub assignment_id: Option<AttemptId>,
    /// The creation that stores it, if a later attempt must recognize it.
    pub creation_id: Option<CreationId>,
}

impl NewKey {
    /// A key that `generator` made, in stock.
    #[must_use]
    pub fn in_stock(generator: &Generator, license_key: LicenseKey) -> Self {
        Self {
            license_key,
            product_id: generator.product_id,
            activation_limit: generator.activation_limit,
            validity: generator.validity,
            status: Status::Available,
            owner: Owner::default(),
            assigned_at: None,
            order: None,
            assignment_id: None,
            creation_id: None,
        }
    }

    /// The same key, stored by this creation.
    #[must_use]
    pub fn created_by(self, creation_id: Option<&CreationId>) -> Self {
        Self { creation_id: creation_id.cloned(), ..self }
    }

    /// The record of the key as it is first stored. An available key gets its place in the stock here.
    #[must_use]
    pub fn into_record(
        self,
        id: RowId,
        now: Timestamp,
        randomness: &(impl Randomness + ?Sized),
    ) -> LicenseKeyRecord {
        LicenseKeyRecord {
            draw: (self.status == Status::Available).then(|| StockPosition::random(randomness)),
            license_key: self.license_key,
            product_id: self.product_id,
            activation_limit: self.activation_limit,
            validity: self.validity,
            status: self.status,
            owner: self.owner,
            assigned_at: self.assigned_at,
            order: self.order,
            replaced_by: None,
            created_at: now,
            updated_at: now,
            id,
            version: 1,
            assignment_id: self.assignment_id,
            creation_id: self.creation_id,
        }
    }
}

/// The one truth about a license key, as the table holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenseKeyRecord {
    /// The key.
    pub license_key: LicenseKey,
    /// The product it belongs to.
    pub product_id: ProductId,
    /// The number of times that it may be activated.
    pub activation_limit: ActivationLimit,
    /// The number of days for which it is valid.
    pub validity: Validity,
    /// Its status.
    pub status: Status,
    /// Its owner, if it has one.
    pub owner: Owner,
    /// The time at which the owner got it.
    pub assigned_at: Option<Timestamp>,
    /// The order that it was sold under, if the order has a reference.
    pub order: Option<KeyOrder>,
    /// The key that replaced it. A key is replaced once.
    pub replaced_by: Option<LicenseKey>,
    /// The time at which it was stored.
    pub created_at: Timestamp,
    /// The time of its last change.
    pub updated_at: Timestamp,
    /// Its numeric id.
    pub id: RowId,
    /// The version. Each change adds one, and a write names the version that it read. 0 before the key is
    /// stored.
    pub version: u64,
    /// The assignment that last sold it, or that it is reserved for.
    pub assignment_id: Option<AttemptId>,
    /// The creation that stored it, if that has an id.
    pub creation_id: Option<CreationId>,
    /// Its place in the stock; only an available key has one.
    pub draw: Option<StockPosition>,
}

impl LicenseKeyRecord {
    /// The same key for an order that stores it. It is never in stock, and has no version yet.
    #[must_use]
    pub fn unstored(self) -> Self {
        Self { version: 0, draw: None, ..self }
    }

    /// The row that lists it in `get-license-keys`.
    #[must_use]
    pub fn into_listed_row(self) -> ListedRow {
        ListedRow(self)
    }

    /// The key in JSON, as the command prints it and the audit trail keeps it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let [owner_name, owner_email] = self.owner.texts();
        json!({
            "license_key": self.license_key,
            "product_id": self.product_id,
            "status": self.status.as_str(),
            "activation_limit": self.activation_limit,
            "validity": self.validity,
            "owner_name": owner_name,
            "owner_email": owner_email,
            "assigned_at": self.assigned_at.map(|at| at.to_string()),
            "order": self.order.as_ref().map(|order| order.reference.as_str()),
            "replaced_by": self.replaced_by,
            "created_at": self.created_at.to_string(),
            "updated_at": self.updated_at.to_string(),
            "id": self.id,
            "version": self.version,
        })
    }

    /// The row that shows this key to the buyer, as it is after `assignment`.
    #[must_use]
    pub fn row(&self, assignment: &Assignment) -> KeyRow {
        KeyRow {
            product_id: self.product_id,
            license_key: self.license_key.clone(),
            activation_limit: self.activation_limit,
            validity: self.validity,
            owner: assignment.owner.clone(),
            assigned_at: assignment.at,
            updated_at: assignment.at,
            created_at: self.created_at,
            id: self.id,
        }
    }
}

// A random id: version 4 UUIDs, 122 random bits.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// A fresh id.
            pub fn random(randomness: &(impl Randomness + ?Sized)) -> Self {
                let mut bytes = [0; 16];
                randomness.fill(&mut bytes);
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
            }

            /// The id as the table holds it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = std::convert::Infallible;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Ok(Self(text.to_owned()))
            }
        }
    };
}

pub(crate) use random_id;

random_id! {
    /// The unique id of an attempt to assign keys. A write that finds its own id on a key has succeeded
    /// before: its response was lost.
    AttemptId
}

random_id! {
    /// The unique id of the keys that one request stores, the same for all attempts at that request. A later
    /// attempt recognizes by it the keys that are stored.
    CreationId
}

/// The unique id of an import: 64 random bits, 16 hexadecimal digits as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImportId(u64);

impl ImportId {
    /// A fresh id.
    pub fn random(randomness: &(impl Randomness + ?Sized)) -> Self {
        let mut bytes = [0; 8];
        randomness.fill(&mut bytes);
        Self(u64::from_be_bytes(bytes))
    }
}

impl fmt::Display for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that is not the id of an import.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 16 hexadecimal digits")]
pub struct InvalidImportId;

impl FromStr for ImportId {
    type Err = InvalidImportId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidImportId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidImportId)
    }
}

/// The beginning of the creation ids of imports. Those of requests are UUIDs, which have no such letters.
const OF_IMPORT: &str = "import:";

impl CreationId {
    /// The creation of one line of an import. A resumed import recognizes by it the keys that are stored, and
    /// their lines, without a list.
    #[must_use]
    pub fn of_line(import: ImportId, line: u64) -> Self {
        Self(format!("{OF_IMPORT}{import}:{line}"))
    }

    /// The import and the line of an id made by [`CreationId::of_line`].
    #[must_use]
    pub fn import_line(&self) -> Option<(ImportId, u64)> {
        let (import, line) = self.0.strip_prefix(OF_IMPORT)?.split_once(':')?;
        Some((import.parse().ok()?, line.parse().ok()?))
    }
}

/// An assignment of keys to an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The id of the assignment.
    pub id: AttemptId,
    /// The owner who gets the keys.
    pub owner: Owner,
    /// The order that they are sold under, if it has a reference.
    pub order: Option<KeyOrder>,
    /// The time of the assignment.
    pub at: Timestamp,
}

impl Assignment {
    /// A new assignment, under no order.
    pub fn new(owner: Owner, at: Timestamp, randomness: &(impl Randomness + ?Sized)) -> Self {
        Self { id: AttemptId::random(randomness), owner, order: None, at }
    }

    /// The same assignment, under this order.
    #[must_use]
    pub fn under(self, order: Option<KeyOrder>) -> Self {
        Self { order, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OperatingSystemRandomness;

    #[test]
    fn a_creation_id_names_its_import_and_line() {
        let import = ImportId::random(&OperatingSystemRandomness);
        let creation = CreationId::of_line(import, 4_000_000_000_000);
        assert_eq!(creation.import_line(), Some((import, 4_000_000_000_000)));
        assert_eq!(import.to_string().parse(), Ok(import));
        assert_eq!(ImportId(7).to_string(), "0000000000000007");
        assert_eq!(CreationId::random(&OperatingSystemRandomness).import_line(), None);
        for text in ["import:", "import:7:1", "import:0000000000000007:x", "0000000000000007:1"] {
            assert_eq!(CreationId(text.to_owned()).import_line(), None, "{text}");
        }
        assert_eq!("+000000000000007".parse::<ImportId>(), Err(InvalidImportId));
    }
}
