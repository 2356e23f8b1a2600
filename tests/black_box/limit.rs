//! Checks the limits of an API key: code 104, the requests that count, counting under faults, and a thief.

mod faults;
mod thief;

use std::collections::BTreeSet;

use keypool_domain::{Activity, ApiKey, ApiKeyRecord, ApiKeySettings, Endpoint};
use keypool_tests::{Receiver, Shop, ShopResponse};

const RANDOM: &str = "random-assign-license-keys";
const QUEUED: &str = "random-assign-license-keys-queued";

/// The API key of a shop, which may have a limit.
const KEY: &str = "limited-key";

/// Sets up an API key with every capability and these settings.
async fn add_api_key(shop: &Shop, key: &str, settings: ApiKeySettings) {
    let record = ApiKeyRecord {
        hash: key.parse::<ApiKey>().unwrap().hash(),
        name: "a test's".parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from(Endpoint::ALL),
        networks: vec![],
        valid_until: None,
        settings,
    };
    shop.add_api_key(record).await;
}

fn per_hour(keys: u32) -> ApiKeySettings {
    ApiKeySettings { keys_per_hour: keys.to_string().parse().ok(), ..ApiKeySettings::default() }
}

/// Opens a shop whose [`KEY`] has a limit of keys per hour, with a stock of product 1.
async fn shop_with_limit(keys: u32, stock: usize) -> Shop {
    let shop = Shop::open().await;
    shop.stock(1, stock).await;
    add_api_key(&shop, KEY, per_hour(keys)).await;
    shop
}

async fn post(shop: &Shop, endpoint: &str, form: &[(&str, &str)]) -> ShopResponse {
    shop.post_form(endpoint, &[&[("api_key", KEY)], form].concat()).await
}

async fn buy(shop: &Shop, quantity: &str) -> ShopResponse {
    post(shop, RANDOM, &[("product_id", "1"), ("quantity", quantity)]).await
}

/// Returns the count of [`KEY`] in the table.
async fn counted(shop: &Shop) -> u64 {
    let hash = KEY.parse::<ApiKey>().unwrap().hash();
    shop.store.hourly_count(hash).await.unwrap().map_or(0, |count| count.sum)
}

/// Checks a signed refusal beyond the limit. Returns the seconds to wait.
fn wait_of(response: &ShopResponse) -> i64 {
    assert_eq!((response.status, response.code()), (429, 104), "{}", response.text);
    let told = response.response();
    assert_eq!(
        (told["message"].as_str(), told.as_object().unwrap().len()),
        (Some("API key limit reached"), 3)
    );
    response.retry_after.as_ref().unwrap().parse().unwrap()
}

/// An endpoint, its parameters, their quantity, and the expected code.
type Sample<'a> = (&'a str, Vec<(&'a str, &'a str)>, u64, u64);

/// A request for each endpoint that hands out keys.
fn requests<'a>(url: &'a str, key: &'a str) -> [Sample<'a>; 4] {
    let order = [("product_id", "1"), ("quantity", "2")];
    [
        ("assign-license-key", vec![("license_key", key)], 1, 800),
        (RANDOM, order.to_vec(), 2, 803),
        ("generate", vec![("generator_id", "1"), ("quantity", "3")], 3, 815),
        (QUEUED, [&order[..], &[("webhook_url", url)]].concat(), 2, 807),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_that_hands_out_keys_has_the_limit() {
    let receiver = Receiver::start().await;
    for nth in 0..4 {
        let shop = shop_with_limit(3, 10).await;
        let (endpoint, form, keys, code) = requests(&receiver.url, "KEY-1-000000")[nth].clone();
        let done = post(&shop, endpoint, &form).await;
        assert_eq!(done.code(), code, "{endpoint}: {}", done.text);
        assert_eq!(counted(&shop).await, keys, "{endpoint}");
        // Buys the rest of the hour. The next key is one too many.
        let rest = (3 - keys).to_string();
        if keys < 3 {
            assert_eq!(buy(&shop, &rest).await.code(), 803, "{endpoint}");
        }
        let form = match endpoint {
            "assign-license-key" => vec![("license_key", "KEY-1-000001")],
            _ => form,
        };
        let refused = post(&shop, endpoint, &form).await;
        let wait = wait_of(&refused);
        assert!(shop.verifies(&refused, 1).await && refused.envelope_text("private_key_used") == "global");
        assert_eq!(counted(&shop).await, 3, "{endpoint}: refusals do not count");
        // The reported wait suffices; one second less does not.
        shop.clock.advance_seconds(wait - 1);
        assert_eq!(wait_of(&post(&shop, endpoint, &form).await), 1, "{endpoint}");
        shop.clock.advance_seconds(1);
        let again = post(&shop, endpoint, &form).await;
        // A random order may have sold the key meanwhile.
        assert!([code, 801].contains(&again.code()), "{endpoint}: {}", again.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_has_no_more_keys_than_the_api_key_allows() {
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock(1, 10).await;
    let settings = ApiKeySettings { keys_per_order: "2".parse().ok(), ..ApiKeySettings::default() };
    add_api_key(&shop, KEY, settings).await;
    for (endpoint, form, keys, code) in requests(&receiver.url, "KEY-1-000000") {
        let response = post(&shop, endpoint, &form).await;
        if keys > 2 {
            assert_eq!(wait_of(&response), 3_600, "{endpoint}");
        } else {
            assert_eq!(response.code(), code, "{endpoint}: {}", response.text);
        }
    }
    for endpoint in [RANDOM, QUEUED] {
        let order = [("product_id", "1"), ("quantity", "3"), ("webhook_url", receiver.url.as_str())];
        assert_eq!(wait_of(&post(&shop, endpoint, &order).await), 3_600);
    }
    // Keys that go into stock are not handed out.
    let list = serde_json::to_string(&["A", "B", "C"]).unwrap();
    let create = [("license_keys", list.as_str()), ("product_id", "1"), ("status", "available")];
    let create = [&create[..], &[("activation_limit", "0"), ("validity", "0")]].concat();
    assert_eq!(post(&shop, "create-license-keys", &create).await.code(), 900);
    assert!(
        !shop.dynamodb.take_operations().iter().any(|call| call.ends_with("Limit")),
        "these requests count nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_keys_than_an_hour_allows_are_refused_at_once() {
    let shop = shop_with_limit(3, 10).await;
    assert_eq!(wait_of(&buy(&shop, "4").await), 3_600);
    assert_eq!((counted(&shop).await, buy(&shop, "3").await.code()), (0, 803));
}

/// Checks run in this order: parameters, product or generator, limit, stock.
#[tokio::test(flavor = "multi_thread")]
async fn code_104_comes_after_the_product_and_before_the_stock() {
    let shop = shop_with_limit(1, 2).await;
    assert_eq!(buy(&shop, "1").await.code(), 803);
    for is_known in [true, false] {
        if !is_known {
            // This environment has not read the count.
            let other = shop.environment(1, 7, 0).await;
            let form = [("api_key", KEY), ("product_id", "1"), ("quantity", "1"), ("generate", "1")];
            assert_eq!(other.post(RANDOM, &form, None).await.unwrap().code(), 104);
            let form = [("api_key", KEY), ("product_id", "3"), ("quantity", "1")];
            assert_eq!(other.post(RANDOM, &form, None).await.unwrap().code(), 104, "not 802");
            let form = [("api_key", KEY), ("license_key", "NO-SUCH-KEY")];
            assert_eq!(other.post("assign-license-key", &form, None).await.unwrap().code(), 104, "not 801");
            continue;
        }
        for (endpoint, form, code) in [
            (RANDOM, vec![("product_id", "1"), ("quantity", "x")], 804),
            (RANDOM, vec![("product_id", "77"), ("quantity", "1")], 805),
            (RANDOM, vec![("product_id", "1"), ("quantity", "1")], 104),
            (RANDOM, vec![("product_id", "2"), ("quantity", "1")], 104),
            (RANDOM, vec![("product_id", "3"), ("quantity", "1"), ("generate", "1")], 104),
            ("generate", vec![("generator_id", "77"), ("quantity", "1")], 806),
            ("generate", vec![("generator_id", "1"), ("quantity", "0")], 816),
            ("generate", vec![("generator_id", "1"), ("quantity", "1")], 104),
            ("assign-license-key", vec![("license_key", "")], 804),
            ("assign-license-key", vec![("license_key", "KEY-1-000000")], 104),
            ("assign-license-key", vec![("license_key", "NO-SUCH-KEY")], 104),
        ] {
            let response = post(&shop, endpoint, &form).await;
            assert_eq!(response.code(), code, "{endpoint} {form:?}: {}", response.text);
        }
    }
    assert_eq!(counted(&shop).await, 1);
}

/// The first environment has no count in its cache, so it reads the count before each refusal. A refusal
/// reveals the stock only within the limit.
#[tokio::test(flavor = "multi_thread")]
async fn within_the_limit_refusals_are_not_counted() {
    let shop = shop_with_limit(1, 0).await;
    for (endpoint, form, code) in [
        (RANDOM, vec![("product_id", "2"), ("quantity", "1")], 802),
        (RANDOM, vec![("product_id", "3"), ("quantity", "1"), ("generate", "1")], 806),
        ("assign-license-key", vec![("license_key", "NO-SUCH-KEY")], 801),
        (RANDOM, vec![("product_id", "77"), ("quantity", "1")], 805),
        ("generate", vec![("generator_id", "77"), ("quantity", "1")], 806),
    ] {
        let response = post(&shop, endpoint, &form).await;
        assert_eq!(response.code(), code, "{endpoint}: {}", response.text);
    }
    assert_eq!(counted(&shop).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_neither_refused_nor_counted() {
    let receiver = Receiver::start().await;
    for nth in 0..4 {
        let shop = shop_with_limit(3, 10).await;
        let (endpoint, form, keys, code) = requests(&receiver.url, "KEY-1-000000")[nth].clone();
        let form = [&[("api_key", KEY)], &form[..]].concat();
        let once = async |key: &str| {
            shop.send(shop.request(endpoint).header("idempotency-key", key).form(&form)).await
        };
        let first = once("a").await;
        assert_eq!((first.code(), counted(&shop).await), (code, keys), "{endpoint}: {}", first.text);
        assert_eq!((once("a").await.text, counted(&shop).await), (first.text.clone(), keys), "{endpoint}");
        if keys < 3 {
            assert_eq!(buy(&shop, &(3 - keys).to_string()).await.code(), 803);
        }
        // Beyond the limit, old responses are repeated and new requests are refused.
        wait_of(&once("b").await);
        assert_eq!(once("a").await.text, first.text, "{endpoint}");
        // A refusal is not stored.
        shop.clock.advance_seconds(62 * 60);
        let later = once("b").await;
        let expected = if code == 800 { 801 } else { code };
        assert_eq!(later.code(), expected, "{endpoint}: {}", later.text);
    }
}

/// An identifier works like the header if the API key has that setting.
#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_by_identifier_is_not_refused() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    add_api_key(&shop, KEY, ApiKeySettings { once_per_identifier: true, ..per_hour(1) }).await;
    let order = [("product_id", "1"), ("quantity", "1"), ("identifier", "31")];
    let first = post(&shop, RANDOM, &order).await;
    assert_eq!(first.code(), 803, "{}", first.text);
    assert_eq!((post(&shop, RANDOM, &order).await.text, counted(&shop).await), (first.text, 1));
    wait_of(&post(&shop, RANDOM, &order[..2]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_order_counts_when_it_is_accepted() {
    let (shop, receiver) = (shop_with_limit(5, 0).await, Receiver::start().await);
    let order = [("product_id", "1"), ("quantity", "4"), ("webhook_url", receiver.url.as_str())];
    assert_eq!(post(&shop, QUEUED, &order).await.code(), 807);
    assert_eq!(counted(&shop).await, 4, "a waiting order counts");
    wait_of(&post(&shop, QUEUED, &order).await);
    shop.process_orders().await;
    shop.stock(1, 4).await;
    let _ = shop.dynamodb.take_calls();
    shop.sweep_orders().await;
    shop.process_orders().await;
    let rows: usize = receiver.rows().iter().map(|(_, rows)| rows.len()).sum();
    assert_eq!((rows, counted(&shop).await), (4, 4), "a filled order does not count again");
    assert!(!shop.dynamodb.take_operations().iter().any(|call| call.ends_with("Limit")));
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_have_counts_of_their_own() {
    let shop = shop_with_limit(1, 5).await;
    add_api_key(&shop, "another-key", per_hour(1)).await;
    let order = |api_key| [("api_key", api_key), ("product_id", "1"), ("quantity", "1")];
    for api_key in [KEY, "another-key"] {
        assert_eq!(shop.post_form(RANDOM, &order(api_key)).await.code(), 803);
        wait_of(&shop.post_form(RANDOM, &order(api_key)).await);
    }
    assert_eq!(shop.post(RANDOM, &order(KEY)[1..]).await.code(), 803, "the demo API key has no limit");
}

/// Beyond the limit, an environment refuses from its cache. A flood costs neither DynamoDB nor KMS.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_beyond_the_limit_costs_no_call() {
    let shop = shop_with_limit(1, 50).await;
    assert_eq!(buy(&shop, "1").await.code(), 803);
    let first = buy(&shop, "1").await;
    wait_of(&first);
    let _ = (shop.dynamodb.take_calls(), shop.kms.take_calls());
    let flood = futures_util::future::join_all((0..20).map(|_| buy(&shop, "1"))).await;
    assert!(flood.iter().all(|response| response.text == first.text), "signed once a second");
    assert_eq!((shop.dynamodb.take_operations(), shop.kms.take_operations()), (vec![], vec![]));
}

/// A change of the setting applies once warm functions have read it.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_limit_applies_to_the_current_hour() {
    let shop = shop_with_limit(2, 50).await;
    assert_eq!(buy(&shop, "2").await.code(), 803);
    wait_of(&buy(&shop, "1").await);
    let hash = KEY.parse::<ApiKey>().unwrap().hash();
    for (limit, quantity, code) in [(5, "3", 803), (3, "1", 104), (6, "1", 803)] {
        let before = shop.store.find::<ApiKeyRecord>(hash).await.unwrap().unwrap();
        let after = ApiKeyRecord { settings: per_hour(limit), ..before.clone() };
        let entry = keypool_domain::AuditEntry {
            id: "id".parse().unwrap(),
            at: keypool_domain::Clock::now(&*shop.clock),
            principal: keypool_domain::Principal::new("a test"),
            action: "api-key.update".to_owned(),
            subject: "a test's".to_owned(),
            before: None,
            after: None,
        };
        shop.store.update(&before, &after, &entry).await.unwrap();
        shop.clock.advance_seconds(60);
        assert_eq!(buy(&shop, quantity).await.code(), code, "{limit}");
    }
}
