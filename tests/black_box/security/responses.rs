//! Checks the scope of a signature. A shop must check everything else itself.

use keypool_domain::Clock as _;
use keypool_signing::{InvalidEnvelope, PublicKey, SignedEnvelope};
use keypool_tests::Shop;

fn verify(text: &str, pem: &str) -> Result<String, InvalidEnvelope> {
    let key = PublicKey::from_pem(pem.as_bytes()).unwrap();
    SignedEnvelope::from_json(text).unwrap().verify(&key)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signature_covers_only_the_response() {
    let shop = Shop::open().await;
    let (global, product) = (shop.public_key_pem(None).await, shop.public_key_pem(Some(2)).await);
    let made = shop.post("generate", &[("generator_id", "2"), ("quantity", "1")]).await;
    assert_eq!(verify(&made.text, &product), Ok(made.response_text()));
    assert_eq!(verify(&made.text, &global), Err(InvalidEnvelope::WrongSignature));

    // The shop must choose the public key itself, because this member is not signed.
    let relabelled = made.text.replace(r#""private_key_used":"product""#, r#""private_key_used":"global""#);
    assert_ne!(relabelled, made.text);
    assert!(verify(&relabelled, &product).is_ok());
    let key = &made.license_keys()[0];
    let exchanged = made.text.replacen(key, "ANOTHER-KEY", 1);
    assert_eq!(verify(&exchanged, &product), Err(InvalidEnvelope::OtherResponse));
    let renamed = made.text.replace("\"signature\":\"", "\"signature\":\"Private key not set\",\"x\":\"");
    assert_eq!(verify(&renamed, &product), Err(InvalidEnvelope::Unsigned));
}

/// An old response is as genuine as a new one. Only signed members distinguish them.
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_response_has_its_time_and_its_row_ids() {
    let shop = Shop::open().await;
    shop.stock(1, 2).await;
    let order = [("product_id", "1"), ("quantity", "1"), ("owner_name", "An owner")];
    let mut told = Vec::new();
    for _ in 0..2 {
        let response = shop.post("random-assign-license-keys", &order).await;
        assert!(shop.verifies(&response, 1).await);
        let payload = response.response();
        let now = shop.clock.now().unix_microseconds() / 1_000_000;
        assert_eq!(payload["timestamp"], now);
        let row = &payload["license_keys"][0];
        assert_eq!((&row["product_id"], &row["owner_name"]), (&1.into(), &"An owner".into()));
        told.push((now, row["id"].clone(), row["license_key"].clone()));
        shop.clock.advance_seconds(1);
    }
    assert!(told[0].0 < told[1].0 && told[0].1 != told[1].1 && told[0].2 != told[1].2, "{told:?}");
}

/// Two buyers get identical responses within a second: `License key assigned` contains no key.
#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_by_name_does_not_repeat_the_name() {
    let shop = Shop::open().await;
    let stock = shop.stock(1, 2).await;
    let first = shop.post("assign-license-key", &[("license_key", &stock[0])]).await;
    let second = shop.post("assign-license-key", &[("license_key", &stock[1])]).await;
    assert_eq!((first.code(), &first.text), (800, &second.text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_assignment_or_creation_changes_nothing() {
    let shop = Shop::open().await;
    let stock = shop.stock(1, 1).await;
    let request = [("license_key", stock[0].as_str()), ("owner_name", "An owner")];
    assert_eq!(shop.post("assign-license-key", &request).await.code(), 800);
    let list = serde_json::to_string(&stock).unwrap();
    let create = [
        ("license_keys", list.as_str()),
        ("product_id", "1"),
        ("activation_limit", "9"),
        ("validity", "9"),
        ("status", "available"),
    ];
    let before = shop.stored(&stock[0]).await;
    assert_eq!(shop.post("assign-license-key", &request).await.code(), 801);
    assert_eq!(shop.post("create-license-keys", &create).await.code(), 902);
    assert_eq!(shop.stored(&stock[0]).await, before);
}
