use keypool_domain::{ApiKey, ApiKeyRefusal, Parameters, Value};
use lambda_http::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

/// The API key from the body, the header, or both if they agree.
pub(crate) fn presented_api_key(
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<ApiKey, ApiKeyRefusal> {
    let in_body = match parameters.value("api_key") {
        Some(Value::Text(text)) => text.parse::<ApiKey>().ok(),
        // A value was given, and it is no key.
        Some(Value::Array(_) | Value::Object) => return Err(ApiKeyRefusal::Invalid),
        None => None,
    };
    let in_header = headers.get(AUTHORIZATION).map(bearer).transpose()?.flatten();
    match (in_body, in_header) {
        (Some(a), Some(b)) if a.hash() != b.hash() => Err(ApiKeyRefusal::Invalid),
        (Some(api_key), _) | (None, Some(api_key)) => Ok(api_key),
        (None, None) => Err(ApiKeyRefusal::Invalid),
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1), if there is one. Another scheme is
/// ignored; a token that is not text is refused.
fn bearer(value: &HeaderValue) -> Result<Option<ApiKey>, ApiKeyRefusal> {
    let value = value.as_bytes().trim_ascii();
    let Some(at) = value.iter().position(|byte| *byte == b' ') else { return Ok(None) };
    let (scheme, token) = value.split_at(at);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let token = std::str::from_utf8(token.trim_ascii()).map_err(|_| ApiKeyRefusal::Invalid)?;
    Ok(token.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(in_body: Option<&str>, in_header: Option<&str>) -> Result<String, ApiKeyRefusal> {
        let parameters =
            in_body.map(|text| ("api_key".to_owned(), Value::Text(text.to_owned()))).into_iter().collect();
        let mut headers = HeaderMap::new();
        if let Some(value) = in_header {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        presented_api_key(&headers, &parameters).map(|key| key.reveal().to_owned())
    }

    #[test]
    fn the_api_key_comes_from_the_body_or_the_header() {
        let key = || Ok("k1".to_owned());
        assert_eq!(presented(Some("k1"), None), key());
        assert_eq!(presented(None, Some("Bearer k1")), key());
        assert_eq!(presented(None, Some("bearer  k1 ")), key());
        assert_eq!(presented(Some("k1"), Some("Bearer k1")), key());
        assert_eq!(presented(Some(""), Some("Bearer k1")), key(), "an empty parameter is not given");
        assert_eq!(presented(Some("k1"), Some("Basic dXNlcjpwdw==")), key(), "not for us");
    }

    #[test]
    fn no_api_key_or_two_that_differ_are_refused() {
        for (in_body, in_header) in [
            (None, None),
            (Some(""), None),
            (None, Some("Bearer")),
            (None, Some("Bearer ")),
            (None, Some("k1")),
            (Some("k1"), Some("Bearer k2")),
        ] {
            assert_eq!(
                presented(in_body, in_header),
                Err(ApiKeyRefusal::Invalid),
                "{in_body:?} {in_header:?}"
            );
        }
    }

    #[test]
    fn an_api_key_that_is_not_text_is_refused() {
        let bearer = |bytes: &[u8]| HeaderValue::from_bytes(&[b"Bearer ", bytes].concat()).unwrap();
        let headers = |value| HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let body = |value| Parameters::from_iter([("api_key".to_owned(), value)]);
        let refused = |headers: &HeaderMap, body: &Parameters| presented_api_key(headers, body).is_err();
        let good = body(Value::Text("k1".to_owned()));
        assert!(refused(&headers(bearer(b"\xff")), &good));
        assert!(!refused(&headers(bearer("k1".as_bytes())), &good));
        for value in [Value::Array("[\"k1\"]".to_owned()), Value::Object] {
            assert!(refused(&headers(bearer(b"k1")), &body(value)));
        }
    }
}
