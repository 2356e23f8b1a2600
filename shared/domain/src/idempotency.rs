use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::{ApiKeyHash, Endpoint, OrderId, OrderReference, ProductId, Quantity};

/// A client's name for one request, which identifies its repetitions: 1 to 255 printable ASCII characters,
/// from the header `Idempotency-Key`.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The most characters it may have.
    pub const CHARACTERS_MAX: usize = 255;

    /// The key of a line of a shop's order, for clients that send none.
    pub(crate) fn of_order(product: ProductId, quantity: Quantity, identifier: &OrderReference) -> Self {
        let numbers = [product.to_string(), quantity.to_string()];
        let texts = numbers.iter().map(String::as_str).chain([identifier.as_str()]);
        Self(format!("order {}", Fingerprint::of(texts.map(Some))))
    }

    /// The text, for the header of a request.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(…)")
    }
}

/// A text that is not an idempotency key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} printable ASCII characters", IdempotencyKey::CHARACTERS_MAX)]
pub struct InvalidIdempotencyKey;

impl FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && (1..=Self::CHARACTERS_MAX).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIdempotencyKey)
        }
    }
}

/// The id of a request record: the SHA-256 of API key, endpoint and idempotency key. The table stores nothing
/// else of an idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// The id of a request with this key.
    #[must_use]
    pub fn new(api_key: ApiKeyHash, endpoint: Endpoint, key: &IdempotencyKey) -> Self {
        Self(digest([&api_key.to_string(), endpoint.name(), &key.0].map(Some)))
    }

    /// The id of the record of a queued order. No request has it, because no API key has such a hash.
    pub(crate) fn of_order(order: &OrderId) -> Self {
        Self(digest([Some("order"), Some(&*order.to_string())]))
    }
}

/// The hash of a request's parameters. Two requests with the same parameters have the same fingerprint, in
/// any body format. Parameters that keypool ignores do not count.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these values, the absent ones included, in this order.
    pub(crate) fn of<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        Self(digest(values))
    }
}

/// The SHA-256 of texts, each after its length, so that no two lists of texts give the same input.
fn digest<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in texts {
        match text {
            Some(text) => {
                hash.update([1]);
                hash.update(text.len().to_be_bytes());
                hash.update(text);
            }
            None => hash.update([0]),
        }
    }
    hash.finalize().into()
}

macro_rules! hexadecimal {
    ($name:ident) => {
        impl fmt::Display for $name {
            /// 64 hexadecimal digits.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

hexadecimal!(RequestId);
hexadecimal!(Fingerprint);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiKey;

    #[test]
    fn an_idempotency_key_is_printable_ascii_within_its_length() {
        let long = "k".repeat(255);
        for text in ["a", " ", "order 17", "~!\"#", &long] {
            assert!(text.parse::<IdempotencyKey>().is_ok(), "{text:?}");
        }
        let too_long = "k".repeat(256);
        for text in ["", "\t", "a\u{7f}", "schlüssel", "a\nb", &too_long] {
            assert_eq!(text.parse::<IdempotencyKey>(), Err(InvalidIdempotencyKey), "{text:?}");
        }
    }

    #[test]
    fn request_ids_differ_by_api_key_endpoint_and_idempotency_key() {
        let hash = |key: &str| key.parse::<ApiKey>().unwrap().hash();
        let claim = |api_key: &str, endpoint, key: &str| {
            RequestId::new(hash(api_key), endpoint, &key.parse().unwrap()).to_string()
        };
        let all = [
            claim("a", Endpoint::Generate, "k"),
            claim("b", Endpoint::Generate, "k"),
            claim("a", Endpoint::AssignLicenseKey, "k"),
            claim("a", Endpoint::Generate, "l"),
        ];
        let distinct: std::collections::HashSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(all[0], claim("a", Endpoint::Generate, "k"));
    }

    #[test]
    fn fingerprints_tell_lists_of_texts_apart() {
        let lists: [&[Option<&str>]; 7] = [
            &[Some("ab"), Some("c")],
            &[Some("a"), Some("bc")],
            &[Some("abc")],
            &[Some("ab"), Some("c"), None],
            &[None, Some("ab"), Some("c")],
            &[Some("ab"), Some("c"), Some("")],
            &[],
        ];
        let all: Vec<Fingerprint> = lists.iter().map(|list| Fingerprint::of(list.iter().copied())).collect();
        let distinct: std::collections::HashSet<&Fingerprint> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
