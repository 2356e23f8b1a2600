use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keypool_domain::{Clock as _, Endpoint, SystemClock};
use serde_json::{Value, json};

use super::Outcome;
use crate::sample;

/// Makes an API Gateway HTTP API event (payload 2.0) for a function, with this body.
#[must_use]
pub(super) fn event(
    endpoint: &str,
    method: &str,
    headers: &[(&str, &str)],
    body: &str,
    is_base64_encoded: bool,
) -> Value {
    let path = format!("/api/v1/{endpoint}");
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "version": "2.0",
        "routeKey": format!("POST {path}"),
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "api",
            "domainName": "api.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "api",
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7",
                "userAgent": "WordPress/6.4",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": format!("POST {path}"),
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": SystemClock.now().unix_microseconds() / 1_000,
        },
        "body": body,
        "isBase64Encoded": is_base64_encoded,
    })
}

/// Returns the HTTP status and `response.code` of a response (0 if there is no code).
///
/// # Panics
/// If the function reported an error, or API Gateway would reject its response.
#[must_use]
pub fn answered(outcome: &Outcome) -> (u64, u64) {
    let answer = outcome.as_ref().unwrap();
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body["response"]["code"].as_u64().unwrap_or(0))
}

/// Makes the event of a form, with an `Idempotency-Key` if there is one.
#[must_use]
pub(crate) fn request_event(
    endpoint: &str,
    parameters: &[(&str, &str)],
    idempotency_key: Option<&str>,
) -> Value {
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    headers.extend(idempotency_key.map(|key| ("idempotency-key", key)));
    event(endpoint, "POST", &headers, &STANDARD.encode(form(parameters)), true)
}

/// Makes the event of an endpoint's sample as a form.
#[must_use]
pub fn sample_event(endpoint: Endpoint) -> Value {
    let parameters = sample_request(endpoint);
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    form_event(endpoint, &parameters)
}

/// Makes the event of a form.
#[must_use]
pub fn form_event(endpoint: Endpoint, parameters: &[(&str, &str)]) -> Value {
    request_event(endpoint.name(), parameters, None)
}

/// Returns the request of an endpoint's sample.
pub(super) fn sample_request(endpoint: Endpoint) -> Vec<(String, String)> {
    let sample = sample(endpoint);
    let members = sample["example_request"].as_object().unwrap().iter();
    members.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

pub(super) fn form(parameters: &[(&str, &str)]) -> String {
    let escaped =
        |value: &str| value.replace('%', "%25").replace('+', "%2B").replace('&', "%26").replace(' ', "+");
    parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

pub(super) fn json_body(parameters: &[(&str, &str)]) -> String {
    let members = parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    Value::from(members.collect::<serde_json::Map<_, _>>()).to_string()
}

pub(super) fn multipart_body(parameters: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts: String = parameters.iter().map(part).collect();
    format!("{parts}--XX--\r\n")
}
