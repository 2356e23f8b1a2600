//! Logs tell of every request, and of nothing that is secret. Each shop checks the log of the whole run so far
//! when it closes; this shows that there is something to check.

use keypool_tests::{Shop, logged_requests};

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_its_log_line() {
    let shop = Shop::open().await;
    let before = logged_requests();
    shop.stock(1, 3).await;
    shop.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await;
    shop.post("assign-license-key", &[("license_key", "KEY-1-000000"), ("owner_name", "A. Owner")]).await;
    shop.post("random-assign-license-keys", &[("product_id", "1"), ("quantity", "9")]).await;
    shop.post_form("generate", &[("api_key", "an-unknown-key")]).await;
    shop.send(shop.request("generate").header("content-type", "application/json").body("{")).await;
    assert!(logged_requests() >= before + 6);
}
