//! Queues orders: accepted at once, filled when stock arrives, and reported by a callback.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt as _, stream};
use keypool_domain::{
    Activity, ApiKey, ApiKeyRecord, ApiKeySettings, Clock as _, Endpoint, OrderState, QueuedOrder,
};
use keypool_tests::{API_KEY, Fault, Receiver, Shop, ShopResponse};
use serde_json::{Value, json};

const QUEUED: &str = "random-assign-license-keys-queued";
const RANDOM: &str = "random-assign-license-keys";
const DAY: i64 = 24 * 60 * 60;

/// Queues an order of product 1.
async fn order(shop: &Shop, receiver: &Receiver, identifier: &str, quantity: &str) -> ShopResponse {
    order_with(shop, receiver, identifier, &[("quantity", quantity)]).await
}

async fn order_with(
    shop: &Shop,
    receiver: &Receiver,
    identifier: &str,
    more: &[(&str, &str)],
) -> ShopResponse {
    let mut parameters = vec![
        ("product_id", "1"),
        ("owner_name", "Test User"),
        ("webhook_url", receiver.url.as_str()),
        ("identifier", identifier),
    ];
    parameters.extend(more);
    // The sequence of orders of the same millisecond is undefined.
    shop.clock.advance_seconds(1);
    shop.post(QUEUED, &parameters).await
}

/// Advances the clock by a minute, runs the sweep, and processes its messages.
async fn a_minute_passes(shop: &Shop) {
    shop.clock.advance_seconds(60);
    shop.sweep_orders().await;
    shop.process_orders().await;
}

/// Returns the codes of the callbacks, with their orders.
fn told(receiver: &Receiver) -> Vec<(String, u64)> {
    let told = receiver.callbacks().into_iter().map(|callback| {
        let response = callback.response();
        (response["identifier"].as_str().unwrap().to_owned(), response["code"].as_u64().unwrap())
    });
    told.collect()
}

/// Returns the undelivered orders.
async fn in_queue(shop: &Shop) -> Vec<QueuedOrder> {
    shop.store.queued_orders().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_accepted_filled_and_delivered() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 5).await;
    let accepted = order(&shop, &receiver, "31", "2").await;
    let members = accepted.response();
    assert_eq!((&members["code"], &members["message"]), (&json!(807), &json!("Request Queued")));
    assert_eq!(members.as_object().unwrap().len(), 3, "{members}");
    assert!(shop.verifies(&accepted, 1).await);
    assert_eq!(shop.in_stock(1).await, 5, "the order is not filled yet");

    shop.process_orders().await;
    let callbacks = receiver.callbacks();
    assert_eq!(callbacks.len(), 1);
    let response = callbacks[0].response();
    let text = &callbacks[0].text;
    let beginning = r#"{"headers":{},"original":{"response":{"code":803,"message":"License keys assigned","license_keys":[{"#;
    assert!(text.starts_with(beginning) && text.ends_with(r#"},"exception":null}"#), "{text}");
    assert!(text.contains(r#"],"identifier":"31","timestamp":"#), "{text}");
    assert_eq!((&response["code"], &response["identifier"]), (&json!(803), &json!("31")));
    assert_eq!(callbacks[0].timestamp, shop.clock.now().unix_seconds().to_string());
    // The envelope is complete, and the signature covers its bytes.
    let body: Value = serde_json::from_str(&callbacks[0].text).unwrap();
    let signed = STANDARD.decode(body["original"]["response_base64"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&signed).unwrap(), response);
    let envelope = ShopResponse { text: body["original"].to_string(), ..accepted };
    assert!(shop.verifies(&envelope, 1).await);

    let rows = receiver.rows();
    assert_eq!((rows[0].0.as_str(), rows[0].1.len()), ("31", 2));
    let columns: Vec<&String> = rows[0].1[0].as_object().unwrap().keys().collect();
    assert_eq!(columns.len(), 11, "{columns:?}");
    for row in &rows[0].1 {
        let key = shop.stored(row["license_key"].as_str().unwrap()).await;
        assert_eq!(key.owner.name.unwrap().as_str(), "Test User");
    }
    assert_eq!(shop.in_stock(1).await, 3);
    assert_eq!(in_queue(&shop).await, []);
    assert_eq!(shop.process_orders().await, 0, "no message is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_holds_the_id_of_its_order_only() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    assert_eq!(order(&shop, &receiver, "31", "1").await.code(), 807);
    let orders = in_queue(&shop).await;
    let messages = shop.queue().receive(Duration::ZERO).await.unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].id, orders[0].id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_wait_for_stock_first_come_first_served() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 1).await;
    for (identifier, quantity) in [("first", "3"), ("second", "1"), ("third", "1")] {
        assert_eq!(order(&shop, &receiver, identifier, quantity).await.code(), 807);
        shop.process_orders().await;
    }
    assert_eq!(told(&receiver), []);
    assert!(in_queue(&shop).await.iter().all(|order| order.state == OrderState::Waiting));
    // One key is in stock. A direct buyer does not overtake the orders.
    let direct = shop.post(RANDOM, &[("product_id", "1"), ("quantity", "1")]).await;
    assert_eq!((direct.code(), &direct.response()["available_quantity"]), (802, &json!(0)));

    // Three more keys are enough for the first and the second order.
    shop.stock_named(1, "LATER", 3).await;
    a_minute_passes(&shop).await;
    // Callbacks are delivered concurrently.
    let mut both = told(&receiver);
    both.sort();
    assert_eq!(both, [("first".to_owned(), 803), ("second".to_owned(), 803)]);
    assert_eq!(shop.in_stock(1).await, 0);

    shop.stock_named(1, "LAST", 2).await;
    let direct = shop.post(RANDOM, &[("product_id", "1"), ("quantity", "1")]).await;
    assert_eq!(direct.code(), 803, "one key remains for the waiting order");
    a_minute_passes(&shop).await;
    assert_eq!(told(&receiver).len(), 3);
    assert_eq!((shop.in_stock(1).await, in_queue(&shop).await.len()), (0, 0));
    let direct = shop.post(RANDOM, &[("product_id", "1"), ("quantity", "1")]).await;
    assert_eq!((direct.code(), &direct.response()["available_quantity"]), (802, &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_a_generator_does_not_wait() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    let generate = [("quantity", "2"), ("generate", "1")];
    assert_eq!(order_with(&shop, &receiver, "31", &generate).await.code(), 807);
    shop.process_orders().await;
    assert_eq!(receiver.rows()[0].1.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_ends_after_its_waiting_time() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.add_product(keypool_domain::Product {
        id: "9".parse().unwrap(),
        name: "no generator".parse().unwrap(),
        activity: Activity::Active,
        generator_id: None,
        signing_key_id: None,
    })
    .await;
    shop.stock(1, 1).await;
    assert_eq!(order(&shop, &receiver, "stock", "2").await.code(), 807);
    let generate = [("product_id", "9"), ("quantity", "1"), ("generate", "1")];
    assert_eq!(order_with(&shop, &receiver, "generator", &generate).await.code(), 807);
    shop.process_orders().await;
    shop.clock.advance_seconds(7 * DAY - 120);
    a_minute_passes(&shop).await;
    assert_eq!(told(&receiver), []);
    a_minute_passes(&shop).await;
    let told: BTreeSet<(String, u64)> = told(&receiver).into_iter().collect();
    assert_eq!(told, [("stock".to_owned(), 802), ("generator".to_owned(), 806)].into());
    assert_eq!(in_queue(&shop).await, []);
    let direct = shop.post(RANDOM, &[("product_id", "1"), ("quantity", "1")]).await;
    assert_eq!(direct.code(), 803, "no order waits any more");
}

async fn add_api_key(shop: &Shop, settings: ApiKeySettings) {
    let record = ApiKeyRecord {
        hash: "set".parse::<ApiKey>().unwrap().hash(),
        name: "set".parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from(Endpoint::ALL),
        networks: vec![],
        valid_until: None,
        settings,
    };
    shop.add_api_key(record).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_may_forbid_waiting_and_hosts() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    let hosts = ["127.0.0.1".parse().unwrap()].into_iter().collect();
    let settings = ApiKeySettings {
        wait_for_stock: Some(Duration::ZERO),
        webhook_hosts: hosts,
        ..ApiKeySettings::default()
    };
    add_api_key(&shop, settings).await;
    let mut form = vec![
        ("api_key", "set"),
        ("product_id", "1"),
        ("quantity", "1"),
        ("identifier", "31"),
        ("webhook_url", receiver.url.as_str()),
    ];
    assert_eq!(shop.post_form(QUEUED, &form).await.code(), 807);
    shop.process_orders().await;
    assert_eq!(told(&receiver), [("31".to_owned(), 802)]);
    form[4].1 = "https://shop.example/";
    let refused = shop.post_form(QUEUED, &form).await;
    assert_eq!(refused.code(), 804);
    assert_eq!(
        refused.response()["errors"],
        json!({"webhook_url": ["The webhook_url field must have one of the hosts that are listed for this API key."]})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_callback_url_is_804() {
    let shop = Shop::open().await;
    for (url, sentence) in [
        ("", "is required."),
        ("shop.example", "must be a URL such as https://shop.example/?keevault-webhook=KEY."),
        ("ftp://shop.example/", "must begin with https://."),
        ("https://user@shop.example/", "must not have a user or a password."),
        ("https://10.0.0.1/", "must not lead to a private address (RFC 1918)."),
        ("https://shop.example:25/", "must have port 443 (80 for http), or one from 1024."),
        (
            "https://shop.example/?keevault-webhook=not-set",
            "has no webhook key (keevault-webhook=not-set): set the webhook key in the shop's settings first.",
        ),
    ] {
        let refused =
            shop.post(QUEUED, &[("product_id", "1"), ("quantity", "1"), ("webhook_url", url)]).await;
        assert_eq!(refused.code(), 804, "{url}");
        let expected = format!("The webhook_url field {sentence}");
        assert_eq!(refused.response()["errors"], json!({"webhook_url": [expected]}), "{url}");
    }
    let all = shop.post(QUEUED, &[("quantity", "0"), ("identifier", &"x".repeat(256))]).await;
    let errors = all.response()["errors"].clone();
    let names: Vec<&String> = errors.as_object().unwrap().keys().collect();
    assert_eq!(names, ["identifier", "product_id", "quantity", "webhook_url"]);
    let unknown = [("product_id", "77"), ("quantity", "1"), ("webhook_url", "https://shop.example/")];
    assert_eq!(shop.post(QUEUED, &unknown).await.code(), 805);
    assert_eq!(in_queue(&shop).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_message_is_replaced_within_minutes() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 1).await;
    shop.embedded_sqs().set_faults(keypool_local::DeliveryFaults { lose_next: 1, ..Default::default() });
    assert_eq!(order(&shop, &receiver, "31", "1").await.code(), 807);
    assert_eq!(shop.process_orders().await, 0);
    a_minute_passes(&shop).await;
    assert_eq!(told(&receiver), [("31".to_owned(), 803)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_and_reordered_messages_change_nothing() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 30).await;
    shop.embedded_sqs().set_faults(keypool_local::DeliveryFaults {
        twice: true,
        reversed: true,
        lose_next: 0,
    });
    for n in 0..10 {
        assert_eq!(order(&shop, &receiver, &n.to_string(), "2").await.code(), 807);
    }
    shop.process_orders().await;
    let rows = receiver.rows();
    assert_eq!((rows.len(), shop.in_stock(1).await), (10, 10));
    let keys: BTreeSet<String> =
        rows.iter().flat_map(|(_, rows)| rows).map(|row| row["license_key"].to_string()).collect();
    assert_eq!(keys.len(), 20);
    assert_eq!(in_queue(&shop).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_is_retried_for_five_days() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 1).await;
    receiver.respond(&[500; 100]);
    assert_eq!(order(&shop, &receiver, "31", "1").await.code(), 807);
    shop.process_orders().await;
    let started = shop.clock.now();
    let mut attempts_after = vec![0];
    while in_queue(&shop).await[0].state == OrderState::Decided {
        let known = receiver.callbacks().len();
        let next = in_queue(&shop).await[0].delivery.next_at.unwrap();
        shop.clock.advance_seconds(i64::try_from(next.since(shop.clock.now()).as_secs()).unwrap() + 1);
        shop.process_orders().await;
        if receiver.callbacks().len() > known {
            attempts_after.push(shop.clock.now().since(started).as_secs() / 60);
        }
    }
    assert!((14..=20).contains(&attempts_after.len()), "{attempts_after:?}");
    assert!(
        attempts_after[1] <= 1 && attempts_after[2] <= 6 && attempts_after[3] <= 37,
        "{attempts_after:?}"
    );
    assert_eq!(*attempts_after.last().unwrap(), 5 * 24 * 60);
    let callbacks = receiver.callbacks();
    assert_eq!(callbacks.len(), attempts_after.len());
    assert!(callbacks.iter().all(|callback| callback.id == callbacks[0].id));
    assert!(callbacks.iter().all(|callback| callback.text == callbacks[0].text));
    let dead = in_queue(&shop).await.remove(0);
    assert_eq!(dead.state, OrderState::Dead);
    assert_eq!(dead.delivery.answer.unwrap(), "the shop's server responded with status 500");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_2xx_response_without_html_counts_as_delivered() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 3).await;
    // With a wrong webhook key, the plugin responds with its home page.
    let wrong = receiver.url.replace("demo", "wrong");
    let form =
        [("product_id", "1"), ("quantity", "1"), ("identifier", "31"), ("webhook_url", wrong.as_str())];
    assert_eq!(shop.post(QUEUED, &form).await.code(), 807);
    shop.process_orders().await;
    let answer = in_queue(&shop).await[0].delivery.answer.clone().unwrap();
    assert!(answer.contains("check the webhook key"), "{answer}");
    // A response about an unknown order is a failure. Status 410 ends the delivery.
    receiver.know(&["33"]);
    assert_eq!(order(&shop, &receiver, "32", "1").await.code(), 807);
    shop.process_orders().await;
    receiver.respond(&[410]);
    assert_eq!(order(&shop, &receiver, "33", "1").await.code(), 807);
    shop.process_orders().await;
    let states: Vec<OrderState> = in_queue(&shop).await.iter().map(|order| order.state).collect();
    assert_eq!(states, [OrderState::Decided, OrderState::Decided, OrderState::Dead]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_one_order() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 5).await;
    let form = [("product_id", "1"), ("quantity", "1"), ("webhook_url", receiver.url.as_str())];
    let first = shop.post_once(QUEUED, "a", &form).await;
    assert_eq!(first.code(), 807);
    assert_eq!(shop.post_once(QUEUED, "a", &form).await.text, first.text);
    let other = [("product_id", "1"), ("quantity", "2"), ("webhook_url", receiver.url.as_str())];
    assert_eq!(shop.post_once(QUEUED, "a", &other).await.status, 422);
    assert_eq!(in_queue(&shop).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_may_use_the_identifier_as_idempotency_key() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 9).await;
    add_api_key(&shop, ApiKeySettings { once_per_identifier: true, ..ApiKeySettings::default() }).await;
    let sold = |api_key: &'static str, endpoint: &'static str, identifier: &'static str| {
        let (shop, url) = (&shop, receiver.url.clone());
        async move {
            let form = [
                ("api_key", api_key),
                ("product_id", "1"),
                ("quantity", "1"),
                ("identifier", identifier),
                ("webhook_url", url.as_str()),
            ];
            shop.post_form(endpoint, &form).await.text
        }
    };
    let first = sold("set", RANDOM, "31").await;
    assert_eq!(sold("set", RANDOM, "31").await, first);
    assert_ne!(sold("set", RANDOM, "32").await, first);
    assert_ne!(sold("set", RANDOM, "").await, sold("set", RANDOM, "").await);
    assert_ne!(sold(API_KEY, RANDOM, "31").await, sold(API_KEY, RANDOM, "31").await);
    let queued = sold("set", QUEUED, "31").await;
    assert_eq!(sold("set", QUEUED, "31").await, queued);
    assert_eq!((in_queue(&shop).await.len(), shop.in_stock(1).await), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_signature_is_not_accepted() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.kms.disturb("Sign", vec![Fault::error("KMSInvalidStateException"); 10]);
    let refused = order(&shop, &receiver, "31", "1").await;
    assert_eq!((refused.status, in_queue(&shop).await.len()), (503, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_a_lost_write_is_accepted_or_never_stored() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    // Every response of the write is lost, but the order is stored and accepted.
    shop.dynamodb.disturb("PutItem", vec![Fault::LoseResponse; 5]);
    let accepted = order(&shop, &receiver, "31", "1").await;
    assert_eq!((accepted.code(), in_queue(&shop).await.len()), (807, 1), "{}", accepted.text);
    shop.dynamodb.calm();
    // Every write of the order fails. The write of the void order in its place succeeds.
    shop.dynamodb.disturb("PutItem", vec![Fault::error("InternalServerError"); 5]);
    let refused = order(&shop, &receiver, "32", "1").await;
    assert_eq!(refused.json()["type"], "/problems/nothing-was-sold", "{}", refused.text);
    assert_eq!(in_queue(&shop).await.len(), 1);
}

/// The shop gets a refusal, and a copy of the order's write arrives after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_does_not_come_back() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 5).await;
    shop.dynamodb.disturb("PutItem", [Fault::Postpone]);
    shop.kms.disturb("Sign", vec![Fault::error("KMSInvalidStateException"); 10]);
    let refused = order(&shop, &receiver, "31", "2").await;
    assert_eq!(refused.json()["type"], "/problems/nothing-was-sold", "{}", refused.text);
    shop.kms.calm();
    assert_eq!(shop.dynamodb.deliver().await.len(), 1);
    for _ in 0..3 {
        a_minute_passes(&shop).await;
    }
    assert_eq!((shop.in_stock(1).await, receiver.callbacks().len()), (5, 0));
}

/// The response to an order of many keys with a long owner name would be too large. The next order in line is
/// filled.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_never_fits_ends_and_blocks_no_other() {
    let shop = Shop::builder().with_sale_keys_max(keypool_store::SALE_KEYS_MAX).open().await;
    let receiver = Receiver::start().await;
    let long = "\u{1}".repeat(255);
    let owner = [("quantity", "1000"), ("owner_name", long.as_str()), ("owner_email", long.as_str())];
    assert_eq!(order_with(&shop, &receiver, "long", &owner).await.code(), 807);
    assert_eq!(order(&shop, &receiver, "next", "1").await.code(), 807);
    shop.process_orders().await;
    assert_eq!(told(&receiver), []);
    shop.stock(1, 1_001).await;
    a_minute_passes(&shop).await;
    a_minute_passes(&shop).await;
    let told: BTreeSet<(String, u64)> = told(&receiver).into_iter().collect();
    assert_eq!(told, [("long".to_owned(), 802), ("next".to_owned(), 803)].into());
    assert_eq!(in_queue(&shop).await, []);
}

/// Returns the calls of a worker that fills and delivers an order of two keys.
async fn calls_of_the_worker() -> Vec<(String, usize)> {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 5).await;
    order(&shop, &receiver, "31", "2").await;
    let _ = (shop.dynamodb.take_calls(), shop.kms.take_calls());
    shop.process_orders().await;
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let operations = shop.dynamodb.take_operations().into_iter().chain(shop.kms.take_operations());
    operations
        .map(|operation| {
            let nth = seen.entry(operation.clone()).or_default();
            *nth += 1;
            (operation, *nth - 1)
        })
        .collect()
}

/// Stops the worker at a call that the service may have done. Minutes later the order is filled once and
/// delivered.
async fn expect_filled_once_and_told(operation: &str, nth: usize, fault: Fault) {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    shop.stock(1, 5).await;
    assert_eq!(order(&shop, &receiver, "31", "2").await.code(), 807);
    let faults = [vec![Fault::Pass; nth], vec![fault; 12]].concat();
    let proxy = if operation == "Sign" { &shop.kms } else { &shop.dynamodb };
    proxy.disturb(operation, faults);
    shop.process_orders().await;
    proxy.calm();
    for _ in 0..8 {
        a_minute_passes(&shop).await;
    }
    let at = format!("{operation} {nth}");
    assert_eq!(in_queue(&shop).await, [], "{at}");
    assert_eq!(shop.in_stock(1).await, 3, "{at}");
    let callbacks = receiver.callbacks();
    assert!(!callbacks.is_empty(), "{at}");
    assert!(callbacks.iter().all(|callback| *callback.text == callbacks[0].text), "{at}");
    assert_eq!(callbacks[0].response()["license_keys"].as_array().unwrap().len(), 2, "{at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_survives_a_worker_failure_at_any_call() {
    let calls = calls_of_the_worker().await;
    assert!(calls.len() >= 9, "{calls:?}");
    for fault in [Fault::LoseRequest, Fault::LoseResponse] {
        let tried =
            calls.iter().map(|(operation, nth)| expect_filled_once_and_told(operation, *nth, fault.clone()));
        // Two run at a time, so that no call times out on a busy machine.
        stream::iter(tried).buffer_unordered(2).collect::<()>().await;
    }
}

/// A function stops at a call while it accepts an order. The shop gets 807, and later a callback. Or it gets
/// a refusal, and never a callback.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_never_gets_a_callback() {
    for fault in [Fault::LoseRequest, Fault::LoseResponse] {
        for (operation, count) in [("PutItem", 1), ("PutItem", 12), ("Sign", 12), ("TransactWriteItems", 12)]
        {
            let shop = Shop::open().await;
            let receiver = Receiver::start().await;
            shop.stock(1, 5).await;
            if operation == "TransactWriteItems" {
                shop.kms.disturb("Sign", vec![Fault::LoseRequest; 12]);
            }
            let proxy = if operation == "Sign" { &shop.kms } else { &shop.dynamodb };
            proxy.disturb(operation, vec![fault.clone(); count]);
            let answer = order(&shop, &receiver, "31", "2").await;
            shop.dynamodb.calm();
            shop.kms.calm();
            for _ in 0..4 {
                a_minute_passes(&shop).await;
            }
            let sold = 5 - shop.in_stock(1).await;
            let told = receiver.callbacks().len();
            let at = format!("{operation} {count} {fault:?}: {}", answer.text);
            match answer.code() {
                807 => assert_eq!((sold, told), (2, 1), "{at}"),
                _ if answer.json()["type"] == "/problems/nothing-was-sold" => {
                    assert_eq!((sold, told), (0, 0), "{at}");
                }
                _ => assert_eq!(answer.json()["type"], "/problems/outcome-unknown", "{at}"),
            }
        }
    }
}
