//! Checks the document itself: it is valid and complete, and its examples match their schemas.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keypool_domain::Endpoint;
use keypool_tests::sample;
use serde_json::Value;

use super::{Description, FORMATS};

#[test]
fn the_document_is_openapi_3_1_with_json_schemas() {
    let description = Description::read();
    // The schema is from the OpenAPI Initiative, edition 2022-10-07 (Apache-2.0).
    let openapi: Value = serde_json::from_str(include_str!("../../schemas/openapi-3.1.json")).unwrap();
    let openapi = jsonschema::draft202012::new(&openapi).unwrap();
    let faults: Vec<String> = openapi.iter_errors(&description.0).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for (name, schema) in description.0["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
    }
    assert_eq!(description.0["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn references_resolve_and_every_component_is_used() {
    let description = Description::read();
    let mut used = BTreeSet::new();
    references(&description.0, &mut used);
    for reference in &used {
        assert!(description.0.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for kind in ["schemas", "responses", "parameters", "examples"] {
        for name in super::names(&description.0["components"][kind]) {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "{kind}/{name} is not used");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    if let Some(Value::String(reference)) = value.get("$ref") {
        found.insert(reference.clone());
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| references(member, found)),
        Value::Array(elements) => elements.iter().for_each(|element| references(element, found)),
        _ => {}
    }
}

#[test]
fn request_examples_fit_and_the_first_is_the_sample() {
    let description = Description::read();
    for endpoint in Endpoint::ALL {
        for format in FORMATS {
            let content = &description.operation(endpoint)["requestBody"]["content"][format];
            let examples = content["examples"].as_object().unwrap();
            for (name, example) in examples {
                let mut value = description.resolve(example)["value"].clone();
                if format != "application/json" {
                    numbers_of_a_form(&mut value);
                }
                description.check(&content["schema"], &value, &format!("{endpoint} {format} {name}"));
            }
            let value = &description.resolve(&examples["sample"])["value"];
            assert_eq!(value, &sample(endpoint)["example_request"], "{endpoint} {format}");
        }
    }
}

/// Turns the numbers of a form, which are text, into the type that the schema describes.
fn numbers_of_a_form(value: &mut Value) {
    for (name, member) in value.as_object_mut().unwrap() {
        let number = member.as_str().and_then(|text| text.parse::<u64>().ok());
        if let Some(number) =
            number.filter(|_| !["license_key", "api_key", "identifier", "reason"].contains(&name.as_str()))
        {
            *member = number.into();
        }
    }
}

#[test]
fn response_examples_fit_and_include_the_samples() {
    let description = Description::read();
    for endpoint in Endpoint::ALL {
        let samples = sample(endpoint);
        let mut samples: Vec<&Value> =
            samples["example_responses"].as_array().unwrap().iter().map(|sample| &sample["body"]).collect();
        for (status, response) in description.operation(endpoint)["responses"].as_object().unwrap() {
            for (format, content) in description.resolve(response)["content"].as_object().unwrap() {
                for (name, example) in content["examples"].as_object().unwrap() {
                    let value = &description.resolve(example)["value"];
                    let what = format!("{endpoint} {status} {format} {name}");
                    description.check(&content["schema"], value, &what);
                    if let Some(base64) = value["response_base64"].as_str() {
                        let signed: Value =
                            serde_json::from_slice(&STANDARD.decode(base64).unwrap()).unwrap();
                        assert_eq!(signed, value["response"], "{what}");
                        assert_eq!(&value["response"]["code"].to_string(), name);
                    }
                    samples.retain(|sample| *sample != value);
                }
            }
        }
        assert!(samples.is_empty(), "{endpoint}: the description lacks {samples:#?}");
    }
}
