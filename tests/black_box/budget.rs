//! Checks the cost of a warm request in calls and units, for every size of the stock.

use std::collections::BTreeSet;

use keypool_domain::{Activity, ApiKey, ApiKeyRecord, ApiKeySettings, Endpoint};
use keypool_tests::{AwsCall, Fault, Receiver, Shop, ShopResponse};

/// A stock so large that a small draw from its first quarter does not reach its end.
const SMALL: usize = 100;
/// A stock whose estimates never fall below 5,000 keys, so that the functions keep windows of it.
const LARGE: usize = 15_000;

/// Opens a shop with this many keys of product 1 and fills its caches.
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

const READS: [&str; 5] = ["BatchGetItem", "GetItem", "GetLimit", "Query", "QueryLine"];

fn record(key: &str) -> ApiKeyRecord {
    ApiKeyRecord {
        hash: key.parse::<ApiKey>().unwrap().hash(),
        name: "a test's".parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from(Endpoint::ALL),
        networks: vec![],
        valid_until: None,
        settings: ApiKeySettings::default(),
    }
}

struct Cost {
    /// All calls to DynamoDB except the query of the line, which runs beside the signature.
    operations: Vec<String>,
    looks_at_line: usize,
    signatures: usize,
    calls: Vec<AwsCall>,
}

impl Cost {
    fn of(shop: &Shop, response: &ShopResponse, code: u64) -> Self {
        assert_eq!(response.code(), code, "{}", response.text);
        let calls = shop.dynamodb.take_calls();
        let (looks, others): (Vec<&AwsCall>, Vec<&AwsCall>) =
            calls.iter().partition(|call| call.operation == "QueryLine");
        assert!(looks.iter().all(|look| look.table_units <= 1.0));
        let looks_at_line = looks.len();
        let operations = others.iter().map(|call| call.operation.clone()).collect();
        Self { operations, looks_at_line, signatures: shop.kms.take_calls().len(), calls }
    }

    /// Returns the write units of the table and of the index.
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
async fn one_key_of_a_small_stock_is_query_sign_write() {
    let shop = warm(SMALL).await;
    for _ in 0..10 {
        let cost = random_assign(&shop, 1).await;
        assert_eq!(cost.operations, ["Query", "UpdateItem"]);
        assert_eq!((cost.signatures, cost.looks_at_line, cost.written()), (1, 1, (1.0, 1.0)));
        // A window of 24 keys and the empty line. DynamoDB counts a page in half units of 4 kB.
        assert!(cost.read() <= 2.5, "{}", cost.read());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_of_a_large_stock_is_sign_write() {
    let shop = warm(LARGE).await;
    let mut queries = 0;
    for _ in 0..48 {
        let cost = random_assign(&shop, 1).await;
        if cost.operations[0] == "Query" {
            queries += 1;
            assert!(cost.read() <= 2.5, "{}", cost.read());
        }
        assert_eq!(cost.operations.last().unwrap(), "UpdateItem");
        assert!(cost.operations.len() <= 2, "{:?}", cost.operations);
        assert_eq!((cost.signatures, cost.written()), (1, (1.0, 1.0)));
    }
    // The window of the previous sale holds 23 keys, and each draw 24.
    assert_eq!(queries, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_kept_for_five_seconds() {
    let shop = warm(LARGE).await;
    for (pause_seconds, expected) in [(4, &["UpdateItem"][..]), (5, &["Query", "UpdateItem"])] {
        // A fresh window.
        shop.clock.advance_seconds(30);
        random_assign(&shop, 1).await;
        shop.clock.advance_seconds(pause_seconds);
        assert_eq!(random_assign(&shop, 1).await.operations, expected, "{pause_seconds}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_key_of_a_kept_window_costs_one_miss() {
    let shop = warm(LARGE).await;
    shop.clock.advance_seconds(30);
    random_assign(&shop, 1).await;
    // The injected failure looks like a faster sale in another environment.
    shop.dynamodb.disturb("UpdateItem", [Fault::error("ConditionalCheckFailedException")]);
    let cost = random_assign(&shop, 1).await;
    assert_eq!(cost.operations, ["UpdateItem", "Query", "UpdateItem"]);
    assert_eq!(cost.signatures, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_keys_are_query_sign_transaction() {
    for stock in [SMALL, LARGE] {
        let shop = warm(stock).await;
        // 96 of 100 keys need the whole circle, so only the large stock serves them.
        let quantities: &[usize] = if stock == LARGE { &[2, 7, 96] } else { &[2, 7] };
        for quantity in quantities {
            let cost = random_assign(&shop, *quantity).await;
            let without_window: &[&str] = &["Query", "TransactWriteItems"];
            let expected =
                if stock == LARGE && *quantity < 24 { &without_window[1..] } else { without_window };
            assert_eq!(cost.operations, expected, "{quantity} of {stock}");
            assert_eq!(cost.signatures, 1);
            let n = f64::from(u32::try_from(*quantity).unwrap());
            assert_eq!(cost.written(), (2.0 * n, n), "{quantity} of {stock}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_order_makes_few_calls() {
    for (quantity, calls_max) in [(300_usize, 16), (1_000, 45)] {
        let shop = warm(LARGE).await;
        let cost = random_assign(&shop, quantity).await;
        let calls = cost.operations.len() + cost.signatures;
        assert!(calls <= calls_max, "{quantity}: {:?}", cost.operations);
        assert_eq!(cost.signatures, 1);
        let n = f64::from(u32::try_from(quantity).unwrap());
        let (table, index) = cost.written();
        assert!(table <= 4.3 * n, "{quantity}: {table} write units");
        assert!((index - n).abs() < 0.01, "{quantity}: {index} write units of the index");
        println!("{quantity} keys: {calls} calls, {} + {} write units a key", table / n, index / n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_keys_take_four_calls_at_most() {
    let shop = Shop::open().await;
    let order = [("product_id", "1"), ("quantity", "1"), ("generate", "1")];
    assert_eq!(shop.post("random-assign-license-keys", &order).await.code(), 803);
    let _ = (shop.dynamodb.take_calls(), shop.kms.take_calls());
    for quantity in ["1", "5"] {
        for _ in 0..4 {
            let order = [("product_id", "1"), ("quantity", quantity), ("generate", "1")];
            let cost = Cost::of(&shop, &shop.post("random-assign-license-keys", &order).await, 803);
            // Two queries for the circle of an empty stock, the signature, the write. Ids are reserved in
            // blocks of 64.
            let write = if quantity == "1" { "PutItem" } else { "TransactWriteItems" };
            assert_eq!(cost.operations, ["Query", "Query", write]);
            let n = quantity.parse::<f64>().unwrap();
            assert_eq!((cost.signatures, cost.written().1), (1, 0.0));
            assert!(cost.written().0 <= 2.0 * n, "{:?}", cost.written());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_past_the_end_of_the_stock_costs_one_more_query() {
    let shop = warm(SMALL).await;
    let cost = random_assign(&shop, 90).await;
    assert_eq!(cost.operations, ["Query", "Query", "TransactWriteItems"]);
    // With too few keys, keypool reads the circle and the open requests, and after a pause both once more. A
    // successful sale never reads the open requests.
    let order = [("product_id", "1"), ("quantity", "50")];
    let cost = Cost::of(&shop, &shop.post("random-assign-license-keys", &order).await, 802);
    assert_eq!(cost.operations, ["Query"; 6]);
    let of_orders = cost.calls.iter().filter(|call| call.index_units == 0.0).map(|call| call.table_units);
    assert!((of_orders.sum::<f64>() - 2.0).abs() < 0.01, "{:?}", cost.calls);
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
            // The ids are reserved beside the signature. The keys follow, 25 to a call.
            let batches = ["BatchExecuteStatement"; 2];
            assert!(cost.operations.ends_with(&batches.map(str::to_owned)), "{:?}", cost.operations);
            assert!(cost.operations.len() <= 3, "{:?}", cost.operations);
            let ids = if cost.operations.len() == 3 { 1.0 } else { 0.0 };
            assert_eq!((cost.signatures, cost.written()), (1, (40.0 + ids, 40.0)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keys_are_stored_in_at_most_60_calls() {
    let shop = warm(SMALL).await;
    let keys: Vec<String> = (0..1_000).map(|n| format!("BUDGET-{n:04}")).collect();
    let keys = serde_json::to_string(&keys).unwrap();
    let create = [
        ("license_keys", keys.as_str()),
        ("product_id", "1"),
        ("activation_limit", "0"),
        ("validity", "0"),
        ("status", "available"),
    ];
    let created = Cost::of(&shop, &shop.post("create-license-keys", &create).await, 900);
    let again = Cost::of(&shop, &shop.post("create-license-keys", &create).await, 902);
    let generate = [("generator_id", "1"), ("quantity", "1000")];
    let generated = Cost::of(&shop, &shop.post("generate", &generate).await, 815);
    for (cost, written) in [(created, (1_001.0, 1_000.0)), (generated, (1_001.0, 1_000.0))] {
        assert!(cost.operations.len() + cost.signatures <= 60, "{:?}", cost.operations);
        assert_eq!((cost.signatures, cost.written()), (1, written));
    }
    // DynamoDB bills the statement of an existing key too, and keypool reads that key.
    assert!(again.operations.len() + again.signatures <= 90, "{:?}", again.operations);
}

/// A cold sale makes three calls in sequence: the draw beside the read of API key and product, the signature,
/// the write.
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
    assert_eq!(cost.operations, ["Query", "UpdateItem"], "the caches are warm");
}

/// Requests with an unknown API key read the stock at most once.
#[tokio::test(flavor = "multi_thread")]
async fn requests_with_unknown_api_keys_read_the_stock_once() {
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

/// After a long pause the connection to KMS is closed. The function opens another while it reads the stock,
/// and the signature uses that one.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_pause_kms_connects_beside_the_draw() {
    let shop = warm(SMALL).await;
    random_assign(&shop, 1).await;
    for pause_seconds in [54, 55, 300] {
        shop.clock.advance_seconds(pause_seconds);
        let order = [("product_id", "1"), ("quantity", "1")];
        let sold = shop.post("random-assign-license-keys", &order).await;
        assert_eq!(sold.code(), 803, "{}", sold.text);
        let expected: &[&str] = if pause_seconds < 55 { &["Sign"] } else { &["GET", "Sign"] };
        // The connection opens beside the sale, so the proxy may record it afterwards.
        shop.kms.has_come(expected[0]).await;
        let mut calls = shop.kms.take_operations();
        calls.sort();
        assert_eq!(calls, expected, "after {pause_seconds} s");
        let _ = shop.dynamodb.take_calls();
    }
}

/// The signature goes over the connection that was opened for it. The client returns a connection to its pool
/// in a separate task, which may run after the signature. The signature then opens another connection. So one
/// success in many trials is proof: without reuse there would be none.
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

/// Accepting an order takes two calls in sequence. A worker without caches then makes 11 calls to DynamoDB to
/// fill and deliver it.
#[tokio::test(flavor = "multi_thread")]
async fn a_queued_order_costs_twelve_write_units() {
    let (shop, receiver) = (warm(SMALL).await, Receiver::start().await);
    let order = [("product_id", "1"), ("quantity", "1"), ("webhook_url", receiver.url.as_str())];
    assert_eq!(shop.post("random-assign-license-keys-queued", &order).await.code(), 807);
    shop.process_orders().await;
    let _ = (shop.dynamodb.take_calls(), shop.kms.take_calls(), shop.sqs.take_calls());

    let accepted = Cost::of(&shop, &shop.post("random-assign-license-keys-queued", &order).await, 807);
    assert_eq!((accepted.operations.as_slice(), accepted.signatures), (&["PutItem".to_owned()][..], 1));
    assert_eq!((accepted.written(), accepted.read()), ((1.0, 0.0), 0.0));
    assert_eq!(shop.sqs.take_operations(), ["SendMessage"]);
    // The order is stored beside the signature, so these are two calls in sequence.
    shop.process_orders().await;
    let calls = shop.dynamodb.take_calls();
    let operations: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
    let fill =
        ["GetItem", "QueryLine", "GetItem", "BatchGetItem", "Query", "TransactWriteItems", "UpdateItem"];
    let tell = ["UpdateItem", "GetItem", "BatchGetItem", "TransactWriteItems"];
    assert_eq!(operations, [&fill[..], &tell].concat());
    let writes = calls.iter().filter(|call| !READS.contains(&call.operation.as_str()));
    let (table, index) =
        writes.fold((0.0, 0.0), |sum, call| (sum.0 + call.table_units, sum.1 + call.index_units));
    assert_eq!((table, index, shop.kms.take_calls().len()), (10.0, 1.0, 1));
    assert_eq!(shop.sqs.take_operations(), Vec::<String>::new(), "Lambda receives and deletes the messages");
    assert_eq!(receiver.callbacks().len(), 2);
}

/// A restock fills the orders in line. The calls for each order do not grow with the length of the line.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_orders_is_filled_in_few_calls_each() {
    let mut per_order = Vec::new();
    for orders in [40_usize, 160] {
        let (shop, receiver) = (Shop::open().await, Receiver::start().await);
        for n in 0..orders {
            shop.clock.advance_seconds(1);
            let n = n.to_string();
            let order = [
                ("product_id", "1"),
                ("quantity", "1"),
                ("identifier", n.as_str()),
                ("webhook_url", receiver.url.as_str()),
            ];
            assert_eq!(shop.post("random-assign-license-keys-queued", &order).await.code(), 807);
        }
        shop.process_orders().await;
        shop.stock(1, orders).await;
        let _ = shop.dynamodb.take_calls();
        shop.sweep_orders().await;
        shop.process_orders().await;
        assert_eq!((receiver.rows().len(), shop.in_stock(1).await), (orders, 0));
        let calls = shop.dynamodb.take_calls().len();
        println!("{orders} orders: {calls} calls");
        per_order.push(calls.div_ceil(orders));
    }
    assert!(per_order.iter().all(|calls| *calls <= 40), "{per_order:?}");
    assert!(per_order[1] <= per_order[0] + 4, "{per_order:?}");
}

/// A limit on an API key costs one more write of one unit, beside the signature. Other API keys cost nothing
/// more.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_costs_one_write_beside_the_signature() {
    let shop = warm(SMALL).await;
    let settings = ApiKeySettings { keys_per_hour: "1000".parse().ok(), ..ApiKeySettings::default() };
    shop.add_api_key(ApiKeyRecord { settings, ..record("limited-key") }).await;
    let receiver = Receiver::start().await;
    let order = [("product_id", "1"), ("quantity", "1"), ("webhook_url", receiver.url.as_str())];
    let requests = [
        ("random-assign-license-keys", order[..2].to_vec(), 803, (2.0, 1.0)),
        ("random-assign-license-keys", vec![("product_id", "1"), ("quantity", "2")], 803, (5.0, 2.0)),
        ("assign-license-key", vec![("license_key", "KEY-2-000000")], 800, (2.0, 1.0)),
        ("generate", vec![("generator_id", "1"), ("quantity", "2")], 815, (3.0, 2.0)),
        ("random-assign-license-keys-queued", order.to_vec(), 807, (2.0, 0.0)),
    ];
    for (endpoint, form, code, written) in requests {
        let form = [&[("api_key", "limited-key")], &form[..]].concat();
        let send = || shop.post_form(endpoint, &form);
        // The first request of an environment reads the API key and the count, which another environment may
        // have written.
        let first = send().await;
        assert_eq!(first.code(), code, "{endpoint}: {}", first.text);
        let _ = (shop.dynamodb.take_calls(), shop.kms.take_calls());
        if endpoint == "assign-license-key" {
            continue;
        }
        let cost = Cost::of(&shop, &send().await, code);
        let counts = cost.operations.iter().filter(|operation| *operation == "UpdateLimit").count();
        assert_eq!((counts, cost.signatures), (1, 1), "{endpoint}: {:?}", cost.operations);
        assert_eq!(cost.written(), written, "{endpoint}: {:?}", cost.operations);
    }
    // A minute later the count's item is replaced, by at most three writes.
    shop.clock.advance_seconds(59);
    let form = [("api_key", "limited-key"), ("license_key", "KEY-2-000001")];
    let cost = Cost::of(&shop, &shop.post_form("assign-license-key", &form).await, 800);
    let counts = cost.operations.iter().filter(|operation| *operation == "UpdateLimit").count();
    assert!(counts <= 3 && cost.operations.last().unwrap() == "UpdateItem", "{:?}", cost.operations);
}

/// Each of the two calls goes out while the other one stalls.
#[tokio::test(flavor = "multi_thread")]
async fn the_count_and_the_signature_do_not_wait_for_each_other() {
    let shop = warm(SMALL).await;
    let settings = ApiKeySettings { keys_per_hour: "1000".parse().ok(), ..ApiKeySettings::default() };
    shop.add_api_key(ApiKeyRecord { settings, ..record("limited-key") }).await;
    let receiver = Receiver::start().await;
    let order = [("product_id", "1"), ("quantity", "1"), ("webhook_url", receiver.url.as_str())];
    for (endpoint, form) in [
        ("random-assign-license-keys", order[..2].to_vec()),
        ("random-assign-license-keys", vec![("product_id", "1"), ("quantity", "3")]),
        ("assign-license-key", vec![("license_key", "KEY-2-000000")]),
        ("generate", vec![("generator_id", "1"), ("quantity", "2")]),
        ("random-assign-license-keys-queued", order.to_vec()),
    ] {
        let form = [&[("api_key", "limited-key")], &form[..]].concat();
        for (stalled, operation, other, awaited) in [
            (&shop.kms, "Sign", &shop.dynamodb, "UpdateLimit"),
            (&shop.dynamodb, "UpdateLimit", &shop.kms, "Sign"),
        ] {
            let _ = (shop.dynamodb.take_calls(), shop.kms.take_calls());
            stalled.disturb(operation, vec![Fault::Stall; 8]);
            tokio::select! {
                response = shop.post_form(endpoint, &form) => panic!("{endpoint}: {}", response.text),
                () = other.has_come(awaited) => {}
            }
            stalled.calm();
        }
    }
}
