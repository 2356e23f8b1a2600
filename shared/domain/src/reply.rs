use std::time::Duration;

use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::{
    ActivationLimit, ApiKeyRefusal, Endpoint, LicenseKey, LicenseKeyRecord, OrderReference, Owner, ProductId,
    RowId, Status, Timestamp, ValidationErrors, Validity,
};

/// The signed part of a response.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 100–103: the API key does not open this endpoint.
    Refused(ApiKeyRefusal),
    /// 104: the request would exceed a limit of the API key.
    LimitReached {
        /// The time until a repetition may succeed.
        retry_after: Duration,
    },
    /// 730.
    LicenseKeys(Vec<ListedRow>),
    /// 740: unknown or inactive, or not named.
    ProductDoesNotExist,
    /// 741.
    AvailableLicenseKeysCount(usize),
    /// 800.
    LicenseKeyAssigned,
    /// 801: unknown, or not available.
    InvalidLicenseKey,
    /// 802.
    InsufficientLicenseKeys {
        /// The number of available keys.
        available_quantity: usize,
    },
    /// 803.
    LicenseKeysAssigned(Vec<KeyRow>),
    /// 805: unknown or inactive.
    ProductNotFound,
    /// 806: unknown or inactive.
    GeneratorNotFound,
    /// 807: the order is accepted. A callback reports its outcome.
    RequestQueued,
    /// 815.
    Generated(Vec<LicenseKey>),
    /// 860.
    LicenseKeyReplaced(Box<KeyRow>),
    /// 862: unknown, not assigned, or replaced before.
    LicenseKeyCannotBeReplaced,
    /// 900 and, when `created` is 0, 902.
    Created {
        /// The number of stored keys.
        created: usize,
        /// The number of keys that existed already or occurred twice in the request.
        duplicate: usize,
    },
    /// 950.
    LicenseKeyUpdated,
    /// 952.
    LicenseKeyNotFound,
    /// 731, 804, 816, 861, 901 or 951, by the endpoint: parameters are not valid.
    Incorrect {
        /// The contract's code.
        code: u16,
        /// The faults.
        errors: ValidationErrors,
    },
}

impl Reply {
    /// The reply to parameters that are not valid. The contract has no such code for the count of a stock: a
    /// product that is not named does not exist.
    #[must_use]
    pub fn incorrect(endpoint: Endpoint, errors: ValidationErrors) -> Self {
        let code = match endpoint {
            Endpoint::GetAvailableLicenseKeysCount => return Self::ProductDoesNotExist,
            Endpoint::GetLicenseKeys => 731,
            Endpoint::AssignLicenseKey
            | Endpoint::RandomAssignLicenseKeys
            | Endpoint::RandomAssignLicenseKeysQueued => 804,
            Endpoint::Generate => 816,
            Endpoint::ReplaceLicenseKey => 861,
            Endpoint::CreateLicenseKeys => 901,
            Endpoint::UpdateLicenseKey => 951,
        };
        Self::Incorrect { code, errors }
    }

    /// The contract's code.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::LimitReached { .. } => 104,
            Self::Incorrect { code, .. } => *code,
            Self::LicenseKeys(_) => 730,
            Self::ProductDoesNotExist => 740,
            Self::AvailableLicenseKeysCount(_) => 741,
            Self::LicenseKeyAssigned => 800,
            Self::InvalidLicenseKey => 801,
            Self::InsufficientLicenseKeys { .. } => 802,
            Self::LicenseKeysAssigned(_) => 803,
            Self::ProductNotFound => 805,
            Self::GeneratorNotFound => 806,
            Self::RequestQueued => 807,
            Self::Generated(_) => 815,
            Self::LicenseKeyReplaced(_) => 860,
            Self::LicenseKeyCannotBeReplaced => 862,
            Self::Created { created: 0, .. } => 902,
            Self::Created { .. } => 900,
            Self::LicenseKeyUpdated => 950,
            Self::LicenseKeyNotFound => 952,
        }
    }

    /// The contract's message, word for word.
    #[must_use]
    pub const fn message(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.message(),
            Self::LimitReached { .. } => "API key limit reached",
            Self::Incorrect { .. } => "Incorrect data found",
            Self::LicenseKeys(_) => "License keys",
            Self::ProductDoesNotExist => "Product doesn't exist",
            Self::AvailableLicenseKeysCount(_) => "Available license keys count",
            Self::LicenseKeyAssigned => "License key assigned",
            Self::InvalidLicenseKey => "Invalid or already assigned license key",
            Self::InsufficientLicenseKeys { .. } => "Insufficient license keys",
            Self::LicenseKeysAssigned(_) => "License keys assigned",
            Self::ProductNotFound => "Product not found",
            Self::GeneratorNotFound => "Generator not found",
            Self::RequestQueued => "Request Queued",
            Self::Generated(_) => "Generated license keys",
            Self::LicenseKeyReplaced(_) => "License key replaced",
            Self::LicenseKeyCannotBeReplaced => "License key cannot be replaced",
            Self::Created { created: 0, .. } => "No license keys created",
            Self::Created { .. } => "License keys creation result",
            // The plural is the API's.
            Self::LicenseKeyUpdated => "License keys updated",
            Self::LicenseKeyNotFound => "License key not found",
        }
    }

    /// The HTTP status it is sent with: 401 for a refused API key, 429 beyond its limit, 200 for all else.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Refused(_) => 401,
            Self::LimitReached { .. } => 429,
            _ => 200,
        }
    }

    /// The time that a client must wait before it repeats the request.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::LimitReached { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// Returns true if a refusal with this code reveals the stock or a license key. An API key beyond its
    /// limit gets 104 in its place.
    #[must_use]
    pub const fn tells_of_stock(code: u16) -> bool {
        matches!(code, 801 | 802 | 806 | 862)
    }

    /// Returns true if the reply is a refusal without members of its own: within one second it is always the
    /// same bytes.
    #[must_use]
    pub const fn is_bare_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::LimitReached { .. }
                | Self::ProductDoesNotExist
                | Self::InvalidLicenseKey
                | Self::ProductNotFound
                | Self::GeneratorNotFound
                | Self::LicenseKeyCannotBeReplaced
                | Self::LicenseKeyNotFound
        )
    }

    /// The compact JSON that gets signed: `code`, `message`, the reply's own members, the `identifier` of a
    /// queued order if it has one, `timestamp`.
    #[must_use]
    pub fn to_json(&self, identifier: Option<&OrderReference>, now: Timestamp) -> String {
        // This cannot fail: no map has keys that are not text, and no `Serialize` fails.
        serde_json::to_string(&Stamped { reply: self, identifier, now }).unwrap_or_default()
    }
}

/// A reply with its order and its time.
struct Stamped<'a> {
    reply: &'a Reply,
    identifier: Option<&'a OrderReference>,
    now: Timestamp,
}

impl Serialize for Stamped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", &self.reply.code())?;
        map.serialize_entry("message", self.reply.message())?;
        match self.reply {
            Reply::Incorrect { errors, .. } => map.serialize_entry("errors", errors)?,
            Reply::LicenseKeys(rows) => map.serialize_entry("license_keys", rows)?,
            Reply::AvailableLicenseKeysCount(count) => map.serialize_entry("count", count)?,
            Reply::InsufficientLicenseKeys { available_quantity } => {
                map.serialize_entry("available_quantity", available_quantity)?;
            }
            Reply::LicenseKeysAssigned(rows) => map.serialize_entry("license_keys", rows)?,
            Reply::LicenseKeyReplaced(row) => map.serialize_entry("license_keys", &[row])?,
            // The API's own camelCase.
            Reply::Generated(license_keys) => map.serialize_entry("licenseKeys", license_keys)?,
            Reply::Created { created, duplicate } => {
                map.serialize_entry("created", created)?;
                map.serialize_entry("duplicate", duplicate)?;
            }
            Reply::Refused(_)
            | Reply::ProductDoesNotExist
            | Reply::LimitReached { .. }
            | Reply::LicenseKeyAssigned
            | Reply::InvalidLicenseKey
            | Reply::ProductNotFound
            | Reply::GeneratorNotFound
            | Reply::RequestQueued
            | Reply::LicenseKeyCannotBeReplaced
            | Reply::LicenseKeyUpdated
            | Reply::LicenseKeyNotFound => {}
        }
        if let Some(identifier) = self.identifier {
            map.serialize_entry("identifier", identifier.as_str())?;
        }
        map.serialize_entry("timestamp", &self.now.unix_seconds())?;
        map.end()
    }
}

/// One assigned key in a response. Shop plugins insert the row into a database table unchanged, so its
/// members and their order are fixed.
#[derive(Debug, Clone)]
pub struct KeyRow {
    pub(crate) product_id: ProductId,
    pub(crate) license_key: LicenseKey,
    pub(crate) activation_limit: ActivationLimit,
    pub(crate) validity: Validity,
    pub(crate) owner: Owner,
    pub(crate) assigned_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) id: RowId,
}

impl Serialize for KeyRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("KeyRow", 13)?;
        row.serialize_field("product_id", &self.product_id)?;
        row.serialize_field("license_key", &self.license_key)?;
        row.serialize_field("activation_limit", &self.activation_limit)?;
        row.serialize_field("validity", &self.validity)?;
        row.serialize_field("status", Status::Assigned.as_str())?;
        let [name, email] = self.owner.texts();
        row.serialize_field("owner_name", &name)?;
        row.serialize_field("owner_email", &email)?;
        row.serialize_field("assigned_at", &self.assigned_at.to_microseconds_text())?;
        // keypool has neither contracts nor meta data; the members are the API's.
        row.serialize_field("contract_id", &None::<u64>)?;
        row.serialize_field("updated_at", &self.updated_at.to_whole_seconds_text())?;
        row.serialize_field("created_at", &self.created_at.to_whole_seconds_text())?;
        row.serialize_field("id", &self.id)?;
        row.serialize_field("meta_data", &[(); 0])?;
        row.end()
    }
}

/// One key as `get-license-keys` lists it.
#[derive(Debug, Clone)]
pub struct ListedRow(pub(crate) LicenseKeyRecord);

impl Serialize for ListedRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(key) = self;
        let [name, email] = key.owner.texts();
        let mut row = serializer.serialize_struct("ListedRow", 11)?;
        row.serialize_field("id", &key.id)?;
        row.serialize_field("product_id", &key.product_id)?;
        row.serialize_field("license_key", &key.license_key)?;
        row.serialize_field("owner_name", &name)?;
        row.serialize_field("owner_email", &email)?;
        row.serialize_field("activation_limit", &key.activation_limit)?;
        row.serialize_field("validity", &key.validity)?;
        row.serialize_field("assigned_at", &key.assigned_at.map(Timestamp::to_microseconds_text))?;
        row.serialize_field("status", key.status.as_str())?;
        row.serialize_field("created_at", &key.created_at.to_whole_seconds_text())?;
        row.serialize_field("updated_at", &key.updated_at.to_whole_seconds_text())?;
        row.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> Timestamp {
        Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap()
    }

    #[test]
    fn a_reply_has_its_members_in_the_contracts_order() {
        assert_eq!(
            Reply::Created { created: 3, duplicate: 1 }.to_json(None, moment()),
            r#"{"code":900,"message":"License keys creation result","created":3,"duplicate":1,"timestamp":1732388528}"#
        );
        assert_eq!(
            Reply::Created { created: 0, duplicate: 4 }.to_json(None, moment()),
            r#"{"code":902,"message":"No license keys created","created":0,"duplicate":4,"timestamp":1732388528}"#
        );
        assert_eq!(
            Reply::InsufficientLicenseKeys { available_quantity: 5 }.to_json(None, moment()),
            r#"{"code":802,"message":"Insufficient license keys","available_quantity":5,"timestamp":1732388528}"#
        );
        assert_eq!(
            Reply::Generated(vec!["a/ü".parse().unwrap()]).to_json(None, moment()),
            r#"{"code":815,"message":"Generated license keys","licenseKeys":["a/ü"],"timestamp":1732388528}"#
        );
        // The contract's sample.
        assert_eq!(
            Reply::RequestQueued.to_json(None, moment()),
            r#"{"code":807,"message":"Request Queued","timestamp":1732388528}"#
        );
        assert_eq!(
            Reply::LicenseKeysAssigned(vec![]).to_json("31".parse().ok().as_ref(), moment()),
            r#"{"code":803,"message":"License keys assigned","license_keys":[],"identifier":"31","timestamp":1732388528}"#
        );
    }

    #[test]
    fn a_row_has_thirteen_members_in_the_contracts_order() {
        let row = KeyRow {
            product_id: "1".parse().unwrap(),
            license_key: "1de7d049".parse().unwrap(),
            activation_limit: "1".parse().unwrap(),
            validity: "365".parse().unwrap(),
            owner: Owner { name: Some("Test User".parse().unwrap()), email: None },
            assigned_at: moment(),
            updated_at: moment(),
            created_at: moment(),
            id: "213".parse().unwrap(),
        };
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            r#"{"product_id":1,"license_key":"1de7d049","activation_limit":1,"validity":365,"status":"assigned","owner_name":"Test User","owner_email":null,"assigned_at":"2024-11-23T19:02:08.829115Z","contract_id":null,"updated_at":"2024-11-23T19:02:08.000000Z","created_at":"2024-11-23T19:02:08.000000Z","id":213,"meta_data":[]}"#
        );
    }
}
