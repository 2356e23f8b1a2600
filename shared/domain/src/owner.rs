use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A name or an email address of an owner: 1 to 255 characters, accepted unchanged.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnerField(String);

impl OwnerField {
    /// The most characters an owner's name or email address may have.
    pub const CHARACTERS_MAX: usize = 255;

    /// The name that replaces the name of an erased owner.
    pub const ERASED: &'static str = "erased";

    /// The text as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OwnerField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerField(…)")
    }
}

/// A text that cannot be an owner's name or email address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOwnerField {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// More than 255 characters.
    #[error("must not be longer than {} characters", OwnerField::CHARACTERS_MAX)]
    TooLong,
}

impl FromStr for OwnerField {
    type Err = InvalidOwnerField;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.chars().count() {
            0 => Err(InvalidOwnerField::Empty),
            1..=Self::CHARACTERS_MAX => Ok(Self(text.to_owned())),
            _ => Err(InvalidOwnerField::TooLong),
        }
    }
}

/// The person who got a license key. Either part may be unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The owner's name.
    pub name: Option<OwnerField>,
    /// The owner's email address. Its form is not checked, because shop plugins send `Not set`.
    pub email: Option<OwnerField>,
}

impl Owner {
    /// The remains of an erased owner. A license key of theirs still has an owner, and is not sold again.
    #[must_use]
    pub fn erased() -> Self {
        Self { name: Some(OwnerField(OwnerField::ERASED.to_owned())), email: None }
    }

    /// Returns true if the owner has this email address. Upper and lower case are the same.
    #[must_use]
    pub fn has_email(&self, email: &OwnerField) -> bool {
        self.email.as_ref().is_some_and(|own| is_same(own.as_str(), email))
    }

    /// Erases the owner with this email address from a response or an entry of the audit trail: from every
    /// object with that `owner_email`. Returns the number of these objects.
    pub(crate) fn erase_from_json(value: &mut Value, email: &OwnerField) -> usize {
        match value {
            Value::Array(values) => values.iter_mut().map(|value| Self::erase_from_json(value, email)).sum(),
            Value::Object(members) => {
                let address = members.get("owner_email").and_then(Value::as_str);
                let is_theirs = address.is_some_and(|own| is_same(own, email));
                if is_theirs {
                    members.insert("owner_name".to_owned(), OwnerField::ERASED.into());
                    members.insert("owner_email".to_owned(), Value::Null);
                }
                let inside = members.values_mut().map(|value| Self::erase_from_json(value, email));
                usize::from(is_theirs) + inside.sum::<usize>()
            }
            _ => 0,
        }
    }

    /// The name and the address.
    pub(crate) fn texts(&self) -> [Option<&str>; 2] {
        [&self.name, &self.email].map(|field| field.as_ref().map(OwnerField::as_str))
    }
}

fn is_same(own: &str, email: &OwnerField) -> bool {
    own.to_lowercase() == email.as_str().to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_owner_is_erased_wherever_json_has_their_address() {
        let email: OwnerField = "Ada@Example.com".parse().unwrap();
        let ada = json!({"owner_name": "Ada", "owner_email": "ada@example.com", "id": 1});
        let other = json!({"owner_name": "Ada", "owner_email": "ada@example.com.au"});
        let mut value = json!({"license_keys": [ada, other], "before": null, "text": "ada@example.com"});
        assert_eq!(Owner::erase_from_json(&mut value, &email), 1);
        let erased = json!({"owner_name": "erased", "owner_email": null, "id": 1});
        assert_eq!(
            value,
            json!({"license_keys": [erased, other], "before": null, "text": "ada@example.com"})
        );
        assert_eq!(Owner::erase_from_json(&mut value, &email), 0);
    }

    #[test]
    fn an_address_is_the_same_in_any_case() {
        let owner = Owner { name: None, email: Some("ÄDA@example.com".parse().unwrap()) };
        assert!(owner.has_email(&"äda@EXAMPLE.com".parse().unwrap()));
        assert!(!owner.has_email(&"ada@example.com".parse().unwrap()));
        assert!(!Owner::erased().has_email(&"erased".parse().unwrap()));
    }
}
