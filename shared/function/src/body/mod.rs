//! Reads the parameters from a body of any format.

mod json;
mod multipart;

use std::borrow::Cow;

use bytes::Bytes;
use keypool_domain::{Parameters, Value};
use percent_encoding::percent_decode;

/// The most bytes a body may have, once decoded: 1 MiB.
pub const BODY_BYTES_MAX: usize = 1_048_576;

/// The reason why a body cannot be read. The texts go to the client, so they quote nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableBody {
    /// The connection ended before the body did.
    #[error("the body is cut off")]
    CutOff,
    /// Not UTF-8, after percent-decoding.
    #[error("the form is not UTF-8")]
    FormEncoding,
    /// Not JSON.
    #[error("the body is not JSON")]
    Json,
    /// JSON, but not an object.
    #[error("the body is JSON, but not an object with the parameters as its members")]
    NotAnObject,
    /// The `Content-Type` names no boundary.
    #[error("the Content-Type multipart/form-data has no boundary")]
    Boundary,
    /// Cut off, or its parts are malformed.
    #[error("the multipart body is malformed or cut off")]
    Multipart,
    /// A part that is not UTF-8.
    #[error("a part of the multipart body is not UTF-8")]
    MultipartEncoding,
}

/// Reads `body` as its `Content-Type` says. Without a known type, reads it as a form.
pub(crate) async fn parameters(
    content_type: Option<&str>,
    body: Bytes,
) -> Result<Parameters, UnreadableBody> {
    let mut quoted = false;
    let separates = |character: char| {
        quoted ^= character == '"';
        character == ';' && !quoted
    };
    let mut parts = content_type.unwrap_or_default().split(separates).map(str::trim);
    // Only the type itself counts: clients write odd things behind it.
    match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "application/json" => json::parameters(&body),
        "multipart/form-data" => {
            let boundary = parts.find_map(boundary).ok_or(UnreadableBody::Boundary)?;
            multipart::parameters(boundary.to_owned(), body).await
        }
        _ => form_parameters(&body),
    }
}

/// The boundary (RFC 2046, section 5.1.1), if this parameter of a `Content-Type` is one. Some clients leave
/// out the quotes where they are needed.
fn boundary(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=')?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (name.trim().eq_ignore_ascii_case("boundary") && !value.is_empty()).then_some(value)
}

/// Reads `application/x-www-form-urlencoded` (WHATWG URL Standard, section 5.1), but strictly. The standard
/// replaces bytes that are not UTF-8 by U+FFFD, which would turn a license key into another one.
pub(crate) fn form_parameters(body: &[u8]) -> Result<Parameters, UnreadableBody> {
    body.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            Ok((decode(name)?, Value::Text(decode(value)?)))
        })
        .collect()
}

fn decode(bytes: &[u8]) -> Result<String, UnreadableBody> {
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).decode_utf8().map(Cow::into_owned).map_err(|_| UnreadableBody::FormEncoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(content_type: &str, boundary: &str) -> Result<Parameters, UnreadableBody> {
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--{boundary}--\r\n"
        );
        parameters(Some(content_type), Bytes::from(body)).await
    }

    #[tokio::test]
    async fn a_quoted_boundary_may_hold_a_semicolon() {
        for (content_type, boundary) in [
            ("multipart/form-data; boundary=ab", "ab"),
            ("multipart/form-data; boundary=\"ab\"; charset=utf-8", "ab"),
            ("multipart/form-data; boundary=\"a;b\"", "a;b"),
            ("Multipart/Form-Data;charset=\"x;y\";Boundary=\"a; b\"", "a; b"),
        ] {
            let parameters = read(content_type, boundary).await.unwrap();
            assert_eq!(parameters.text("a"), Some("1"), "{content_type}");
        }
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; x=\"boundary=ab\"",
        ] {
            assert_eq!(read(content_type, "ab").await, Err(UnreadableBody::Boundary), "{content_type}");
        }
    }

    fn read_form(body: &str) -> Result<Vec<(String, String)>, UnreadableBody> {
        let parameters = form_parameters(body.as_bytes())?;
        let names = ["a", "b c", "ü", ""];
        let given = names.iter().filter_map(|name| match parameters.value(name) {
            Some(Value::Text(text)) => Some(((*name).to_owned(), text.clone())),
            _ => None,
        });
        Ok(given.collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn forms_are_decoded() {
        assert_eq!(read_form(""), Ok(vec![]));
        assert_eq!(read_form("&&"), Ok(vec![]));
        assert_eq!(read_form("a=1&b+c=x%20y+z"), Ok(vec![pair("a", "1"), pair("b c", "x y z")]));
        assert_eq!(read_form("%C3%BC=%2B&a"), Ok(vec![pair("a", ""), pair("ü", "+")]));
        assert_eq!(read_form("a=1=2&=x"), Ok(vec![pair("a", "1=2"), pair("", "x")]));
        assert_eq!(
            read_form("a=100%&"),
            Ok(vec![pair("a", "100%")]),
            "a lone percent sign stands for itself"
        );
    }

    #[test]
    fn a_form_that_is_not_utf_8_is_refused_not_repaired() {
        assert_eq!(read_form("a=%FF"), Err(UnreadableBody::FormEncoding));
        assert_eq!(form_parameters(b"a=\xff"), Err(UnreadableBody::FormEncoding));
        assert_eq!(read_form("%E4=1"), Err(UnreadableBody::FormEncoding));
    }
}
