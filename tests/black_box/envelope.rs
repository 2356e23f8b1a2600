//! Checks signatures with openssl.

use keypool_tests::{Shop, ShopResponse, openssl_verifies};

async fn verify(shop: &Shop, response: &ShopResponse, product_id: Option<u32>) {
    let key = shop.public_key_pem(product_id).await;
    let text = response.envelope_text("response_base64");
    let signature = response.envelope_text("signature");
    assert!(openssl_verifies(&key, &text, &signature), "{}", response.text);
    assert!(!openssl_verifies(&key, &format!("{text}="), &signature), "openssl rejects a changed response");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_verifies_every_size_of_response() {
    let shop = Shop::open().await;
    shop.stock(1, 107).await;
    for quantity in [1, 7, 99] {
        let quantity = quantity.to_string();
        let response =
            shop.post("random-assign-license-keys", &[("product_id", "1"), ("quantity", &quantity)]).await;
        assert_eq!(response.code(), 803);
        verify(&shop, &response, None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_keys_are_more_than_kms_signs_unhashed() {
    let shop = Shop::open().await;
    shop.stock(1, 7).await;
    let owner = [("owner_name", "Test User"), ("owner_email", "email@domain.ltd")];
    let response = shop
        .post("random-assign-license-keys", &[&[("product_id", "1"), ("quantity", "7")], &owner[..]].concat())
        .await;
    assert!(response.envelope_text("response_base64").len() > 3_000);
    let response = shop.post("generate", &[("generator_id", "1"), ("quantity", "1000")]).await;
    assert!(response.envelope_text("response_base64").len() > 4_096);
    verify(&shop, &response, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_with_its_own_key_signs_with_it() {
    let shop = Shop::open().await;
    let response = shop.post("generate", &[("generator_id", "2"), ("quantity", "2")]).await;
    assert_eq!(response.envelope_text("private_key_used"), "product");
    verify(&shop, &response, Some(2)).await;
    assert_ne!(shop.public_key_pem(None).await, shop.public_key_pem(Some(2)).await);
    assert_eq!(shop.public_key_pem(None).await, shop.public_key_pem(Some(1)).await);

    let key = response.license_keys()[0].clone();
    let response = shop.post("assign-license-key", &[("license_key", &key)]).await;
    assert_eq!((response.code(), response.envelope_text("private_key_used").as_str()), (800, "product"));
    verify(&shop, &response, Some(2)).await;
    let response = shop.post("random-assign-license-keys", &[("product_id", "2"), ("quantity", "9")]).await;
    assert_eq!((response.code(), response.envelope_text("private_key_used").as_str()), (802, "product"));
    verify(&shop, &response, Some(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sold_and_unknown_keys_get_the_same_code_and_signing_key() {
    let shop = Shop::open().await;
    let sold =
        shop.post("generate", &[("generator_id", "2"), ("quantity", "1")]).await.license_keys().remove(0);
    assert_eq!(shop.post("assign-license-key", &[("license_key", &sold)]).await.code(), 800);
    for key in [sold.as_str(), "UNKNOWN-0001"] {
        let response = shop.post("assign-license-key", &[("license_key", key)]).await;
        assert_eq!((response.code(), response.envelope_text("private_key_used").as_str()), (801, "global"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_key_signs_without_a_global_key() {
    let shop = Shop::builder().without_global_signing_key().open().await;
    let response = shop.post("generate", &[("generator_id", "2"), ("quantity", "1")]).await;
    verify(&shop, &response, Some(2)).await;
    let response = shop.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await;
    assert_eq!(response.code(), 815);
    assert_eq!(response.envelope_text("signature"), "Private key not set");
    assert_eq!(response.envelope_text("private_key_used"), "global");
}
