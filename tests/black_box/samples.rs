//! Compares keypool with the contract's samples: real requests and responses of the API that shop plugins
//! use.

use keypool_domain::Endpoint;
use keypool_signing::{InvalidEnvelope, PublicKey, SignedEnvelope};
use keypool_tests::{Shape, Shop, ShopResponse, sample, sample_envelope};
use serde_json::Value;

const ASSIGN: Endpoint = Endpoint::AssignLicenseKey;
const CREATE: Endpoint = Endpoint::CreateLicenseKeys;
const GENERATE: Endpoint = Endpoint::Generate;
const RANDOM_ASSIGN: Endpoint = Endpoint::RandomAssignLicenseKeys;
const PUBLIC_KEY: &str = include_str!("../vectors/sample-public-key.pem");

/// A sample file.
struct Sample {
    json: Value,
}

impl Sample {
    fn read(endpoint: Endpoint) -> Self {
        Self { json: sample(endpoint) }
    }

    fn endpoint(&self) -> &str {
        self.json["endpoint"].as_str().unwrap().rsplit('/').next().unwrap()
    }

    fn request(&self) -> Vec<(&str, &str)> {
        let members = self.json["example_request"].as_object().unwrap();
        members.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect()
    }
}

/// The three formats of a body.
#[derive(Debug, Clone, Copy)]
enum Format {
    Form,
    Multipart,
    Json,
}

const FORMATS: [Format; 3] = [Format::Form, Format::Multipart, Format::Json];

async fn send(shop: &Shop, format: Format, endpoint: &str, request: &[(&str, &str)]) -> ShopResponse {
    match format {
        Format::Form => shop.post_form(endpoint, request).await,
        Format::Multipart => shop.post_multipart(endpoint, request).await,
        Format::Json => {
            let members = request.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
            shop.post_json(endpoint, &members.collect::<serde_json::Map<_, _>>().into()).await
        }
    }
}

/// Sends the sample's request in each format, each to a new shop from `prepare`. Expects the sample's code
/// and message, and members of the same names, order and types.
async fn expect(
    endpoint: Endpoint,
    code: u64,
    change: Option<(&str, &str)>,
    prepare: impl AsyncFn() -> Shop,
) {
    let sample = Sample::read(endpoint);
    let mut request = sample.request();
    if let Some((name, value)) = change {
        request.retain(|(given, _)| *given != name);
        request.push((name, value));
    }
    let expected = sample_envelope(endpoint, code);
    let expected_json: Value = serde_json::from_str(&expected).unwrap();
    for format in FORMATS {
        let shop = prepare().await;
        let response = send(&shop, format, sample.endpoint(), &request).await;
        assert_eq!(response.status, 200, "{format:?}: {}", response.text);
        for member in ["code", "message"] {
            assert_eq!(response.response()[member], expected_json["response"][member], "{format:?}");
        }
        assert_eq!(Shape::of(&response.text), Shape::of(&expected), "{format:?}");
        assert!(shop.verifies(&response, 1).await, "{format:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assign_license_key_801_as_in_the_sample() {
    expect(ASSIGN, 801, None, Shop::open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assign_license_key_800_as_in_the_sample() {
    expect(ASSIGN, 800, None, async || {
        let shop = Shop::open().await;
        create(&shop, &["bb7ffb6f-2d8e-4977-b2fa-8d43ea58aa0d"]).await;
        shop
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn create_license_keys_900_as_in_the_sample() {
    let prepare = async || {
        let shop = Shop::open().await;
        create(&shop, &["9cc2cc83-4c74-49f9-98f5-f0e1c1eb1541"]).await;
        shop
    };
    expect(CREATE, 900, None, prepare).await;
    let shop = prepare().await;
    let response = shop.post_form("create-license-keys", &Sample::read(CREATE).request()).await.response();
    assert_eq!((&response["created"], &response["duplicate"]), (&3.into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn generate_815_as_in_the_sample() {
    expect(GENERATE, 815, None, Shop::open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_assign_license_keys_803_as_in_the_sample() {
    let prepare = async || {
        let shop = Shop::open().await;
        shop.stock(1, 9).await;
        shop
    };
    expect(RANDOM_ASSIGN, 803, None, prepare).await;
    // Every row matches the sample, not only the first.
    let response =
        prepare().await.post_form("random-assign-license-keys", &Sample::read(RANDOM_ASSIGN).request()).await;
    let rows = response.response()["license_keys"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 7);
    for row in rows {
        assert_eq!(row["status"], "assigned");
        assert_eq!(row["owner_name"], "Test User");
        assert_eq!(row["owner_email"], "email@domain.ltd");
        assert_eq!(row["meta_data"], Value::Array(vec![]));
        assert_eq!(row.as_object().unwrap().len(), 13);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_assign_803_generates_all_keys_as_in_the_sample() {
    // The shop of the samples got seven generated keys while five stayed in stock.
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    let mut request = Sample::read(RANDOM_ASSIGN).json["example_request"].clone();
    request["generate"] = "1".into();
    let response = shop.post_json("random-assign-license-keys", &request).await;
    assert_eq!(response.code(), 803);
    let expected = sample_envelope(RANDOM_ASSIGN, 803);
    assert_eq!(Shape::of(&response.text), Shape::of(&expected));
    assert_eq!(response.license_keys().len(), 7);
    assert!(response.license_keys().iter().all(|key| !key.starts_with("KEY-")));
    assert_eq!(shop.in_stock(1).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_assign_license_keys_805_as_in_the_sample() {
    expect(RANDOM_ASSIGN, 805, Some(("product_id", "77")), Shop::open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_assign_license_keys_806_as_in_the_sample() {
    let sample = Sample::read(RANDOM_ASSIGN);
    let mut request = sample.request();
    request.retain(|(name, _)| !["product_id", "generate"].contains(name));
    request.extend([("product_id", "3"), ("generate", "1")]);
    let expected = sample_envelope(RANDOM_ASSIGN, 806);
    for format in FORMATS {
        let shop = Shop::open().await;
        let response = send(&shop, format, sample.endpoint(), &request).await;
        assert_eq!((response.status, response.code()), (200, 806));
        assert_eq!(response.response()["message"], "Generator not found");
        assert_eq!(Shape::of(&response.text), Shape::of(&expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_assign_license_keys_802_as_in_the_sample() {
    let prepare = async || {
        let shop = Shop::open().await;
        shop.stock(1, 5).await;
        shop
    };
    expect(RANDOM_ASSIGN, 802, None, prepare).await;
    let response =
        prepare().await.post_form("random-assign-license-keys", &Sample::read(RANDOM_ASSIGN).request()).await;
    assert_eq!(response.response()["available_quantity"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn unsigned_responses_match_the_samples_to_the_word() {
    let shop = Shop::builder().without_global_signing_key().open().await;
    let mut request = Sample::read(RANDOM_ASSIGN).json["example_request"].clone();
    request["product_id"] = "77".into();
    let response = shop.post_json("random-assign-license-keys", &request).await;
    let expected: Value = serde_json::from_str(&sample_envelope(RANDOM_ASSIGN, 805)).unwrap();
    for member in ["private_key_used", "signature"] {
        assert_eq!(response.json()[member], expected[member]);
    }
    assert!(shop.kms.take_calls().is_empty(), "no call to KMS is needed");
}

#[test]
fn signed_samples_verify_until_one_byte_changes() {
    let key = PublicKey::from_pem(PUBLIC_KEY.as_bytes()).unwrap();
    for (endpoint, code) in [
        (ASSIGN, 801),
        (ASSIGN, 800),
        (CREATE, 900),
        (GENERATE, 815),
        (Endpoint::UpdateLicenseKey, 950),
        (Endpoint::GetAvailableLicenseKeysCount, 740),
        (Endpoint::GetAvailableLicenseKeysCount, 741),
        (Endpoint::GetLicenseKeys, 730),
    ] {
        let envelope = sample_envelope(endpoint, code);
        let verify = |json: &str| SignedEnvelope::from_json(json).unwrap().verify(&key);
        let signed = verify(&envelope).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&signed).unwrap()["code"], code);

        let parsed: Value = serde_json::from_str(&envelope).unwrap();
        for member in ["response_base64", "signature"] {
            let whole = parsed[member].as_str().unwrap();
            for at in [0, whole.len() / 2, whole.len() - 5] {
                let mut bytes = whole.as_bytes().to_vec();
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                let mut changed = parsed.clone();
                changed[member] = String::from_utf8(bytes).unwrap().into();
                assert_eq!(
                    verify(&changed.to_string()),
                    Err(InvalidEnvelope::WrongSignature),
                    "{code} {member} {at}"
                );
            }
        }
        let mut changed = parsed.clone();
        changed["response"]["code"] = 999.into();
        assert_eq!(verify(&changed.to_string()), Err(InvalidEnvelope::OtherResponse));
    }
    let unsigned = sample_envelope(RANDOM_ASSIGN, 805);
    assert_eq!(SignedEnvelope::from_json(&unsigned).unwrap().verify(&key), Err(InvalidEnvelope::Unsigned));
}

async fn create(shop: &Shop, keys: &[&str]) {
    let response = shop
        .post(
            "create-license-keys",
            &[
                ("license_keys", &serde_json::to_string(keys).unwrap()),
                ("product_id", "1"),
                ("activation_limit", "1"),
                ("validity", "365"),
                ("status", "available"),
            ],
        )
        .await;
    assert_eq!(response.code(), 900);
}
