//! Damages records by hand. Each damaged record affects only itself.

use keypool_domain::Status;
use keypool_tests::Shop;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_key_in_stock_is_skipped_by_draws() {
    let shop = Shop::open().await;
    let keys = shop.stock(1, 5).await;
    let spoil = json!({
        "TableName": "keypool",
        "Key": {"pk": {"S": format!("KEY#{}", keys[0])}, "sk": {"S": "KEY"}},
        "UpdateExpression": "SET activation_limit = :text",
        "ExpressionAttributeValues": {":text": {"S": "as often as you like"}},
    });
    shop.dynamodb_call("UpdateItem", &spoil).await;
    let order = [("product_id", "1"), ("quantity", "4")];
    let sold = shop.post("random-assign-license-keys", &order).await;
    assert_eq!(sold.code(), 803, "{}", sold.text);
    assert!(!sold.license_keys().contains(&keys[0]));
    assert_eq!(shop.in_stock(1).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_entry_does_not_block_other_orders() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    let spoilt = json!({
        "TableName": "keypool",
        "Item": {"pk": {"S": "REQUESTS"}, "sk": {"S": "0#no#entry"}, "lease_until": {"S": "soon"}},
    });
    shop.dynamodb_call("PutItem", &spoilt).await;
    let keys = shop.dead_order(1, 3).await;
    let now = keypool_domain::Clock::now(&*shop.clock);
    let swept = shop.store.sweep(now).await.unwrap();
    assert_eq!((swept.undone, swept.failed), (1, 1), "the damaged entry is reported");
    for key in keys {
        assert_eq!(shop.status(&key).await, Status::Available);
    }
}
