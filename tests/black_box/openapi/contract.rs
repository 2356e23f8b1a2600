//! The description against the code: both know the same endpoints, parameters, limits and codes.

use std::collections::BTreeSet;

use keypool_domain::requests::{
    AssignLicenseKey, CreateLicenseKeys, Generate, RandomAssignLicenseKeys, RandomAssignLicenseKeysQueued,
};
use keypool_domain::{
    ApiKeyRefusal, Assignment, AttemptId, Clock as _, Endpoint, NewKey, OperatingSystemRandomness, Owner,
    Parameters, Reply, RowId, Status, SystemClock, ValidationErrors, Value as Parameter,
};
use keypool_tests::Shape;
use serde_json::{Value, json};

use super::{Description, FORMATS, names, sample};

/// The texts of the code that reads an endpoint's parameters.
const fn source(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::CreateLicenseKeys => {
            include_str!("../../../shared/domain/src/requests/create_license_keys.rs")
        }
        Endpoint::Generate => include_str!("../../../shared/domain/src/requests/generate.rs"),
        Endpoint::AssignLicenseKey => {
            include_str!("../../../shared/domain/src/requests/assign_license_key.rs")
        }
        Endpoint::RandomAssignLicenseKeys => {
            include_str!("../../../shared/domain/src/requests/random_assign_license_keys.rs")
        }
        Endpoint::RandomAssignLicenseKeysQueued => concat!(
            include_str!("../../../shared/domain/src/requests/random_assign_license_keys.rs"),
            include_str!("../../../shared/domain/src/requests/random_assign_license_keys_queued.rs"),
        ),
    }
}

/// The parameters that the code finds fault with.
fn faulty(endpoint: Endpoint, parameters: impl IntoIterator<Item = (String, Parameter)>) -> BTreeSet<String> {
    let parameters: Parameters = parameters.into_iter().collect();
    let faults = match endpoint {
        Endpoint::CreateLicenseKeys => CreateLicenseKeys::try_from(&parameters).map(drop),
        Endpoint::Generate => Generate::try_from(&parameters).map(drop),
        Endpoint::AssignLicenseKey => AssignLicenseKey::try_from(&parameters).map(drop),
        Endpoint::RandomAssignLicenseKeys => RandomAssignLicenseKeys::try_from(&parameters).map(drop),
        Endpoint::RandomAssignLicenseKeysQueued => {
            RandomAssignLicenseKeysQueued::try_from(&parameters).map(drop)
        }
    };
    faults.map_or_else(|faults| names(&json!(faults)), |()| BTreeSet::new())
}

fn text(value: &Value) -> Parameter {
    Parameter::Text(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[test]
fn paths_are_the_endpoints() {
    let description = Description::read();
    assert_eq!(names(&description.0["paths"]), Endpoint::ALL.into_iter().map(Endpoint::path).collect());
    for path in names(&description.0["paths"]) {
        assert_eq!(names(&description.0["paths"][path]), BTreeSet::from(["post".to_owned()]));
    }
}

#[test]
fn parameters_are_those_that_the_code_reads() {
    let description = Description::read();
    for endpoint in Endpoint::ALL {
        // No parameter takes an object. Whatever the code has a word for may be a parameter.
        let words = source(endpoint).split('"').skip(1).step_by(2).map(str::to_owned);
        let read = faulty(endpoint, words.map(|word| (word, Parameter::Object)));
        let required = faulty(endpoint, []);
        for format in FORMATS {
            let schema = description.request(endpoint, format);
            let mut described = names(&schema["properties"]);
            assert!(described.remove("api_key"), "{endpoint} {format}");
            assert_eq!(described, read, "{endpoint} {format}");
            let described = schema["required"].as_array().unwrap().iter();
            assert_eq!(
                described.map(|name| name.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(),
                required
            );
            assert_eq!(
                names(&description.operation(endpoint)["requestBody"]["content"]),
                BTreeSet::from(FORMATS.map(str::to_owned))
            );
        }
    }
}

/// Values at each limit of a described parameter, and whether they fit: those just beyond do not.
fn at_the_limits(property: &Value) -> Vec<(Value, bool)> {
    let mut cases: Vec<(Value, bool)> = Vec::new();
    if let (Some(least), Some(most)) = (property["minimum"].as_i64(), property["maximum"].as_i64()) {
        cases.extend([(json!(least), true), (json!(most), true)]);
        cases.extend([(json!(least - 1), false), (json!(most + 1), false)]);
    }
    if let Some(most) = property["maxLength"].as_u64() {
        let text = |count: u64| json!("é".repeat(usize::try_from(count).unwrap()));
        cases.extend([(text(most), true), (text(most + 1), false)]);
    }
    for value in property["enum"].as_array().into_iter().flatten() {
        cases.extend([(value.clone(), true), (json!(format!("{value}x")), false)]);
    }
    if let Some(most) = property["contentSchema"]["maxItems"].as_u64() {
        let list = |count: u64| json!(json!(vec!["A"; usize::try_from(count).unwrap()]).to_string());
        cases.extend([(list(1), true), (list(most), true), (list(0), false), (list(most + 1), false)]);
    }
    cases
}

#[test]
fn limits_are_those_of_the_code() {
    let description = Description::read();
    for endpoint in Endpoint::ALL {
        let sample = sample(endpoint);
        let sample = sample["example_request"].as_object().unwrap();
        let schema = description.request(endpoint, FORMATS[0]);
        for (name, property) in schema["properties"].as_object().unwrap() {
            for (value, fits) in at_the_limits(description.resolve(property)) {
                let given = sample.iter().chain([(name, &value)]);
                let given = given.map(|(name, value)| (name.clone(), text(value)));
                assert_eq!(faulty(endpoint, given).is_empty(), fits, "{endpoint}: {name} = {value}");
            }
        }
    }
}

/// One of each. The match is there for the compiler to ask for a reply that is new.
fn every_reply() -> Vec<Reply> {
    let faults = || {
        let mut faults = ValidationErrors::default();
        faults.add("quantity", "The quantity field is required.".to_owned());
        faults
    };
    let replies = vec![
        Reply::Refused(ApiKeyRefusal::Invalid),
        Reply::Refused(ApiKeyRefusal::Inactive),
        Reply::Refused(ApiKeyRefusal::Capability),
        Reply::Refused(ApiKeyRefusal::Network),
        Reply::LicenseKeyAssigned,
        Reply::InvalidLicenseKey,
        Reply::InsufficientLicenseKeys { available_quantity: 5 },
        Reply::LicenseKeysAssigned(vec![row()]),
        Reply::IncorrectAssignment(faults()),
        Reply::ProductNotFound,
        Reply::GeneratorNotFound,
        Reply::RequestQueued,
        Reply::Generated(vec!["A-1".parse().unwrap()]),
        Reply::IncorrectGeneration(faults()),
        Reply::Created { created: 3, duplicate: 1 },
        Reply::Created { created: 0, duplicate: 4 },
        Reply::IncorrectCreation(faults()),
    ];
    for reply in &replies {
        match reply {
            Reply::Refused(
                ApiKeyRefusal::Invalid
                | ApiKeyRefusal::Inactive
                | ApiKeyRefusal::Capability
                | ApiKeyRefusal::Network,
            )
            | Reply::LicenseKeyAssigned
            | Reply::InvalidLicenseKey
            | Reply::InsufficientLicenseKeys { .. }
            | Reply::LicenseKeysAssigned(_)
            | Reply::IncorrectAssignment(_)
            | Reply::ProductNotFound
            | Reply::GeneratorNotFound
            | Reply::RequestQueued
            | Reply::Generated(_)
            | Reply::IncorrectGeneration(_)
            | Reply::Created { .. }
            | Reply::IncorrectCreation(_) => {}
        }
    }
    replies
}

pub(super) fn row() -> keypool_domain::KeyRow {
    let key = NewKey {
        license_key: "A-1".parse().unwrap(),
        product_id: "1".parse().unwrap(),
        activation_limit: "1".parse().unwrap(),
        validity: "365".parse().unwrap(),
        status: Status::Available,
        owner: Owner::default(),
        assigned_at: None,
        assignment_id: None,
        creation_id: None,
    };
    let now = SystemClock.now();
    let assignment = Assignment {
        id: AttemptId::random(&OperatingSystemRandomness),
        owner: Owner { name: Some("Test User".parse().unwrap()), email: None },
        at: now,
    };
    key.into_record(RowId::MIN, now, &OperatingSystemRandomness).row(&assignment)
}

#[test]
fn codes_messages_and_members_are_those_of_the_code() {
    let description = Description::read();
    let schemas = &description.0["components"]["schemas"];
    let mut codes = BTreeSet::new();
    for reply in every_reply() {
        let name = format!("Code{}", reply.code());
        let schema = &schemas[&name];
        let json = reply.to_json(None, SystemClock.now());
        description.check(schema, &serde_json::from_str(&json).unwrap(), &name);
        assert_eq!(schema["properties"]["message"]["const"], reply.message());
        // `required` lists the members in the contract's order.
        let Shape::Object(members) = Shape::of(&json) else { panic!("{json}") };
        let members: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(schema["required"], json!(members), "{name}");
        let other = if reply.http_status() == 200 { 401 } else { 200 };
        for endpoint in Endpoint::ALL {
            assert!(!description.codes(endpoint, other).contains(&u64::from(reply.code())), "{name}");
        }
        codes.insert(name);
    }
    let described = names(schemas).into_iter().filter(|name| name.starts_with("Code"));
    assert_eq!(described.collect::<BTreeSet<_>>(), codes);
}
