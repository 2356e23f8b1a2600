//! Checks the path from API Gateway's event, through `lambda_http`, to the request of an endpoint.

use std::sync::{Arc, LazyLock};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use futures_util::FutureExt as _;
use http::Method;
use keypool_aws::{AwsSettings, Timeouts};
use keypool_domain::{Endpoint, OperatingSystemRandomness, Parameters, SystemClock, Value};
use keypool_function::{BODY_BYTES_MAX, Desk, Invocation, ProblemDetails};
use keypool_signing::Signer;
use keypool_store::Store;

use crate::asked::{NAMES, asked};
use crate::encoding::{self, Pair};
use crate::event::{Delivery, Sent};

/// A desk without services: parsing a request calls neither DynamoDB nor KMS.
static DESK: LazyLock<Arc<Desk>> = LazyLock::new(|| {
    let settings = AwsSettings {
        region: "eu-central-1".to_owned(),
        credentials: SharedCredentialsProvider::new(Credentials::from_keys("none", "none", None)),
        dynamodb_endpoint: None,
        kms_endpoint: None,
    };
    let clients = settings.clients(Timeouts::CHECKOUT);
    let store = Store::new(clients.dynamodb, "none", Arc::new(OperatingSystemRandomness));
    let signer = Signer::new(clients.kms, None);
    Arc::new(Desk::new(store, signer, Arc::new(SystemClock), Arc::new(OperatingSystemRandomness)))
});

/// Checks the properties of every request. It has the form `METHOD ENDPOINT?QUERY`, header lines, an empty
/// line, and the body.
///
/// - Parsing does not panic, and gives the same result for a body in text and in base64.
/// - A JSON body gives the same parameters as in another JSON parser.
/// - The parameters stay the same, with the same request, as a form, as multipart and as JSON.
/// - The request is within the contract's limits. Sent again, it gives the same request.
/// - A malformed `Idempotency-Key` is refused, and no other.
/// - Faults name parameters, in sentences.
///
/// # Panics
/// If one of these fails.
pub fn holds(raw: &[u8]) {
    let Some(sent) = Sent::read(raw) else { return };
    let received = receive(&sent, Delivery::Base64).unwrap();
    if let Some(as_text) = receive(&sent, Delivery::Text) {
        assert!(received == as_text, "text and base64 give different parameters");
    }
    match received {
        Ok(parameters) => {
            assert!(!sent.has_malformed_idempotency_key());
            is_what_json_says(&sent, &parameters);
            survives_every_format(&sent, &parameters);
            for endpoint in Endpoint::ALL {
                asks_for_the_same_again(endpoint, &parameters);
            }
        }
        Err(problem) => {
            let expected = match problem {
                ProblemDetails::MethodNotAllowed { .. } => {
                    !sent.endpoint.methods().split(", ").any(|method| sent.method == method)
                }
                ProblemDetails::TooLarge => sent.body.len() > BODY_BYTES_MAX,
                ProblemDetails::UnreadableBody(_) => {
                    sent.method == Method::POST || sent.endpoint.only_reads()
                }
                ProblemDetails::MalformedIdempotencyKey => sent.has_malformed_idempotency_key(),
                _ => false,
            };
            assert!(expected, "{problem:?}");
        }
    }
}

/// Returns the parameters that a function gets. `None` if the body cannot be delivered like that.
fn receive(sent: &Sent<'_>, delivery: Delivery) -> Option<Result<Parameters, ProblemDetails>> {
    let event = lambda_http::request::from_str(&sent.event(delivery)?);
    let event = event.unwrap_or_else(|error| panic!("not an event to lambda_http: {error}"));
    // The body is complete, so there is nothing to wait for.
    let invocation = Invocation::receive(Arc::clone(&DESK), sent.endpoint, event).now_or_never().unwrap();
    Some(invocation.parameters().cloned().map_err(|failure| failure.problem()))
}

fn is_what_json_says(sent: &Sent<'_>, parameters: &Parameters) {
    let content_type = sent.content_type().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !content_type.eq_ignore_ascii_case("application/json") {
        return;
    }
    // The reverse may fail: this parser refuses numbers that it cannot represent, and depths beyond 128.
    let Ok(members) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(sent.body) else {
        return;
    };
    for (name, member) in members {
        let same = match (&member, parameters.value(&name)) {
            (serde_json::Value::Null, None)
            | (serde_json::Value::Array(_), Some(Value::Array(_)))
            | (serde_json::Value::Object(_), Some(Value::Object)) => true,
            (serde_json::Value::String(text), Some(Value::Text(read))) => text == read,
            (serde_json::Value::Bool(yes), Some(Value::Text(read))) => read == if *yes { "1" } else { "0" },
            (serde_json::Value::Number(_), Some(Value::Text(read))) => read.parse::<f64>().is_ok(),
            _ => false,
        };
        assert!(same, "{name} differs from the JSON");
    }
}

fn survives_every_format(sent: &Sent<'_>, parameters: &Parameters) {
    let pairs: Vec<Pair> =
        NAMES.iter().filter_map(|name| Some(((*name).to_owned(), parameters.value(name)?.clone()))).collect();
    let again = |(content_type, body): encoding::Encoded| {
        let sent = Sent::post(sent.endpoint, &content_type, &body);
        match receive(&sent, Delivery::Base64) {
            Some(Err(ProblemDetails::TooLarge)) => None,
            read => Some(read.unwrap().unwrap_or_else(|problem| panic!("{content_type}: {problem:?}"))),
        }
    };
    let expected: Parameters = pairs.iter().cloned().collect();
    if let Some(json) = again(encoding::json(&pairs)) {
        assert!(json == expected, "JSON changes parameters");
    }
    // Only for license keys an array equals its text.
    let is_text = |(name, value): &Pair| matches!(value, Value::Text(_)) || name == "license_keys";
    for encoded in encoding::texts(&pairs).into_iter().flatten() {
        let Some(read) = again(encoded) else { continue };
        let text = |value: &Value| match value {
            Value::Text(text) | Value::Array(text) => Some(text.clone()),
            Value::Object => None,
        };
        for (name, value) in &pairs {
            assert!(read.value(name).and_then(text) == text(value), "{name} changes");
        }
        if pairs.iter().all(is_text) {
            for endpoint in Endpoint::ALL {
                assert!(
                    asked(endpoint, &read) == asked(endpoint, parameters),
                    "{endpoint} gets another request"
                );
            }
        }
    }
}

fn asks_for_the_same_again(endpoint: Endpoint, parameters: &Parameters) {
    match asked(endpoint, parameters) {
        Ok(pairs) => {
            let again = asked(endpoint, &pairs.iter().cloned().collect());
            assert!(again.as_ref() == Ok(&pairs), "{endpoint} gets another request");
        }
        Err(faults) => {
            let faults = serde_json::to_value(faults).unwrap();
            let faults = faults.as_object().unwrap();
            assert!(!faults.is_empty(), "a fault names no parameter");
            for (name, sentences) in faults {
                assert!(NAMES.contains(&name.as_str()), "{name} is not a parameter");
                for sentence in sentences.as_array().unwrap() {
                    let sentence = sentence.as_str().unwrap();
                    assert!(
                        sentence.starts_with(&format!("The {name} field ")) && sentence.ends_with('.'),
                        "{sentence}"
                    );
                }
            }
        }
    }
}
