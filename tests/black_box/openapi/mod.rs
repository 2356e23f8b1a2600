//! Compares the API's description with OpenAPI, with the code and with real responses.

mod callback;
mod contract;
mod document;
mod page;
mod responses;

use std::collections::BTreeSet;

use keypool_domain::Endpoint;
use serde_json::{Value, json};

/// The formats of a body.
const FORMATS: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "application/json"];

/// `infra/openapi.yaml`.
struct Description(Value);

impl Description {
    fn read() -> Self {
        Self(serde_saphyr::from_str(include_str!("../../../infra/openapi.yaml")).unwrap())
    }

    /// Resolves a reference, or returns the value itself.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let target = reference.strip_prefix('#').and_then(|pointer| self.0.pointer(pointer));
                assert!(target.is_some(), "{reference} does not resolve");
                self.resolve(target.unwrap())
            }
            None => value,
        }
    }

    fn operation(&self, endpoint: Endpoint) -> &Value {
        &self.0["paths"][endpoint.path()]["post"]
    }

    /// Returns the schema of a request, with its first level resolved.
    fn request(&self, endpoint: Endpoint, format: &str) -> &Value {
        self.resolve(&self.operation(endpoint)["requestBody"]["content"][format]["schema"])
    }

    fn response(&self, endpoint: Endpoint, status: u16) -> &Value {
        self.resolve(&self.operation(endpoint)["responses"][status.to_string()])
    }

    /// Returns the codes of an endpoint's signed responses with this status.
    fn codes(&self, endpoint: Endpoint, status: u16) -> BTreeSet<u64> {
        let schema = &self.response(endpoint, status)["content"]["application/json"]["schema"];
        // The alternative is a response of API Gateway itself.
        let schema = schema.pointer("/anyOf/0").unwrap_or(schema);
        let replies = schema["properties"]["response"]["oneOf"].as_array().unwrap().iter();
        replies.map(|reply| self.resolve(reply)["properties"]["code"]["const"].as_u64().unwrap()).collect()
    }

    /// Asserts that `instance` fits a schema of the description.
    fn check(&self, schema: &Value, instance: &Value, what: &str) {
        let faults = self.faults(schema, instance);
        assert!(faults.is_empty(), "{what}: {faults:#?}\n{instance:#}");
    }

    fn faults(&self, schema: &Value, instance: &Value) -> Vec<String> {
        let rooted = json!({"allOf": [schema], "components": self.0["components"]});
        let validator =
            jsonschema::draft202012::options().should_validate_formats(true).build(&rooted).unwrap();
        validator
            .iter_errors(instance)
            .map(|fault| format!("{} at {}", fault, fault.instance_path()))
            .collect()
    }
}

/// The names of an object's members.
fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}
