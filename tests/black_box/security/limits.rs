//! Sends expensive input and forged addresses.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use keypool_domain::{Activity, ApiKeyRecord};
use keypool_function::BODY_BYTES_MAX;
use keypool_tests::{API_KEY, Fault, Shop, ShopResponse};

use super::record;

/// The largest allowed refusal. A larger one would grow with the number of faults.
const REFUSAL_BYTES_MAX: usize = 16_384;

async fn create(shop: &Shop, content_type: &str, body: String) -> ShopResponse {
    assert!(body.len() <= BODY_BYTES_MAX);
    let request =
        shop.request("create-license-keys").bearer_auth(API_KEY).header("content-type", content_type);
    let response = shop.send(request.body(body)).await;
    assert!(response.text.len() < REFUSAL_BYTES_MAX, "{} bytes", response.text.len());
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_any_depth_is_answered() {
    const DEPTH: usize = 500_000;
    let shop = Shop::open().await;
    let nested = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(150_000), "}".repeat(150_000));
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    for (content_type, body, expected) in [
        (json, "[".repeat(2 * DEPTH), (400, 0)),
        (json, nested.clone(), (400, 0)),
        (json, objects.clone(), (200, 901)),
        (json, format!(r#"{{"license_keys":{nested}}}"#), (200, 901)),
        (json, format!(r#"{{"license_keys":{objects}}}"#), (200, 901)),
        (form, format!("license_keys={nested}"), (200, 901)),
        (form, format!("license_keys={}", "[".repeat(2 * DEPTH)), (200, 901)),
    ] {
        let response = create(&shop, content_type, body).await;
        assert_eq!((response.status, response.code()), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_parts_and_parameters_are_answered() {
    let shop = Shop::open().await;
    let part = "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
    let parts = format!("{}--X--\r\n", part.repeat(BODY_BYTES_MAX / part.len() - 1));
    let headers = "X-A: b\r\n".repeat(100_000);
    let (mut form, mut json) = (String::new(), "{".to_owned());
    for n in 0..80_000 {
        write!(form, "p{n}=&").unwrap();
        write!(json, r#""p{n}":1,"#).unwrap();
    }
    json.push_str(r#""last":1}"#);
    let multipart = "multipart/form-data; boundary=X";
    for (content_type, body, expected) in [
        (multipart, parts, (200, 901)),
        (multipart, format!("--X\r\n{headers}\r\n\r\n--X--\r\n"), (400, 0)),
        ("application/x-www-form-urlencoded", form, (200, 901)),
        ("application/x-www-form-urlencoded", "a=%".repeat(300_000), (200, 901)),
        ("application/json", json, (200, 901)),
    ] {
        let response = create(&shop, content_type, body).await;
        assert_eq!((response.status, response.code()), expected, "{content_type}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_any_length_is_answered_briefly() {
    let shop = Shop::open().await;
    let list = |element: &str, count: usize| format!("license_keys=[{}]", vec![element; count].join(","));
    for body in [list("\"\"", 300_000), list("\"\"", 1_000), list("{}", 1_000), list("7", 500_000)] {
        assert_eq!(create(&shop, "application/x-www-form-urlencoded", body).await.code(), 901);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_sets_the_address_of_a_request() {
    let shop = Shop::open().await;
    let elsewhere = vec!["192.0.2.0/24".parse().unwrap()];
    shop.add_api_key(ApiKeyRecord { networks: elsewhere, ..record("elsewhere-key") }).await;
    for (name, value) in [
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-For", "192.0.2.7, 192.0.2.8"),
        ("Forwarded", "for=192.0.2.7"),
        ("X-Real-IP", "192.0.2.7"),
        ("True-Client-IP", "192.0.2.7"),
        ("CF-Connecting-IP", "192.0.2.7"),
    ] {
        let request = shop.request("generate").header(name, value).bearer_auth("elsewhere-key");
        assert_eq!(shop.send(request).await.code(), 103, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_license_key_never_becomes_another_record() {
    let shop = Shop::open().await;
    let hash = API_KEY.parse::<keypool_domain::ApiKey>().unwrap().hash();
    let names = [
        "PRODUCT#1",
        &format!("APIKEY#{hash}"),
        "COUNTER#license_key",
        "KEY#KEY",
        "#pk",
        ":version",
        "' OR 1=1",
    ];
    let list = serde_json::to_string(&names).unwrap();
    let form = [
        ("license_keys", list.as_str()),
        ("product_id", "1"),
        ("activation_limit", "0"),
        ("validity", "0"),
        ("status", "available"),
    ];
    assert_eq!(shop.post("create-license-keys", &form).await.response()["created"], names.len());
    // A minute later the caches are stale.
    shop.clock.advance_seconds(60);
    for name in names {
        assert_eq!(shop.post("assign-license-key", &[("license_key", name)]).await.code(), 800, "{name}");
    }
    let order = [("product_id", "1"), ("quantity", "1"), ("generate", "1")];
    assert_eq!(shop.post("random-assign-license-keys", &order).await.code(), 803);
}

/// A flood of refusals must not use up the account's quota of KMS signatures.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_costs_one_signature_a_second() {
    let shop = Shop::open().await;
    shop.add_api_key(ApiKeyRecord { activity: Activity::Inactive, ..record("inactive-key") }).await;
    shop.add_api_key(ApiKeyRecord { capabilities: BTreeSet::default(), ..record("useless-key") }).await;
    let elsewhere = vec!["192.0.2.0/24".parse().unwrap()];
    shop.add_api_key(ApiKeyRecord { networks: elsewhere, ..record("elsewhere-key") }).await;
    let random = |api_key, product| [("api_key", api_key), ("product_id", product), ("quantity", "1")];
    let generate = [("api_key", API_KEY), ("generator_id", "99"), ("quantity", "1")];
    let assign = [("api_key", API_KEY), ("license_key", "no-such-key")];
    let requests = [
        (100, "random-assign-license-keys", random("unknown-key", "1").to_vec()),
        (101, "random-assign-license-keys", random("inactive-key", "1").to_vec()),
        (102, "random-assign-license-keys", random("useless-key", "1").to_vec()),
        (103, "random-assign-license-keys", random("elsewhere-key", "1").to_vec()),
        (801, "assign-license-key", assign.to_vec()),
        (805, "random-assign-license-keys", random(API_KEY, "99").to_vec()),
        (806, "generate", generate.to_vec()),
    ];
    let _ = shop.kms.take_calls();
    for second in 0..2 {
        for (code, endpoint, form) in &requests {
            let flood = (0..20).map(|_| shop.post_form(endpoint, form));
            let responses = futures_util::future::join_all(flood).await;
            let first = &responses[0];
            assert_eq!(first.code(), *code, "{}", first.text);
            assert!(responses.iter().all(|response| response.text == first.text), "{code} in {second}");
            assert!(shop.verifies(first, 1).await);
            let mut signatures = shop.kms.take_operations();
            // The gateway reads the public key for the verification.
            signatures.retain(|operation| operation != "GetPublicKey");
            assert_eq!(signatures, ["Sign"], "{code} in second {second}");
        }
        shop.clock.advance_seconds(1);
    }
}

/// KMS signs a refusal for the next caller after it failed once.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_signed_again_after_a_kms_failure() {
    let shop = Shop::open().await;
    shop.kms.disturb("Sign", vec![Fault::error("KMSInvalidStateException")]);
    let form = [("api_key", "unknown-key")];
    assert_eq!(shop.post_form("generate", &form).await.status, 503);
    assert_eq!(shop.post_form("generate", &form).await.code(), 100);
}
