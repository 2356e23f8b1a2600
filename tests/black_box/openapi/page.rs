//! Checks the pages with the description that the local stack serves.

use keypool_tests::{API_KEY, Shop};
use serde_json::Value;

use super::Description;

async fn get(shop: &Shop, path: &str) -> (u16, String, String) {
    let response = shop.client().get(format!("{}{path}", shop.base_url)).send().await.unwrap();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), content_type, response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served_as_yaml_and_as_json() {
    let shop = Shop::open().await;
    let (status, content_type, yaml) = get(&shop, "/openapi.yaml").await;
    assert_eq!((status, content_type.as_str()), (200, "application/yaml"));
    assert_eq!(yaml, include_str!("../../../infra/openapi.yaml"));
    let (status, content_type, json) = get(&shop, "/openapi.json").await;
    assert_eq!((status, content_type.as_str()), (200, "application/json"));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), Description::read().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_loads_nothing_from_other_origins() {
    let shop = Shop::open().await;
    // The redirect leads to a path where relative addresses work.
    let (status, content_type, page) = get(&shop, "/docs").await;
    assert_eq!((status, content_type.as_str()), (200, "text/html"));
    let quoted = |text: &str, name: &str| -> Vec<String> {
        text.split(&format!("{name}=\""))
            .skip(1)
            .filter_map(|rest| rest.split('"').next().map(str::to_owned))
            .collect()
    };
    let parts = [quoted(&page, "src"), quoted(&page, "href")].concat();
    assert!(parts.len() >= 5, "{page}");
    for part in &parts {
        assert!(!part.contains("//") && !part.starts_with('/'), "{part}");
        let part = part.trim_start_matches("./");
        assert_eq!(
            shop.client().get(format!("{}/docs/{part}", shop.base_url)).send().await.unwrap().status(),
            200
        );
    }
    let (_, _, initializer) = get(&shop, "/docs/swagger-initializer.js").await;
    assert!(initializer.contains(r#""url": "/openapi.yaml""#), "{initializer}");
    assert!(
        initializer.contains(r#""validatorUrl": "none""#) && !initializer.contains("://"),
        "{initializer}"
    );
    assert_eq!(get(&shop, "/docs/nothing.js").await.0, 404);
    let posted = shop.client().post(format!("{}/openapi.yaml", shop.base_url)).send().await.unwrap();
    assert_eq!((posted.status().as_u16(), &posted.headers()["allow"]), (405, &"GET".parse().unwrap()));
}

/// Sends the request that a browser sends for "Execute": to the origin of the page, with the description's
/// sample.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_from_the_page_succeeds() {
    let shop = Shop::open().await;
    let description = Description::read();
    let server = description.0["servers"][0]["url"].as_str().unwrap();
    assert_eq!(server, "/", "the page's own origin");
    let sample = description.0["components"]["examples"]["Generate"]["value"].as_object().unwrap();
    let form: Vec<(&str, &str)> =
        sample.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    let request = shop
        .request("generate")
        .header("Origin", &shop.base_url)
        .header("Referer", format!("{}/docs/", shop.base_url))
        .bearer_auth(API_KEY);
    assert_eq!(shop.send(request.form(&form)).await.code(), 815);
}
