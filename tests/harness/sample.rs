use keypool_domain::Endpoint;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Returns the text of an endpoint's sample: real requests and responses. The sample of `replace-license-key`
/// has a request only, because the plugins' API lacks this endpoint.
#[must_use]
pub const fn sample_text(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::CreateLicenseKeys => include_str!("../vectors/create-license-keys.json"),
        Endpoint::Generate => include_str!("../vectors/generate.json"),
        Endpoint::AssignLicenseKey => include_str!("../vectors/assign-license-key.json"),
        Endpoint::RandomAssignLicenseKeys => include_str!("../vectors/random-assign-license-keys.json"),
        Endpoint::RandomAssignLicenseKeysQueued => {
            include_str!("../vectors/random-assign-license-keys-queued.json")
        }
        Endpoint::UpdateLicenseKey => include_str!("../vectors/update-license-key.json"),
        Endpoint::ReplaceLicenseKey => {
            r#"{"example_request": {
                "api_key": "2964c3c9-0b5d-4d89-b3ac-4668f30bc492",
                "license_key": "9cc2cc83-4c74-49f9-98f5-f0e1c1eb1541",
                "reason": "does not activate"
            }, "example_responses": []}"#
        }
        Endpoint::GetAvailableLicenseKeysCount => {
            include_str!("../vectors/get-available-license-keys-count.json")
        }
        Endpoint::GetLicenseKeys => include_str!("../vectors/get-license-keys.json"),
    }
}

/// Returns an endpoint's sample. The original of `get-license-keys` lists keys by product and status. keypool
/// lists the keys of an order, so the request gets an identifier.
///
/// # Panics
/// If it is not JSON.
#[must_use]
pub fn sample(endpoint: Endpoint) -> Value {
    let mut sample: Value = serde_json::from_str(sample_text(endpoint)).unwrap();
    if endpoint == Endpoint::GetLicenseKeys {
        sample["example_request"]["identifier"] = "31".into();
    }
    sample
}

/// Returns the envelope of an endpoint's sample with this code, as JSON text: only the text has the order of
/// members.
///
/// # Panics
/// If there is no such envelope.
#[must_use]
pub fn sample_envelope(endpoint: Endpoint, code: u64) -> String {
    #[derive(Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        example_responses: Vec<Example<'a>>,
    }
    #[derive(Deserialize)]
    struct Example<'a> {
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let file: File<'_> = serde_json::from_str(sample_text(endpoint)).unwrap();
    let mut bodies = file.example_responses.into_iter().map(|example| example.body.get().to_owned());
    let has_code = |body: &String| serde_json::from_str::<Value>(body).unwrap()["response"]["code"] == code;
    bodies.find(has_code).unwrap()
}
