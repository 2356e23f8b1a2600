//! Compares the description with the code: both have the same endpoints, parameters, limits and codes.

use std::collections::BTreeSet;

use keypool_domain::requests::{
    AssignLicenseKey, CreateLicenseKeys, Generate, GetAvailableLicenseKeysCount, GetLicenseKeys,
    RandomAssignLicenseKeys, RandomAssignLicenseKeysQueued, ReplaceLicenseKey, UpdateLicenseKey,
};
use keypool_domain::{
    ApiKeyRefusal, Assignment, Clock as _, Endpoint, LicenseKeyRecord, NewKey, OperatingSystemRandomness,
    Owner, Parameters, Reply, RowId, Status, SystemClock, ValidationErrors, Value as Parameter,
};
use keypool_tests::{Shape, sample};
use serde_json::{Value, json};

use super::{Description, FORMATS, names};

/// The source text that reads an endpoint's parameters.
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
        Endpoint::UpdateLicenseKey => {
            include_str!("../../../shared/domain/src/requests/update_license_key.rs")
        }
        Endpoint::ReplaceLicenseKey => {
            include_str!("../../../shared/domain/src/requests/replace_license_key.rs")
        }
        Endpoint::GetAvailableLicenseKeysCount => {
            include_str!("../../../shared/domain/src/requests/get_available_license_keys_count.rs")
        }
        Endpoint::GetLicenseKeys => include_str!("../../../shared/domain/src/requests/get_license_keys.rs"),
    }
}

/// Returns the parameters that the code rejects.
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
        Endpoint::UpdateLicenseKey => UpdateLicenseKey::try_from(&parameters).map(drop),
        Endpoint::ReplaceLicenseKey => ReplaceLicenseKey::try_from(&parameters).map(drop),
        Endpoint::GetAvailableLicenseKeysCount => {
            GetAvailableLicenseKeysCount::try_from(&parameters).map(drop)
        }
        Endpoint::GetLicenseKeys => GetLicenseKeys::try_from(&parameters).map(drop),
    };
    faults.map_or_else(|faults| names(&json!(faults)), |()| BTreeSet::new())
}

fn text(value: &Value) -> Parameter {
    Parameter::Text(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[test]
fn paths_match_the_endpoints() {
    let description = Description::read();
    assert_eq!(names(&description.0["paths"]), Endpoint::ALL.into_iter().map(Endpoint::path).collect());
    for endpoint in Endpoint::ALL {
        let methods = endpoint.methods().to_ascii_lowercase();
        let described = names(&description.0["paths"][endpoint.path()]);
        assert_eq!(described, methods.split(", ").map(str::to_owned).collect());
    }
}

#[test]
fn a_query_string_has_the_parameters_of_a_form() {
    let description = Description::read();
    for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| endpoint.only_reads()) {
        let form = description.request(endpoint, FORMATS[0]);
        let get = &description.0["paths"][endpoint.path()]["get"];
        for parameter in get["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            assert_eq!(parameter["schema"], form["properties"][name], "{endpoint} {name}");
            let is_required = form["required"].as_array().unwrap().contains(&json!(name));
            assert_eq!((&parameter["in"], &parameter["required"]), (&json!("query"), &json!(is_required)));
        }
        assert_eq!(get["parameters"].as_array().unwrap().len(), names(&form["properties"]).len());
        assert_eq!(get["responses"], description.operation(endpoint)["responses"], "{endpoint}");
    }
}

#[test]
fn described_parameters_match_the_code() {
    let description = Description::read();
    for endpoint in Endpoint::ALL {
        // No parameter accepts an object, and every string in the source may be a parameter's name.
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

/// Returns values at each limit of a parameter and just beyond it. `true` marks those that fit.
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
fn described_limits_match_the_code() {
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

/// Returns one reply of each kind. The match makes the compiler report a new kind.
fn every_reply() -> Vec<Reply> {
    let incorrect = |endpoint| Reply::incorrect(endpoint, ValidationErrors::of("quantity", "is required"));
    let replies = vec![
        Reply::Refused(ApiKeyRefusal::Invalid),
        Reply::Refused(ApiKeyRefusal::Inactive),
        Reply::Refused(ApiKeyRefusal::Capability),
        Reply::Refused(ApiKeyRefusal::Network),
        Reply::LimitReached { retry_after: std::time::Duration::from_secs(1) },
        Reply::LicenseKeyAssigned,
        Reply::InvalidLicenseKey,
        Reply::InsufficientLicenseKeys { available_quantity: 5 },
        Reply::LicenseKeysAssigned(vec![row()]),
        incorrect(Endpoint::AssignLicenseKey),
        incorrect(Endpoint::GetLicenseKeys),
        incorrect(Endpoint::ReplaceLicenseKey),
        incorrect(Endpoint::UpdateLicenseKey),
        incorrect(Endpoint::GetAvailableLicenseKeysCount),
        Reply::LicenseKeys(vec![record().into_listed_row()]),
        Reply::AvailableLicenseKeysCount(696),
        Reply::LicenseKeyReplaced(Box::new(row())),
        Reply::LicenseKeyCannotBeReplaced,
        Reply::LicenseKeyUpdated,
        Reply::LicenseKeyNotFound,
        Reply::ProductNotFound,
        Reply::GeneratorNotFound,
        Reply::RequestQueued,
        Reply::Generated(vec!["A-1".parse().unwrap()]),
        incorrect(Endpoint::Generate),
        Reply::Created { created: 3, duplicate: 1 },
        Reply::Created { created: 0, duplicate: 4 },
        incorrect(Endpoint::CreateLicenseKeys),
    ];
    for reply in &replies {
        match reply {
            Reply::Refused(
                ApiKeyRefusal::Invalid
                | ApiKeyRefusal::Inactive
                | ApiKeyRefusal::Capability
                | ApiKeyRefusal::Network,
            )
            | Reply::Incorrect { .. }
            | Reply::LicenseKeys(_)
            | Reply::ProductDoesNotExist
            | Reply::AvailableLicenseKeysCount(_)
            | Reply::LicenseKeyReplaced(_)
            | Reply::LicenseKeyCannotBeReplaced
            | Reply::LicenseKeyUpdated
            | Reply::LicenseKeyNotFound
            | Reply::LimitReached { .. }
            | Reply::LicenseKeyAssigned
            | Reply::InvalidLicenseKey
            | Reply::InsufficientLicenseKeys { .. }
            | Reply::LicenseKeysAssigned(_)
            | Reply::ProductNotFound
            | Reply::GeneratorNotFound
            | Reply::RequestQueued
            | Reply::Generated(_)
            | Reply::Created { .. } => {}
        }
    }
    replies
}

fn record() -> LicenseKeyRecord {
    let key = NewKey {
        license_key: "A-1".parse().unwrap(),
        product_id: "1".parse().unwrap(),
        activation_limit: "1".parse().unwrap(),
        validity: "365".parse().unwrap(),
        status: Status::Available,
        owner: Owner::default(),
        assigned_at: None,
        order: None,
        assignment_id: None,
        creation_id: None,
    };
    key.into_record(RowId::MIN, SystemClock.now(), &OperatingSystemRandomness)
}

pub(super) fn row() -> keypool_domain::KeyRow {
    let owner = Owner { name: Some("Test User".parse().unwrap()), email: None };
    record().row(&Assignment::new(owner, SystemClock.now(), &OperatingSystemRandomness))
}

#[test]
fn codes_messages_and_members_match_the_code() {
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
