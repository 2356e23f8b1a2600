//! Tries every fault in every parameter. Each gets its own code and sentence.

use keypool_tests::{API_KEY, Shop};
use serde_json::{Value, json};

const CREATE: [(&str, &str); 8] = [
    ("license_keys", r#"["AAAA-0001"]"#),
    ("product_id", "1"),
    ("activation_limit", "0"),
    ("validity", "0"),
    ("status", "available"),
    ("owner_name", "Test User"),
    ("owner_email", "email@domain.ltd"),
    ("assigned_at", "2024-01-08 00:00:00"),
];
const GENERATE: [(&str, &str); 2] = [("generator_id", "1"), ("quantity", "1")];
const ASSIGN: [(&str, &str); 4] =
    [("license_key", "AAAA-0001"), ("owner_name", "Test User"), ("email", "a@b"), ("owner_email", "a@b")];
const RANDOM_ASSIGN: [(&str, &str); 5] = [
    ("product_id", "1"),
    ("quantity", "1"),
    ("generate", "0"),
    ("owner_name", "Test User"),
    ("owner_email", "email@domain.ltd"),
];

/// Sends JSON with changed parameters. `null` stands for a missing parameter.
async fn errors_of(
    shop: &Shop,
    endpoint: &str,
    base: &[(&str, &str)],
    changes: &[(&str, Value)],
) -> (u64, Value) {
    let mut body: serde_json::Map<String, Value> =
        base.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    body.insert("api_key".to_owned(), json!(API_KEY));
    for (name, value) in changes {
        body.insert((*name).to_owned(), value.clone());
    }
    let response = shop.post_json(endpoint, &body.into()).await;
    assert_eq!(response.status, 200, "{}", response.text);
    assert_eq!(response.envelope_text("private_key_used"), "global");
    (response.code(), response.response()["errors"].clone())
}

/// Tries each value and expects its sentence, about that parameter alone.
async fn expect_each(
    endpoint: &str,
    code: u64,
    base: &[(&str, &str)],
    cases: impl IntoIterator<Item = (&'static str, Value, &'static str)>,
) {
    let shop = Shop::open().await;
    for (name, value, predicate) in cases {
        let (got, errors) = errors_of(&shop, endpoint, base, &[(name, value.clone())]).await;
        assert_eq!(got, code, "{name} = {value}");
        assert_eq!(errors, json!({name: [format!("The {name} field {predicate}.")]}), "{name} = {value}");
    }
    for product_id in [1, 2, 3] {
        assert_eq!(shop.in_stock(product_id).await, 0, "nothing was stored");
    }
}

/// The cases of every whole number.
fn number(name: &'static str, least: i64, most: u64) -> Vec<(&'static str, Value, &'static str)> {
    let too_small: &'static str = format!("must be at least {least}").leak();
    let too_large: &'static str = format!("must not be greater than {most}").leak();
    vec![
        (name, Value::Null, "is required"),
        (name, json!(""), "is required"),
        (name, json!(" "), "must be an integer"),
        (name, json!("one"), "must be an integer"),
        (name, json!("1.5"), "must be an integer"),
        (name, json!(1.5), "must be an integer"),
        (name, json!("0x10"), "must be an integer"),
        (name, json!("１"), "must be an integer"),
        (name, json!([1]), "must be text"),
        (name, json!({"a": 1}), "must be text"),
        (name, json!(least - 1), too_small),
        (name, json!("-99999999999999999999999"), too_small),
        (name, json!(most + 1), too_large),
        (name, json!("99999999999999999999999"), too_large),
    ]
}

fn owner(name: &'static str) -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (name, json!("é".repeat(256)), "must not be longer than 255 characters"),
        (name, json!(["a"]), "must be text"),
        (name, json!({}), "must be text"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_create_license_keys_are_901() {
    let many = vec!["A"; 1_001];
    let long = "A".repeat(256);
    let mut cases = vec![
        ("license_keys", Value::Null, "is required"),
        ("license_keys", json!(""), "is required"),
        ("license_keys", json!("AAAA-0001,AAAA-0002"), "must be a JSON array of text"),
        ("license_keys", json!({"0": "AAAA-0001"}), "must be a JSON array of text"),
        ("license_keys", json!(7), "must be a JSON array of text"),
        ("license_keys", json!([]), "must contain at least one license key"),
        ("license_keys", json!("[]"), "must contain at least one license key"),
        ("license_keys", json!(many), "must not contain more than 1000 license keys"),
        ("license_keys", json!(["A", 7]), "must contain text only, but its element 2 is not text"),
        ("license_keys", json!([null]), "must contain text only, but its element 1 is not text"),
        (
            "license_keys",
            json!(["A", "  "]),
            "must contain valid license keys, but its element 2 must not be empty",
        ),
        (
            "license_keys",
            json!([long]),
            "must contain valid license keys, but its element 1 must not be longer than 255 characters",
        ),
        (
            "license_keys",
            json!(["A\u{0}B"]),
            "must contain valid license keys, but its element 1 must not contain control characters",
        ),
        ("status", Value::Null, "is required"),
        ("status", json!("sold"), "must be one of available, assigned, reserved and blocked"),
        ("status", json!("Available"), "must be one of available, assigned, reserved and blocked"),
        ("status", json!(1), "must be one of available, assigned, reserved and blocked"),
        ("assigned_at", json!("2024-01-08"), "must be a date and time as YYYY-MM-DD HH:MM:SS"),
        ("assigned_at", json!("2024-02-30 00:00:00"), "must be a date and time as YYYY-MM-DD HH:MM:SS"),
        ("assigned_at", json!(1_704_672_000), "must be a date and time as YYYY-MM-DD HH:MM:SS"),
    ];
    cases.extend(number("product_id", 1, u64::from(u32::MAX)));
    cases.extend(number("activation_limit", 0, u64::from(u32::MAX)));
    cases.extend(number("validity", 0, u64::from(u32::MAX)));
    cases.extend(owner("owner_name"));
    cases.extend(owner("owner_email"));
    expect_each("create-license-keys", 901, &CREATE, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_generate_are_816() {
    let cases = [number("generator_id", 1, u64::from(u32::MAX)), number("quantity", 1, 1_000)].concat();
    expect_each("generate", 816, &GENERATE, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_assign_license_key_are_804() {
    let mut cases = vec![
        ("license_key", Value::Null, "is required"),
        ("license_key", json!(""), "is required"),
        ("license_key", json!("  "), "must not be empty"),
        ("license_key", json!(["AAAA-0001"]), "must be text"),
        ("license_key", json!("A".repeat(256)), "must not be longer than 255 characters"),
        ("license_key", json!("A\nB"), "must not contain control characters"),
    ];
    cases.extend(owner("owner_name"));
    cases.extend(owner("email"));
    cases.extend(owner("owner_email"));
    expect_each("assign-license-key", 804, &ASSIGN, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_random_assign_license_keys_are_804() {
    let mut cases = vec![
        ("generate", json!("2"), "must be 0 or 1"),
        ("generate", json!("yes"), "must be 0 or 1"),
        ("generate", json!([1]), "must be text"),
    ];
    cases.extend(number("product_id", 1, u64::from(u32::MAX)));
    cases.extend(number("quantity", 1, 1_000));
    cases.extend(owner("owner_name"));
    cases.extend(owner("owner_email"));
    expect_each("random-assign-license-keys", 804, &RANDOM_ASSIGN, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_are_reported_at_once() {
    let shop = Shop::open().await;
    for (endpoint, code, parameters) in [
        (
            "create-license-keys",
            901,
            vec!["license_keys", "product_id", "activation_limit", "validity", "status"],
        ),
        ("generate", 816, vec!["generator_id", "quantity"]),
        ("assign-license-key", 804, vec!["license_key"]),
        ("random-assign-license-keys", 804, vec!["product_id", "quantity"]),
    ] {
        let response = shop.post(endpoint, &[("owner_name", &"x".repeat(300)), ("unknown", "1")]).await;
        assert_eq!(response.code(), code);
        let errors = response.response()["errors"].clone();
        for name in &parameters {
            assert_eq!(errors[name], json!([format!("The {name} field is required.")]));
        }
        let owner = usize::from(endpoint != "generate");
        assert_eq!(errors.as_object().unwrap().len(), parameters.len() + owner, "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_may_send_numbers_booleans_and_arrays() {
    let shop = Shop::open().await;
    let body = json!({
        "api_key": API_KEY, "license_keys": ["N-0001", "N-0002"], "product_id": 1, "activation_limit": 0,
        "validity": 7, "status": "available", "owner_name": null, "owner_email": "", "assigned_at": null,
        "identifier": {"any": ["thing"]}, "webhook_url": "https://shop.example/hook",
    });
    assert_eq!(shop.post_json("create-license-keys", &body).await.code(), 900);
    let body =
        json!({"api_key": API_KEY, "product_id": 1, "quantity": 3, "generate": true, "owner_name": 42});
    let response = shop.post_json("random-assign-license-keys", &body).await;
    assert_eq!(response.code(), 803);
    assert_eq!(response.response()["license_keys"][0]["owner_name"], "42");
    let body = json!({"api_key": API_KEY, "product_id": 1, "quantity": 3, "generate": false});
    assert_eq!(shop.post_json("random-assign-license-keys", &body).await.code(), 802);
}
