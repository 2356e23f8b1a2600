//! Checks that logs report every request and contain no secret. When a shop closes, it checks the log
//! since it opened. This file shows that the log is not empty.

use keypool_tests::{Fault, Shop, ShopResponse, lines_with};

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

/// Returns the row ids in the log line of a sale.
fn logged_row_ids(response: &ShopResponse) -> Option<String> {
    let lines = lines_with(response.request_id.as_ref().unwrap());
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    line["row_ids"].as_str().map(str::to_owned)
}

fn row_ids(response: &ShopResponse) -> String {
    let rows = response.response()["license_keys"].as_array().unwrap().clone();
    rows.iter().map(|row| row["id"].to_string()).collect::<Vec<_>>().join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_a_sale_names_its_rows() {
    let shop = Shop::builder().with_sale_keys_max(4).open().await;
    shop.stock(1, 30).await;
    let order = |quantity, generate| {
        [("product_id", "1"), ("quantity", quantity), ("owner_name", "A. Owner"), ("generate", generate)]
    };
    // One key, several keys, an order with its own record, and generated keys.
    for (quantity, generate) in [("1", "0"), ("3", "0"), ("9", "0"), ("90", "1")] {
        let sold = shop.post("random-assign-license-keys", &order(quantity, generate)).await;
        assert_eq!(sold.code(), 803, "{}", sold.text);
        assert_eq!(logged_row_ids(&sold), Some(row_ids(&sold)), "{quantity}");
    }
    let first = shop.post_once("random-assign-license-keys", "once", &order("2", "0")).await;
    let again = shop.post_once("random-assign-license-keys", "once", &order("2", "0")).await;
    assert_eq!(again.text, first.text);
    assert_eq!(logged_row_ids(&again), Some(row_ids(&first)), "the first response may not be in the log");

    let named = shop.stock_named(1, "NAMED-", 1).await.remove(0);
    let assigned = shop.post("assign-license-key", &[("license_key", &named)]).await;
    assert_eq!(assigned.code(), 800);
    assert_eq!(logged_row_ids(&assigned), Some(shop.stored(&named).await.id.to_string()));

    let refused = shop.post("assign-license-key", &[("license_key", &named)]).await;
    let too_many = shop.post("random-assign-license-keys", &order("99", "0")).await;
    assert_eq!((refused.code(), too_many.code()), (801, 802));
    assert_eq!((logged_row_ids(&refused), logged_row_ids(&too_many)), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_logs_its_rows_and_a_missed_sale_does_not() {
    let shop = Shop::builder().with_checkout_timeouts().open().await;
    shop.stock(1, 1).await;
    let order = [("product_id", "1"), ("quantity", "1")];
    // The write succeeds, but no response arrives, nor any response to the queries about its outcome.
    shop.dynamodb.disturb("UpdateItem", vec![Fault::LoseResponse; 1_000]);
    let unknown = shop.post("random-assign-license-keys", &order).await;
    assert_eq!(unknown.problem(), (503, "/problems/outcome-unknown".to_owned()));
    assert_eq!(unknown.retry_after, None, "the request has no Idempotency-Key");
    shop.dynamodb.calm();
    assert_eq!(logged_row_ids(&unknown), Some(shop.stored("KEY-1-000000").await.id.to_string()));
    let none = shop.post("random-assign-license-keys", &order).await;
    assert_eq!((none.code(), logged_row_ids(&none)), (802, None));

    // An order without a write sold nothing.
    shop.stock_named(1, "MORE-", 1).await;
    shop.kms.disturb("Sign", vec![Fault::error("KMSInvalidStateException")]);
    let unsigned = shop.post("random-assign-license-keys", &order).await;
    assert_eq!((unsigned.status, logged_row_ids(&unsigned)), (503, None));
}
