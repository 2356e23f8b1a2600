use std::fmt;
use std::str::FromStr;

/// A name or an email address of an owner: 1 to 255 characters, taken as it comes.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnerField(String);

impl OwnerField {
    /// The most characters an owner's name or email address may have.
    pub const CHARACTERS_MAX: usize = 255;

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

/// Who a license key was given to. Either part may be unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The owner's name.
    pub name: Option<OwnerField>,
    /// The owner's email address; not checked for form, since shop plugins send `Not set`.
    pub email: Option<OwnerField>,
}

impl Owner {
    /// Name and address.
    pub(crate) fn texts(&self) -> [Option<&str>; 2] {
        [&self.name, &self.email].map(|field| field.as_ref().map(OwnerField::as_str))
    }
}
