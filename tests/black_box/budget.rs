//! What a warm request costs: calls and units, whatever the size of the stock.

use keypool_tests::{AwsCall, Fault, Shop, ShopResponse};

/// A stock whose end a draw that starts in its first quarter never meets.
const SMALL: usize = 100;
const LARGE: usize = 100_000;

/// A shop with that many keys of product 1, that has read what it remembers.
async fn warm(stock: usize) -> Shop {
    let shop = Shop::open().await;
    shop.stock_in_bulk("1".parse().unwrap(), stock).await;
    shop.draws.start_in_first_quarter();
    let named = shop.stock(2, 12).await;
    shop.stock(1, 1).await;
    assert_eq!(
        shop.post("random-assign-license-keys", &[("product_id", "1"), ("quantity", "1")]).await.code(),
        803
    );
    assert_eq!(shop.post("assign-license-key", &[("license_key", &named[11])]).await.code(), 800);
    assert_eq!(shop.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await.code(), 815);
    let _ = (shop.dynamodb.take_calls(), shop.kms.take_calls());
    shop
}

const READS: [&str; 3] = ["BatchGetItem", "GetItem", "Query"];

struct Cost {
    operations: Vec<String>,
    signatures: usize,
    calls: Vec<AwsCall>,
}

impl Cost {
    fn of(shop: &Shop, response: &ShopResponse, code: u64) -> Self {
        assert_eq!(response.code(), code, "{}", response.text);
        let calls = shop.dynamodb.take_calls();
        let operations = calls.iter().map(|call| call.operation.clone()).collect();
        Self { operations, signatures: shop.kms.take_calls().len(), calls }
    }

    /// Units of writes to the table and to the index.
    fn written(&self) -> (f64, f64) {
        let writes = self.calls.iter().filter(|call| !READS.contains(&call.operation.as_str()));
        writes.fold((0.0, 0.0), |sum, call| (sum.0 + call.table_units, sum.1 + call.index_units))
    }

    fn read(&self) -> f64 {
        let reads = self.calls.iter().filter(|call| READS.contains(&call.operation.as_str()));
        reads.map(|call| call.table_units + call.index_units).sum()
    }
}

async fn random_assign(shop: &Shop, quantity: usize) -> Cost {
    let quantity = quantity.to_string();
    let order = [("product_id", "1"), ("quantity", quantity.as_str()), ("owner_name", "Test User")];
    Cost::of(shop, &shop.post("random-assign-license-keys", &order).await, 803)
}

#[tokio::test(flavor = "multi_thread")]
async fn random_assign_of_one_key_is_query_sign_write() {
    let mut reads = Vec::new();
    for stock in [SMALL, LARGE] {
        let shop = warm(stock).await;
        for _ in 0..10 {
            let cost = random_assign(&shop, 1).await;
            assert_eq!(cost.operations, ["Query", "UpdateItem"], "{stock} in stock");
            assert_eq!(cost.signatures, 1);
            assert_eq!(cost.written(), (1.0, 1.0));
            reads.push(cost.read());
        }
    }
    // A window of 24 keys, whatever the size of the stock.
    let (least, most) =
        reads.iter().fold((f64::MAX, 0.0_f64), |(a, b), units| (a.min(*units), b.max(*units)));
    assert!(most <= 1.5 && most - least <= 0.5, "a page is counted in half units of 4 kB: {reads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_assign_of_several_keys_is_query_sign_transaction() {
    for stock in [SMALL, LARGE] {
        let shop = warm(stock).await;
        // 99 of 100 keys need the whole circle, so more are put in.
        let quantities: &[usize] = if stock == LARGE { &[2, 7, 99] } else { &[2, 7] };
        for quantity in quantities {
            let cost = random_assign(&shop, *quantity).await;
            assert_eq!(cost.operations, ["Query", "TransactWriteItems"], "{quantity} of {stock}");
            assert_eq!(cost.signatures, 1);
            let n = f64::from(u32::try_from(*quantity).unwrap());
            assert_eq!(cost.written(), (2.0 * n, n), "{quantity} of {stock}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_that_meets_the_end_of_the_stock_costs_one_more_query() {
    let shop = warm(SMALL).await;
    let cost = random_assign(&shop, 90).await;
    assert_eq!(cost.operations, ["Query", "Query", "TransactWriteItems"]);
    // Too few: the circle, the open orders, which may leave something, and the circle once more after a pause. (A sale
    // never asks for them.)
    let order = [("product_id", "1"), ("quantity", "50")];
    let cost = Cost::of(&shop, &shop.post("random-assign-license-keys", &order).await, 802);
    assert_eq!(cost.operations, ["Query"; 5]);
    let of_orders = cost.calls.iter().filter(|call| call.index_units == 0.0).map(|call| call.table_units);
    assert!((of_orders.sum::<f64>() - 1.0).abs() < 0.01, "{:?}", cost.calls);
    assert_eq!(cost.signatures, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn assign_license_key_is_read_sign_write() {
    for stock in [SMALL, LARGE] {
        let shop = warm(stock).await;
        for n in 0..5 {
            let key = format!("KEY-2-{n:06}");
            let request = [("license_key", key.as_str()), ("owner_name", "Test User")];
            let cost = Cost::of(&shop, &shop.post("assign-license-key", &request).await, 800);
            assert_eq!(cost.operations, ["GetItem", "UpdateItem"], "{stock} in stock");
            assert_eq!((cost.signatures, cost.written()), (1, (1.0, 1.0)));
        }
        let cost = Cost::of(&shop, &shop.post("assign-license-key", &[("license_key", "NONE")]).await, 801);
        assert_eq!(cost.operations, ["GetItem"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_and_generating_cost_one_write_a_key() {
    for stock in [SMALL, LARGE] {
        let shop = warm(stock).await;
        let keys =
            serde_json::to_string(&(0..40).map(|n| format!("BUDGET-{n:02}")).collect::<Vec<_>>()).unwrap();
        let create = [
            ("license_keys", keys.as_str()),
            ("product_id", "1"),
            ("activation_limit", "0"),
            ("validity", "0"),
            ("status", "available"),
        ];
        let created = Cost::of(&shop, &shop.post("create-license-keys", &create).await, 900);
        let generate = [("generator_id", "1"), ("quantity", "40")];
        let generated = Cost::of(&shop, &shop.post("generate", &generate).await, 815);
        for cost in [created, generated] {
            // One call for the ids, which goes out beside the signature, then the keys side by side.
            assert_eq!(cost.operations[0], "UpdateItem");
            assert_eq!(cost.operations[1..], vec!["PutItem"; 40]);
            assert_eq!((cost.signatures, cost.written()), (1, (41.0, 40.0)));
            let most = cost.calls.iter().map(|call| call.overlapping).max().unwrap();
            assert!(most >= 1, "keys are stored side by side");
        }
    }
}

/// Three calls in sequence: what the request needs to know and the draw go out together, then the signature, then the
/// write.
#[tokio::test(flavor = "multi_thread")]
async fn a_cold_sale_is_read_beside_query_sign_write() {
    let shop = Shop::open().await;
    shop.draws.start_in_first_quarter();
    shop.stock_in_bulk("1".parse().unwrap(), SMALL).await;
    shop.dynamodb.disturb("BatchGetItem", [Fault::HoldUntil("Query")]);
    let mut cost = random_assign(&shop, 1).await;
    cost.operations[..2].sort();
    assert_eq!(cost.operations, ["BatchGetItem", "Query", "UpdateItem"]);
    assert_eq!((cost.signatures, cost.written()), (1, (1.0, 1.0)));
    let cost = random_assign(&shop, 1).await;
    assert_eq!(cost.operations, ["Query", "UpdateItem"], "now it is warm");
}

/// Whoever has no API key does not make the stock be read again and again.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_make_the_stock_be_read_once() {
    let shop = Shop::open().await;
    shop.draws.start_in_first_quarter();
    shop.stock_in_bulk("1".parse().unwrap(), SMALL).await;
    let form = [("api_key", "unknown-key"), ("product_id", "1"), ("quantity", "1")];
    for n in 0..10 {
        assert_eq!(shop.post_form("random-assign-license-keys", &form).await.code(), 100);
        let read = shop.dynamodb.take_operations();
        let queries = read.iter().filter(|operation| *operation == "Query").count();
        assert!(queries <= usize::from(n == 0), "{n}: {read:?}");
    }
}

/// After a long pause the connection to KMS has been closed. Another is opened while the stock is read, and
/// the signature finds it open.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_pause_the_connection_to_kms_is_opened_beside_the_draw() {
    let shop = warm(SMALL).await;
    random_assign(&shop, 1).await;
    for pause_seconds in [54, 55, 300] {
        shop.clock.advance_seconds(pause_seconds);
        let order = [("product_id", "1"), ("quantity", "1")];
        let sold = shop.post("random-assign-license-keys", &order).await;
        assert_eq!(sold.code(), 803, "{}", sold.text);
        let expected: &[&str] = if pause_seconds < 55 { &["Sign"] } else { &["GET", "Sign"] };
        // It is opened beside the sale, and may be noted after it.
        shop.kms.has_come(expected[0]).await;
        let mut calls = shop.kms.take_operations();
        calls.sort();
        assert_eq!(calls, expected, "after {pause_seconds} s");
        let _ = shop.dynamodb.take_calls();
    }
}

/// The connection that was opened is the one that the signature goes over. The client takes a connection back into its
/// pool in a task of its own, which may come later than the signature: then that opens another. So one success in many
/// trials is proof; if the signature could not use it, there would be none.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_uses_the_connection_that_was_opened_for_it() {
    const TRIALS: usize = 50;
    let shop = Shop::open().await;
    for _ in 0..TRIALS {
        let signer = shop.signer_of_its_own();
        let before = shop.kms.connections();
        signer.open_connection().await;
        tokio::task::yield_now().await;
        signer.warm_up().await.unwrap();
        assert_eq!(shop.kms.take_operations(), ["GET", "Sign"]);
        if shop.kms.connections() == before + 1 {
            return;
        }
    }
    panic!("each signature opened a connection of its own");
}
