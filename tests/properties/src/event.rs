use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use keypool_domain::{Endpoint, IdempotencyKey};
use serde_json::{Value, json};

/// The form in which API Gateway hands a body to Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Text,
    Base64,
}

/// A request of a client.
#[derive(Debug, Clone)]
pub(crate) struct Sent<'a> {
    pub(crate) method: Method,
    pub(crate) endpoint: Endpoint,
    query: &'a str,
    headers: HeaderMap,
    pub(crate) body: &'a [u8],
}

impl<'a> Sent<'a> {
    /// Makes a request with a body of this format and no other headers.
    pub(crate) fn post(endpoint: Endpoint, content_type: &str, body: &'a [u8]) -> Self {
        let content_type = HeaderValue::from_str(content_type).unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        Self { method: Method::POST, endpoint, query: "", headers, body }
    }

    /// Reads `METHOD ENDPOINT?QUERY`, header lines, an empty line, and the body. Leaves out parts that API
    /// Gateway would not forward.
    pub(crate) fn read(raw: &'a [u8]) -> Option<Self> {
        let head_end = raw.windows(2).position(|pair| pair == b"\n\n")?;
        let (head, body) = (std::str::from_utf8(&raw[..head_end]).ok()?, &raw[head_end + 2..]);
        let (first, lines) = head.split_once('\n').unwrap_or((head, ""));
        let (method, target) = first.split_once(' ')?;
        let (endpoint, query) = target.split_once('?').unwrap_or((target, ""));
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            let value = HeaderValue::from_bytes(value.trim().as_bytes()).ok()?;
            Some((name.parse::<HeaderName>().ok()?, value))
        };
        let mut headers: HeaderMap = lines.split('\n').filter_map(header).collect();
        // API Gateway sets these. `lambda_http` panics if they make no URL.
        for name in ["host", "x-forwarded-proto"] {
            headers.remove(name);
        }
        let query = if format!("/?{query}").parse::<Uri>().is_ok() { query } else { "" };
        Some(Self { method: method.parse().ok()?, endpoint: endpoint.parse().ok()?, query, headers, body })
    }

    pub(crate) fn content_type(&self) -> Option<&str> {
        self.headers.get(header::CONTENT_TYPE)?.to_str().ok()
    }

    /// True if there is a malformed `Idempotency-Key`. (Of two, the event has the last.)
    pub(crate) fn has_malformed_idempotency_key(&self) -> bool {
        let last = self.headers.get_all("idempotency-key").iter().next_back();
        last.is_some_and(|value| !value.to_str().is_ok_and(|text| text.parse::<IdempotencyKey>().is_ok()))
    }

    /// Makes the event (payload 2.0), with the body in base64 or, if it is text, unchanged.
    ///
    /// The base64 is always valid. `lambda_http` panics on invalid base64, which API Gateway never sends, and
    /// the fuzzer would stop at once.
    pub(crate) fn event(&self, delivery: Delivery) -> Option<String> {
        let body = match delivery {
            Delivery::Text => std::str::from_utf8(self.body).ok()?.to_owned(),
            Delivery::Base64 => STANDARD.encode(self.body),
        };
        let path = self.endpoint.path();
        let headers: serde_json::Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
            .collect();
        let event = json!({
            "version": "2.0", "routeKey": format!("POST {path}"), "rawPath": path, "rawQueryString": self.query,
            "headers": headers,
            "requestContext": {
                "accountId": "000000000000", "apiId": "api", "domainName": "api.example", "domainPrefix": "api",
                "http": {
                    "method": self.method.as_str(), "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7",
                    "userAgent": "",
                },
                "requestId": "JKJaXmPLvHcESHA=", "routeKey": format!("POST {path}"), "stage": "$default",
                "timeEpoch": 1_708_999_933_000_u64,
            },
            "body": body, "isBase64Encoded": delivery == Delivery::Base64,
        });
        Some(event.to_string())
    }
}
