use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use keypool_domain::{KeyOrder, LicenseKey, Owner, OwnerField, Timestamp};

use super::{Item, Key, number, order_of, text};
use crate::StoreError;

/// Implements [`Record`](super::Record) for a type. The closure returns a [`Writer`] at its key, from which
/// one field is read back. Each other field names its form and attribute; a form is a method of [`Writer`]
/// and [`Reader`] alike. A record that `check` refuses is corrupt.
macro_rules! record {
    (
        $type:ident as $name:literal,
        |$record:ident| $start:expr $(=> $key_field:ident: $key_form:ident $key:expr)?
        $(, check $check:path => $what:literal)?;
        $($field:ident: $form:ident $attribute:expr,)*
    ) => {
        impl super::Record for $type {
            fn item(&self) -> super::Item {
                let $record = self;
                $start$(.$form($attribute, &self.$field))*.0
            }

            fn read(item: &super::Item) -> Result<Self, crate::StoreError> {
                let reader = super::Reader { item, record: $name };
                let read = Self {
                    $($key_field: reader.$key_form($key)?,)?
                    $($field: reader.$form($attribute)?,)*
                };
                $($check(&read).map_err(|_| reader.corrupt($what))?;)?
                Ok(read)
            }
        }
    };
}
pub(super) use record;

/// Writes an item attribute by attribute.
#[derive(Default)]
pub(super) struct Writer(pub(super) Item);

impl Writer {
    pub(super) fn at(key: Key) -> Self {
        Self(key.into_item())
    }

    pub(super) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    pub(super) fn text(self, name: &str, value: impl Display) -> Self {
        self.value(name, text(value))
    }

    pub(super) fn number(self, name: &str, value: impl Display) -> Self {
        self.value(name, number(value))
    }

    pub(super) fn time(self, name: &str, value: &Timestamp) -> Self {
        self.text(name, value)
    }

    pub(super) fn bytes(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.value(name, AttributeValue::B(Blob::new(value.as_ref())))
    }

    pub(super) fn list(self, name: &str, values: impl Iterator<Item = AttributeValue>) -> Self {
        self.value(name, AttributeValue::L(values.collect()))
    }

    pub(super) fn optional_text(self, name: &str, value: impl IntoIterator<Item: Display>) -> Self {
        value.into_iter().fold(self, |writer, value| writer.text(name, value))
    }

    pub(super) fn optional_number(self, name: &str, value: impl IntoIterator<Item: Display>) -> Self {
        value.into_iter().fold(self, |writer, value| writer.number(name, value))
    }

    pub(super) fn optional_time(self, name: &str, value: impl IntoIterator<Item: Display>) -> Self {
        self.optional_text(name, value)
    }

    pub(super) fn optional_license_key<'a>(
        self,
        name: &str,
        value: impl IntoIterator<Item = &'a LicenseKey>,
    ) -> Self {
        self.optional_text(name, value.into_iter().map(LicenseKey::as_str))
    }

    /// Writes values as a text, joined by spaces.
    pub(super) fn words(self, name: &str, values: impl IntoIterator<Item: ToString>) -> Self {
        self.text(name, values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" "))
    }

    /// Writes values as [`Writer::words`] does. An empty list is no attribute.
    pub(super) fn optional_words(self, name: &str, values: impl IntoIterator<Item: ToString>) -> Self {
        let mut values = values.into_iter().peekable();
        if values.peek().is_some() { self.words(name, values) } else { self }
    }

    pub(super) fn owner(self, [name, email]: [&str; 2], owner: &Owner) -> Self {
        self.optional_text(name, owner.name.as_ref().map(OwnerField::as_str))
            .optional_text(email, owner.email.as_ref().map(OwnerField::as_str))
    }

    pub(super) fn order<'a>(
        self,
        [reference, sold_by]: [&str; 2],
        order: impl IntoIterator<Item = &'a KeyOrder>,
    ) -> Self {
        order.into_iter().fold(self, |writer, order| {
            writer.text(reference, order_of(&order.reference)).optional_text(sold_by, order.sold_by)
        })
    }
}

/// Reads an item attribute by attribute; `record` is its kind, for the error. It also reads a text in place
/// of a number, and the reverse.
pub(super) struct Reader<'a> {
    pub(super) item: &'a Item,
    pub(super) record: &'static str,
}

impl Reader<'_> {
    pub(super) fn corrupt(&self, attribute: &'static str) -> StoreError {
        StoreError::Corrupt { record: self.record, attribute }
    }

    /// Reads an attribute with `read`, if the item has it.
    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let Some(value) = self.item.get(name) else { return Ok(None) };
        let raw = value.as_s().or_else(|_| value.as_n()).ok();
        raw.and_then(|raw| read(raw)).map(Some).ok_or_else(|| self.corrupt(name))
    }

    pub(super) fn required<T>(&self, name: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.corrupt(name))
    }

    pub(super) fn optional_text<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, StoreError> {
        self.optional(name, |raw| raw.parse().ok())
    }

    pub(super) fn text<T: FromStr>(&self, name: &'static str) -> Result<T, StoreError> {
        self.required(name, self.optional_text(name)?)
    }

    pub(super) fn optional_number<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, StoreError> {
        self.optional_text(name)
    }

    pub(super) fn optional_license_key(&self, name: &'static str) -> Result<Option<LicenseKey>, StoreError> {
        self.optional_text(name)
    }

    pub(super) fn number<T: FromStr>(&self, name: &'static str) -> Result<T, StoreError> {
        self.text(name)
    }

    pub(super) fn optional_time(&self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        self.optional(name, Timestamp::from_rfc3339)
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        self.required(name, self.optional_time(name)?)
    }

    pub(super) fn owner(&self, [name, email]: [&'static str; 2]) -> Result<Owner, StoreError> {
        Ok(Owner { name: self.optional_text(name)?, email: self.optional_text(email)? })
    }

    pub(super) fn order(
        &self,
        [reference, sold_by]: [&'static str; 2],
    ) -> Result<Option<KeyOrder>, StoreError> {
        let read = |raw: &str| raw.split_once('#').and_then(|(_, rest)| rest.parse().ok());
        let sold_by = self.optional_text(sold_by)?;
        Ok(self.optional(reference, read)?.map(|reference| KeyOrder { reference, sold_by }))
    }

    /// Reads the text after `#` in a part of the key with `read`.
    fn in_key<T>(&self, name: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, StoreError> {
        let value = self.optional(name, |raw| raw.split_once('#').and_then(|(_, rest)| read(rest)))?;
        self.required(name, value)
    }

    pub(super) fn id<T: FromStr>(&self, name: &'static str) -> Result<T, StoreError> {
        self.in_key(name, |rest| rest.parse().ok())
    }

    pub(super) fn time_in_key(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        self.in_key(name, Timestamp::from_rfc3339)
    }

    /// Reads the elements of a list, all texts or all numbers.
    pub(super) fn elements<T: FromStr>(&self, name: &'static str) -> Result<Vec<T>, StoreError> {
        let elements = self.item.get(name).and_then(|value| value.as_l().ok());
        let read = |value: &AttributeValue| value.as_s().or_else(|_| value.as_n()).ok()?.parse().ok();
        self.required(name, elements.and_then(|elements| elements.iter().map(read).collect()))
    }

    pub(super) fn bytes(&self, name: &'static str) -> Result<Vec<u8>, StoreError> {
        let bytes = self.item.get(name).and_then(|value| value.as_b().ok());
        self.required(name, bytes.map(|bytes| bytes.as_ref().to_vec()))
    }

    pub(super) fn words<T: FromStr, C: FromIterator<T>>(&self, name: &'static str) -> Result<C, StoreError> {
        let texts: String = self.optional_text(name)?.unwrap_or_default();
        let words = texts.split_whitespace().map(str::parse).collect::<Result<C, _>>();
        self.required(name, words.ok())
    }
}
