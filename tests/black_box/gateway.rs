//! Checks the responses that the local gateway makes without a function.

use keypool_tests::Shop;
use reqwest::Method;

async fn send(shop: &Shop, method: Method, path: &str) -> (u16, Option<String>, String) {
    let response = shop.client().request(method, format!("{}{path}", shop.base_url)).send().await.unwrap();
    let allow = response.headers().get("allow").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), allow, response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_is_404() {
    let shop = Shop::open().await;
    for path in
        ["/", "/api/v1", "/api/v1/", "/api/v1/generate/", "/api/v1/Generate", "/api/v2/generate", "//"]
    {
        let (status, allow, body) = send(&shop, Method::POST, path).await;
        assert_eq!((status, allow), (404, None), "{path}");
        assert!(body.contains("\"title\":\"Not Found\""), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_on_a_known_path_is_405() {
    let shop = Shop::open().await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        let (status, allow, _) = send(&shop, method.clone(), "/api/v1/generate").await;
        assert_eq!((status, allow.as_deref()), (405, Some("POST")), "{method}");
    }
    let (status, allow, _) = send(&shop, Method::POST, "/public-key.pem").await;
    assert_eq!((status, allow.as_deref()), (405, Some("GET")));
}

#[tokio::test(flavor = "multi_thread")]
async fn public_keys_are_served_by_product() {
    let shop = Shop::open().await;
    let key = shop.public_key_pem(None).await;
    assert!(key.starts_with("-----BEGIN PUBLIC KEY-----\n") && key.ends_with("-----END PUBLIC KEY-----\n"));
    for query in ["?product_id=77", "?product_id=x", "?product_id="] {
        assert_eq!(send(&shop, Method::GET, &format!("/public-key.pem{query}")).await.0, 404, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_signing_key_there_is_no_public_key() {
    let shop = Shop::builder().without_global_signing_key().open().await;
    assert_eq!(send(&shop, Method::GET, "/public-key.pem").await.0, 404);
    assert_eq!(send(&shop, Method::GET, "/public-key.pem?product_id=2").await.0, 200);
}
