//! Logs tell of every request, and of nothing that is secret. Each shop checks the log of the whole run so far
//! when it closes; this shows that there is something to check.

use keypool_tests::{Shop, lines_with};

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_one_log_line() {
    let shop = Shop::open().await;
    shop.stock(1, 3).await;
    let named = [("license_key", "KEY-1-000000"), ("owner_name", "A. Owner")];
    for response in [
        shop.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await,
        shop.post("assign-license-key", &named).await,
        shop.post("random-assign-license-keys", &[("product_id", "1"), ("quantity", "9")]).await,
        shop.post_form("generate", &[("api_key", "an-unknown-key")]).await,
        shop.send(shop.request("generate").header("content-type", "application/json").body("{")).await,
    ] {
        let lines = lines_with(response.request_id.as_ref().unwrap());
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["status"], response.status);
        assert_eq!(line["code"].as_u64().unwrap_or(0), response.code());
        assert!(line["duration_ms"].is_u64());
    }
}
