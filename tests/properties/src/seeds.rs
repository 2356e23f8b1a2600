use serde_json::Value;

const SAMPLES: [(&str, &str); 8] = [
    ("create-license-keys", include_str!("../../vectors/create-license-keys.json")),
    ("generate", include_str!("../../vectors/generate.json")),
    ("assign-license-key", include_str!("../../vectors/assign-license-key.json")),
    ("random-assign-license-keys", include_str!("../../vectors/random-assign-license-keys.json")),
    (
        "random-assign-license-keys-queued",
        include_str!("../../vectors/random-assign-license-keys-queued.json"),
    ),
    ("update-license-key", include_str!("../../vectors/update-license-key.json")),
    ("get-available-license-keys-count", include_str!("../../vectors/get-available-license-keys-count.json")),
    ("get-license-keys", include_str!("../../vectors/get-license-keys.json")),
];

/// Returns the contract's requests in the form of [`crate::request::holds`]: as a form, as multipart and as
/// JSON.
///
/// # Panics
/// If a sample is not JSON.
#[must_use]
pub fn request_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (endpoint, sample) in SAMPLES {
        let sample: Value = serde_json::from_str(sample).unwrap();
        let text = |value: &Value| keypool_domain::Value::Text(value.as_str().unwrap_or_default().to_owned());
        let members = sample["example_request"].as_object().unwrap().iter();
        let pairs: Vec<_> = members.map(|(name, value)| (name.clone(), text(value))).collect();
        let texts = crate::encoding::texts(&pairs).unwrap();
        for (content_type, body) in texts.into_iter().chain([crate::encoding::json(&pairs)]) {
            let head = format!(
                "POST {endpoint}?a=1\ncontent-type: {content_type}\nauthorization: Bearer 2964c3c9\nidempotency-key: order-1\n\n"
            );
            seeds.push([head.into_bytes(), body].concat());
        }
    }
    seeds
}

/// Returns the contract's responses in the form of [`crate::envelope::holds`], and one generated case.
///
/// # Panics
/// If a sample is not JSON.
#[must_use]
pub fn envelope_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![b"\0\x07A\nAAAA-0001\nAAAA-0002".to_vec()];
    for (_, sample) in SAMPLES {
        let sample: Value = serde_json::from_str(sample).unwrap();
        let bodies = sample["example_responses"].as_array().unwrap().iter().map(|example| &example["body"]);
        seeds.extend(bodies.map(|body| body.to_string().into_bytes()));
    }
    seeds
}
