//! The API Gateway HTTP API payload format, version 2.0 (API Gateway Developer Guide, "Create AWS Lambda
//! proxy integrations for HTTP APIs").

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

/// Builds the event that API Gateway would build from a request.
pub(super) fn from_http(
    parts: &Parts,
    body: &[u8],
    client: IpAddr,
    authority: &str,
    request_id: &str,
) -> String {
    let path = parts.uri.path();
    let route = format!("{} {path}", parts.method);
    let text = is_delivered_as_text(&parts.headers).then(|| std::str::from_utf8(body).ok()).flatten();
    let (body, is_base64_encoded) = match text {
        _ if body.is_empty() => (Value::Null, false),
        Some(text) => (json!(text), false),
        None => (json!(STANDARD.encode(body)), true),
    };
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let event = json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers(&parts.headers, client, authority),
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": authority,
            "domainPrefix": "local",
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": client.to_string(),
                "userAgent": header_text(parts.headers.get(header::USER_AGENT)),
            },
            "requestId": request_id,
            "routeKey": route,
            "stage": "$default",
            "timeEpoch": u64::try_from(since_epoch.as_millis()).unwrap_or_default(),
        },
        "body": body,
        "isBase64Encoded": is_base64_encoded,
    });
    event.to_string()
}

/// Returns true for the media types that API Gateway delivers as text. Forms, and bodies without a type, are
/// delivered in base64.
fn is_delivered_as_text(headers: &HeaderMap) -> bool {
    let content_type = header_text(headers.get(header::CONTENT_TYPE)).to_ascii_lowercase();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml"].contains(&essence)
}

/// Builds the headers of an event: names in lower case, values of the same name joined by commas. The
/// client's address and the host come from API Gateway, not from the caller.
fn headers(headers: &HeaderMap, client: IpAddr, authority: &str) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = header_text(Some(value));
        joined
            .entry(name.as_str().to_owned())
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert(value);
    }
    let forwarded = match joined.get("x-forwarded-for") {
        Some(earlier) => format!("{earlier}, {client}"),
        None => client.to_string(),
    };
    joined.insert("x-forwarded-for".to_owned(), forwarded);
    joined.insert("x-forwarded-proto".to_owned(), "http".to_owned());
    joined.insert("host".to_owned(), authority.to_owned());
    joined
}

fn header_text(value: Option<&HeaderValue>) -> String {
    value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// Builds the response that API Gateway would build from a function's answer.
pub(super) fn to_http(mut answer: Value) -> Option<Response<Body>> {
    let status = u16::try_from(answer.get("statusCode")?.as_u64()?).ok()?;
    let body = match answer.get_mut("body").map(Value::take) {
        Some(Value::String(text)) if answer.get("isBase64Encoded") == Some(&Value::Bool(true)) => {
            STANDARD.decode(text).ok()?
        }
        Some(Value::String(text)) => text.into_bytes(),
        _ => Vec::new(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    for (name, value) in answer.get("headers")?.as_object()? {
        let name: HeaderName = name.parse().ok()?;
        response.headers_mut().insert(name, value.as_str()?.parse().ok()?);
    }
    Some(response)
}
