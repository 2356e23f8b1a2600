//! Makes DynamoDB or KMS unavailable. Shops get 503 in time, and no key leaves the stock.

use std::time::{Duration, Instant};

use keypool_domain::Status;
use keypool_tests::{Fault, Proxy, Shop};

/// The longest time that a shop waits (WordPress's default).
const SHOP_WAITS: Duration = Duration::from_secs(5);

const REQUESTS: [(&str, &[(&str, &str)]); 4] = [
    (
        "create-license-keys",
        &[
            ("license_keys", r#"["NEW-0001","NEW-0002"]"#),
            ("product_id", "1"),
            ("activation_limit", "0"),
            ("validity", "0"),
            ("status", "available"),
        ],
    ),
    ("generate", &[("generator_id", "1"), ("quantity", "3")]),
    ("assign-license-key", &[("license_key", "KEY-1-000000")]),
    ("random-assign-license-keys", &[("product_id", "1"), ("quantity", "2")]),
];

async fn expect_503(shop: &Shop) {
    for (endpoint, parameters) in REQUESTS {
        let began = Instant::now();
        let response = shop.post(endpoint, parameters).await;
        assert_eq!(response.status, 503, "{endpoint}: {}", response.text);
        assert_eq!(response.retry_after.as_deref(), Some("1"));
        assert!(began.elapsed() < SHOP_WAITS, "{endpoint} took {:?}", began.elapsed());
        for leaked in ["arn:", "keypool", "127.0.0.1", "Exception", "dynamo", "kms"] {
            assert!(!response.text.to_lowercase().contains(&leaked.to_lowercase()), "{}", response.text);
        }
    }
}

/// Expects the keys in stock unchanged, and no other key.
async fn expect_untouched(shop: &Shop, stock: &[String]) {
    for key in stock {
        assert_eq!(shop.status(key).await, Status::Available);
    }
    assert_eq!(shop.draw(99).await.candidates.len(), stock.len());
}

async fn open() -> (Shop, Vec<String>) {
    let shop = Shop::builder().with_checkout_timeouts().open().await;
    let stock = shop.stock(1, 5).await;
    (shop, stock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_dynamodb_is_503() {
    let (shop, stock) = open().await;
    shop.dynamodb.hang_up();
    expect_503(&shop).await;
    expect_untouched(&shop, &stock).await;
}

/// The SDK limits the retries of a client until calls succeed again. Each environment has its own limit.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_one_environment_leaves_others_their_retries() {
    let ((unlucky, _), (other, _)) = (open().await, open().await);
    let (count, product) = ("get-available-license-keys-count", [("product_id", "1")]);
    unlucky.dynamodb.disturb("Query", vec![Fault::LoseRequest; 200]);
    while !unlucky.dynamodb.is_undisturbed() {
        assert_eq!(unlucky.post(count, &product).await.status, 503);
    }
    for (shop, faults, status) in [(unlucky, 1, 503), (other, 2, 200)] {
        shop.dynamodb.disturb("Query", vec![Fault::LoseRequest; faults]);
        let response = shop.post(count, &product).await;
        assert_eq!((response.status, shop.dynamodb.is_undisturbed()), (status, true), "{}", response.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_dynamodb_is_503() {
    let (shop, stock) = open().await;
    shop.dynamodb.fall_silent();
    expect_503(&shop).await;
    expect_untouched(&shop, &stock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_kms_is_503_and_nothing_is_written() {
    let (shop, stock) = open().await;
    shop.kms.hang_up();
    expect_503(&shop).await;
    expect_untouched(&shop, &stock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_kms_is_503_and_nothing_is_written() {
    let (shop, stock) = open().await;
    shop.kms.fall_silent();
    expect_503(&shop).await;
    expect_untouched(&shop, &stock).await;
    // KMS signs refusals, too.
    let response = shop.post_form("generate", &[("api_key", "unknown-key")]).await;
    assert_eq!(response.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_signing_key_is_503() {
    let shop = Shop::open().await;
    let product = keypool_domain::Product {
        id: "9".parse().unwrap(),
        name: "A test's".parse().unwrap(),
        activity: keypool_domain::Activity::Active,
        generator_id: None,
        signing_key_id: Some("alias/not-there".parse().unwrap()),
    };
    shop.add_product(product).await;
    let create = [
        ("license_keys", r#"["NEW-0001"]"#),
        ("product_id", "9"),
        ("activation_limit", "0"),
        ("validity", "0"),
        ("status", "available"),
    ];
    let response = shop.post("create-license-keys", &create).await;
    assert_eq!(response.status, 503);
    assert!(shop.store.license_key(&"NEW-0001".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_counts_the_calls_it_forwards() {
    // The tests above prove something only if the calls go through the proxies.
    let (shop, _) = open().await;
    let counted = |proxy: &Proxy| proxy.take_calls().len();
    assert!(counted(&shop.dynamodb) >= 3 && counted(&shop.kms) == 1);
}
