//! Compares the described callback of a queued order with the code.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keypool_domain::{Clock as _, Endpoint, PrivateKeyUsed, Reply, SignablePayload, SystemClock};
use keypool_tests::Shape;
use serde_json::{Value, json};

use super::contract::row;
use super::{Description, names};

impl Description {
    fn callback(&self) -> &Value {
        &self.operation(Endpoint::RandomAssignLicenseKeysQueued)["callbacks"]["outcome"]["{$request.body#/webhook_url}"]
            ["post"]
    }

    fn callback_body(&self) -> &Value {
        &self.callback()["requestBody"]["content"]["application/json"]
    }
}

#[test]
fn callback_examples_match_the_schema_and_their_base64() {
    let description = Description::read();
    let body = description.callback_body();
    for (name, example) in body["examples"].as_object().unwrap() {
        let value = &description.resolve(example)["value"];
        description.check(&body["schema"], value, name);
        let original = &value["original"];
        let signed = STANDARD.decode(original["response_base64"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&signed).unwrap(), original["response"], "{name}");
        assert_eq!(&original["response"]["code"].to_string(), name);
    }
}

#[test]
fn callbacks_match_their_description() {
    let description = Description::read();
    let schema = &description.callback_body()["schema"];
    let mut described = BTreeSet::new();
    for reply in [
        Reply::LicenseKeysAssigned(vec![row()]),
        Reply::InsufficientLicenseKeys { available_quantity: 5 },
        Reply::GeneratorNotFound,
    ] {
        let name = format!("Callback{}", reply.code());
        for identifier in [None, Some("31".parse().unwrap())] {
            let payload = SignablePayload::about(identifier.as_ref(), &reply, SystemClock.now());
            let text = payload.into_envelope(PrivateKeyUsed::Global, None).to_callback_json();
            let callback: Value = serde_json::from_str(&text).unwrap();
            description.check(schema, &callback, &name);
            let text = reply.to_json(identifier.as_ref(), SystemClock.now());
            let Shape::Object(members) = Shape::of(&text) else { panic!("{text}") };
            let members: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
            // `identifier` comes before the last member.
            let required = &description.0["components"]["schemas"][&name]["required"];
            let mut expected: Vec<&str> =
                required.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            if identifier.is_some() {
                expected.insert(expected.len() - 1, "identifier");
            }
            assert_eq!(members, expected, "{name}");
        }
        described.insert(name);
    }
    let schemas = names(&description.0["components"]["schemas"]);
    let callbacks = schemas.into_iter().filter(|name| name.starts_with("Callback8"));
    assert_eq!(callbacks.collect::<BTreeSet<_>>(), described);
    // The schema refuses any other form.
    let refused = json!({"headers": {}, "original": null, "exception": null});
    assert!(!description.faults(schema, &refused).is_empty());
}

/// The client writes these headers. The `webhook-id` is the id of the order.
#[test]
fn described_callback_headers_match_the_client() {
    let description = Description::read();
    let client = include_str!("../../../shared/callback/src/client.rs");
    let headers = description.callback()["parameters"].as_array().unwrap();
    let mut written: BTreeSet<&str> = BTreeSet::new();
    for name in client.split(".header(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        written.insert(name);
    }
    let described: BTreeSet<&str> = headers.iter().map(|header| header["name"].as_str().unwrap()).collect();
    assert_eq!(written, described);
}
