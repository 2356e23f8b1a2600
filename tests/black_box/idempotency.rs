//! Executes a request with an `Idempotency-Key` once, for any number of repetitions and any fault.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use keypool_domain::requests::{RandomAssignLicenseKeys, Repeatable as _};
use keypool_domain::{ApiKey, Clock as _, Endpoint, Parameters, RequestId, Status, Value};
use keypool_store::{Recorded, Sale, SaleOutcome, StoreError};
use keypool_tests::{API_KEY, Fault, Shop, ShopResponse};
use serde_json::json;

const RANDOM: &str = "random-assign-license-keys";
const ONE: [(&str, &str); 3] = [("product_id", "1"), ("quantity", "1"), ("owner_name", "Test User")];
const CREATE: [(&str, &str); 5] = [
    ("license_keys", r#"["ONCE-1", "ONCE-2", "ONCE-2", "ONCE-3"]"#),
    ("product_id", "1"),
    ("activation_limit", "0"),
    ("validity", "0"),
    ("status", "available"),
];

/// An endpoint, its parameters, and the expected code.
type Case<'a> = (&'static str, Vec<(&'static str, &'a str)>, u64);

/// A request for each endpoint and for each way to sell.
fn requests(named: &str) -> Vec<Case<'_>> {
    let order =
        |quantity, generate| vec![("product_id", "1"), ("quantity", quantity), ("generate", generate)];
    vec![
        ("create-license-keys", CREATE.to_vec(), 900),
        ("generate", vec![("generator_id", "1"), ("quantity", "7")], 815),
        ("assign-license-key", vec![("license_key", named), ("owner_name", "Test User")], 800),
        (RANDOM, order("1", "0"), 803),
        (RANDOM, order("4", "0"), 803),
        (RANDOM, order("99", "1"), 803),
        (RANDOM, order("120", "1"), 803),
    ]
}

/// Returns every record of the table except counters and claims.
async fn table(shop: &Shop) -> Vec<String> {
    let table = shop.dynamodb_call("Scan", &json!({"TableName": "keypool"})).await;
    let items = table["Items"].as_array().unwrap().iter();
    let kept = items.filter(|item| !["IDEMPOTENCY", "COUNTER"].contains(&item["sk"]["S"].as_str().unwrap()));
    let mut kept: Vec<String> = kept.map(ToString::to_string).collect();
    kept.sort();
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_gets_the_same_bytes_and_does_nothing() {
    let shop = Shop::open().await;
    let named = shop.stock(1, 20).await.remove(7);
    for (endpoint, parameters, code) in requests(&named) {
        let key = format!("{endpoint} {parameters:?}").replace('"', "'");
        let key = &key[..key.len().min(255)];
        let first = shop.post_once(endpoint, key, &parameters).await;
        assert_eq!(first.code(), code, "{}", first.text);
        let before = table(&shop).await;
        shop.clock.advance_seconds(3_600);
        for _ in 0..2 {
            assert_eq!(shop.post_once(endpoint, key, &parameters).await.text, first.text);
        }
        assert_eq!(table(&shop).await, before, "{endpoint}");
        assert!(shop.verifies(&first, 1).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_needs_neither_kms_nor_the_product() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    let first = shop.post_once(RANDOM, "a", &ONE).await;
    let update = json!({
        "TableName": "keypool",
        "Key": {"pk": {"S": "PRODUCT#1"}, "sk": {"S": "PRODUCT"}},
        "UpdateExpression": "SET #status = :inactive",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":inactive": {"S": "inactive"}},
    });
    shop.dynamodb_call("UpdateItem", &update).await;
    shop.clock.advance_seconds(3_600);
    shop.kms.hang_up();
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.text, first.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn format_and_ignored_parameters_do_not_change_a_request() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    let first = shop.post_once(RANDOM, "a", &ONE).await;
    let json = json!({"product_id": 1, "quantity": " 1 ", "generate": false, "owner_name": "Test User",
        "unknown": "anything", "webhook_url": "https://shop.example/hook"});
    let request = shop.request(RANDOM).header("Idempotency-Key", "a").bearer_auth(API_KEY).json(&json);
    let again = shop.send(request).await;
    // For `generate`, an absent value equals `0`.
    assert_eq!(again.text, first.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_parameters_under_the_same_key_are_422() {
    let shop = Shop::open().await;
    let named = shop.stock(1, 20).await.remove(0);
    for (number, (endpoint, parameters, code)) in requests(&named).into_iter().enumerate() {
        let key = format!("key {number}");
        assert_eq!(shop.post_once(endpoint, &key, &parameters).await.code(), code);
        let before = table(&shop).await;
        let mut other = parameters.clone();
        match endpoint {
            "create-license-keys" => other[0].1 = r#"["ONCE-1", "ONCE-2", "ONCE-3"]"#,
            "generate" => other[1].1 = "8",
            _ => other.push(("owner_email", "other@shop.example")),
        }
        let refused = shop.post_once(endpoint, &key, &other).await;
        assert_eq!(
            (refused.status, refused.json()["title"].as_str().unwrap()),
            (422, "Unprocessable Content")
        );
        assert_eq!(table(&shop).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_api_key_has_its_own_idempotency_keys() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    let secret: ApiKey = "another-shop".parse().unwrap();
    shop.add_api_key(keypool_domain::ApiKeyRecord {
        hash: secret.hash(),
        name: "another".parse().unwrap(),
        activity: keypool_domain::Activity::Active,
        capabilities: Endpoint::ALL.into(),
        networks: vec![],
        valid_until: None,
        settings: keypool_domain::ApiKeySettings::default(),
    })
    .await;
    let first = shop.post_once(RANDOM, "a", &ONE).await;
    let form = [&[("api_key", "another-shop")][..], &ONE].concat();
    let other_shop = shop.send(shop.request(RANDOM).header("idempotency-key", "a").form(&form)).await;
    assert_eq!(other_shop.code(), 803);
    assert_ne!(other_shop.license_keys(), first.license_keys());
    assert_eq!(
        shop.post_once("generate", "a", &[("generator_id", "1"), ("quantity", "1")]).await.code(),
        815
    );
    assert_eq!(shop.in_stock(1).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_key_is_400_and_does_nothing() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    let long = "k".repeat(256);
    for key in [&b""[..], b"\xc3\xa9", b"a\tb", long.as_bytes()] {
        for endpoint in Endpoint::ALL {
            let value = reqwest::header::HeaderValue::from_bytes(key).unwrap();
            let form = [&[("api_key", API_KEY)][..], &ONE].concat();
            let request = shop.request(endpoint.name()).header("idempotency-key", value).form(&form);
            let refused = shop.send(request).await;
            assert_eq!(refused.status, 400, "{key:?}");
            assert!(refused.json()["detail"].as_str().unwrap().contains("Idempotency-Key must be 1 to 255"));
        }
    }
    assert_eq!(shop.in_stock(1).await, 5);
}

/// Takes the first part of a large order, like an attempt that is still under way.
async fn take_a_part(shop: &Shop, key: &str, parameters: &[(&str, &str)], lease: Duration) -> Sale {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), Value::Text((*value).to_owned()));
    let parameters: Parameters = parameters.iter().map(text).collect();
    let asked = RandomAssignLicenseKeys::try_from(&parameters).unwrap();
    let api_key = API_KEY.parse::<ApiKey>().unwrap().hash();
    let id = RequestId::new(api_key, Endpoint::RandomAssignLicenseKeys, &key.parse().unwrap());
    let slot = shop.store.recall(id, asked.fingerprint(), None, shop.clock.now()).await.unwrap();
    let assignment = shop.sale(None).assignment().clone();
    let mut sale = Sale::new(asked.product_id, assignment, lease, Some(slot));
    let candidates = shop.draw(2).await.candidates;
    let taken = shop.store.take(&mut sale, &candidates[..2], shop.clock.now()).await;
    assert_eq!(taken, Ok(SaleOutcome::Done));
    sale
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_409_until_the_lease_ends_then_takes_over() {
    const THREE: [(&str, &str); 2] = [("product_id", "1"), ("quantity", "3")];
    let shop = Shop::builder().with_sale_keys_max(2).open().await;
    shop.stock(1, 5).await;
    let first = take_a_part(&shop, "a", &THREE, Duration::from_mins(1)).await;
    let conflict = shop.post_once(RANDOM, "a", &THREE).await;
    assert_eq!((conflict.status, conflict.json()["title"].as_str().unwrap()), (409, "Conflict"));
    let other = [("product_id", "1"), ("quantity", "2")];
    assert_eq!(shop.post_once(RANDOM, "a", &other).await.status, 422, "waiting does not help");
    assert_eq!(shop.draw(5).await.candidates.len(), 3);

    // The lease of the first attempt ends, so it counts as dead.
    shop.clock.advance_seconds(60);
    let answer = shop.post_once(RANDOM, "a", &THREE).await;
    assert_eq!(answer.code(), 803);

    // The first attempt continues. Its writes fail.
    let candidates = shop.draw(1).await.candidates;
    let late = shop.finish(&first, &candidates[..1]).await;
    assert!(matches!(late, Err(StoreError::Recorded(Recorded::Answered(_)))), "{late:?}");
    shop.store.conclude(&first, shop.clock.now()).await.unwrap();
    assert_eq!(shop.draw(5).await.candidates.len(), 2);
    assert_eq!(shop.post_once(RANDOM, "a", &THREE).await.text, answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_concurrent_repetitions_make_one_sale() {
    for (quantity, n) in [("1", 1), ("5", 5), ("120", 120)] {
        let shop = Shop::open().await;
        shop.stock(1, 300).await;
        let order = [("product_id", "1"), ("quantity", quantity)];
        let responses = join_all((0..20).map(|_| shop.post_once(RANDOM, "a", &order))).await;
        let (answered, refused): (Vec<&ShopResponse>, Vec<&ShopResponse>) =
            responses.iter().partition(|response| response.status == 200);
        assert!(refused.iter().all(|response| response.status == 409), "{refused:?}");
        let answers: HashSet<&str> = answered.iter().map(|response| response.text.as_str()).collect();
        assert_eq!(answers.len(), 1);
        assert_eq!(answered[0].license_keys().len(), n);
        assert_eq!(shop.draw(300).await.candidates.len(), 300 - n);
        assert_eq!(shop.post_once(RANDOM, "a", &order).await.text, answered[0].text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_concurrent_creations_make_one() {
    let generate = vec![("generator_id", "1"), ("quantity", "60")];
    for (endpoint, parameters, stored) in
        [("create-license-keys", CREATE.to_vec(), 3), ("generate", generate, 60)]
    {
        let shop = Shop::open().await;
        let responses = join_all((0..20).map(|_| shop.post_once(endpoint, "a", &parameters))).await;
        let (answered, refused): (Vec<&ShopResponse>, Vec<&ShopResponse>) =
            responses.iter().partition(|response| response.status == 200);
        assert!(refused.iter().all(|response| response.status == 409), "{refused:?}");
        let answers: HashSet<&str> = answered.iter().map(|response| response.text.as_str()).collect();
        assert_eq!(answers.len(), 1, "{endpoint}");
        assert_eq!(shop.in_stock(1).await, stored);
        assert_eq!(shop.post_once(endpoint, "a", &parameters).await.text, answered[0].text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_remembered_for_24_hours() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    let first = shop.post_once(RANDOM, "a", &ONE).await;
    shop.clock.advance_seconds(24 * 60 * 60 - 1);
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.text, first.text);
    shop.clock.advance_seconds(1);
    let second = shop.post_once(RANDOM, "a", &ONE).await;
    assert_eq!(second.code(), 803);
    assert_ne!(second.license_keys(), first.license_keys());
    assert_eq!(shop.in_stock(1).await, 3);
}

/// The day starts with the response, not with an earlier attempt that failed.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_sets_how_long_responses_are_kept() {
    let shop = Shop::open().await;
    shop.stock(1, 300).await;
    let remember = Some(Duration::from_hours(48));
    shop.add_api_key(keypool_domain::ApiKeyRecord {
        hash: "long".parse::<ApiKey>().unwrap().hash(),
        name: "long".parse().unwrap(),
        activity: keypool_domain::Activity::Active,
        capabilities: Endpoint::ALL.into(),
        networks: vec![],
        valid_until: None,
        settings: keypool_domain::ApiKeySettings { remember, ..keypool_domain::ApiKeySettings::default() },
    })
    .await;
    // One key, and an order whose parts are handed over after the commit.
    for quantity in ["1", "120"] {
        let order = async || {
            let form = [("product_id", "1"), ("quantity", quantity), ("api_key", "long")];
            let request = shop.request(RANDOM).header("Idempotency-Key", quantity).form(&form);
            shop.send(request).await.text
        };
        let first = order().await;
        shop.clock.advance_seconds(48 * 3_600 - 1);
        assert_eq!(order().await, first, "{quantity}");
        shop.clock.advance_seconds(2);
        assert_ne!(order().await, first, "{quantity}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_is_remembered_for_24_hours_from_its_response() {
    const DAY: i64 = 24 * 60 * 60;
    let shop = Shop::open().await;
    shop.dynamodb.disturb("BatchExecuteStatement", [Fault::error("ValidationException")]);
    assert_eq!(shop.post_once("create-license-keys", "a", &CREATE).await.status, 500);
    shop.clock.advance_seconds(DAY - 60);
    let answer = shop.post_once("create-license-keys", "a", &CREATE).await;
    assert_eq!(answer.code(), 900, "{}", answer.text);
    shop.clock.advance_seconds(DAY - 60);
    assert_eq!(shop.post_once("create-license-keys", "a", &CREATE).await.text, answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_not_remembered() {
    let shop = Shop::open().await;
    let many = [("product_id", "3"), ("quantity", "150")];
    let fresh = [("product_id", "3"), ("quantity", "1"), ("generate", "1")];
    let faulty = [("product_id", "3"), ("quantity", "0")];
    let unknown = [("product_id", "9"), ("quantity", "1")];
    let named = [("license_key", "KEY-3-000000")];
    let few = [("product_id", "3"), ("quantity", "1")];
    for (endpoint, parameters, code) in [
        (RANDOM, &many[..], 802),
        (RANDOM, &few, 802),
        (RANDOM, &fresh, 806),
        (RANDOM, &faulty, 804),
        (RANDOM, &unknown, 805),
        ("assign-license-key", &named, 801),
    ] {
        let refused = shop.post_once(endpoint, "a", parameters).await;
        assert_eq!(refused.code(), code, "{}", refused.text);
    }
    let table = shop.dynamodb_call("Scan", &json!({"TableName": "keypool"})).await;
    let claims = table["Items"].as_array().unwrap().iter().filter(|item| item["sk"]["S"] == "IDEMPOTENCY");
    assert_eq!(claims.count(), 0, "refusals leave no record");
    shop.stock(3, 200).await;
    assert_eq!(shop.post_once("assign-license-key", "a", &named).await.code(), 800);
    assert_eq!(shop.post_once(RANDOM, "a", &many).await.code(), 803);
}

fn half_way() -> Vec<Fault> {
    [vec![Fault::Pass; 2], vec![Fault::error("ValidationException"); 8]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_fails_half_way_is_resumed() {
    let shop = Shop::open().await;
    let keys: Vec<String> = (0..60).map(|n| format!("HALF-{n:03}")).collect();
    let keys = serde_json::to_string(&keys).unwrap();
    let mut parameters = CREATE.to_vec();
    parameters[0].1 = &keys;
    // Two batches of 25 keys pass, and the third fails.
    shop.dynamodb.disturb("BatchExecuteStatement", half_way());
    assert_eq!(shop.post_once("create-license-keys", "a", &parameters).await.status, 500);
    shop.dynamodb.calm();
    let there = shop.in_stock(1).await;
    assert!(0 < there && there < 60, "{there}");
    // A key that is sold before the repetition still counts as created.
    let sold = shop.post(RANDOM, &ONE).await.license_keys().remove(0);
    let answer = shop.post_once("create-license-keys", "a", &parameters).await;
    assert_eq!(
        (answer.response()["created"].as_u64(), answer.response()["duplicate"].as_u64()),
        (Some(60), Some(0))
    );
    assert_eq!(shop.in_stock(1).await, 59);
    assert_eq!(shop.status(&sold).await, Status::Assigned);
    assert_eq!(shop.post_once("create-license-keys", "a", &parameters).await.text, answer.text);
    assert_eq!(shop.post("create-license-keys", &parameters).await.code(), 902);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_fails_half_way_makes_no_further_keys() {
    let shop = Shop::open().await;
    let parameters = [("generator_id", "1"), ("quantity", "60")];
    shop.dynamodb.disturb("BatchExecuteStatement", half_way());
    assert_eq!(shop.post_once("generate", "a", &parameters).await.status, 500);
    shop.dynamodb.calm();
    let there = shop.in_stock(1).await;
    assert!(0 < there && there < 60, "{there}");
    let others = [("generator_id", "1"), ("quantity", "61")];
    assert_eq!(
        shop.post_once("generate", "a", &others).await.status,
        422,
        "other parameters make another request"
    );
    let answer = shop.post_once("generate", "a", &parameters).await;
    assert_eq!(answer.license_keys().len(), 60);
    assert_eq!(shop.in_stock(1).await, 60, "exactly these keys are stored");
    for key in answer.license_keys() {
        assert_eq!(shop.status(&key).await, Status::Available);
    }
    assert_eq!(shop.post_once("generate", "a", &parameters).await.text, answer.text);
}

/// Otherwise both attempts would make keys: the first the keys in its response, the second new ones.
#[tokio::test(flavor = "multi_thread")]
async fn takeover_uses_a_response_stored_at_the_last_moment() {
    let shop = Shop::open().await;
    let parameters = [("generator_id", "1"), ("quantity", "60")];
    shop.dynamodb.disturb("BatchExecuteStatement", half_way());
    assert_eq!(shop.post_once("generate", "a", &parameters).await.status, 500);
    shop.dynamodb.calm();

    // The second attempt reads the record in its state before the first attempt stored the response.
    let table = shop.dynamodb_call("Scan", &json!({"TableName": "keypool"})).await;
    let mut items = table["Items"].as_array().unwrap().iter();
    let mut unplanned = items.find(|item| item["sk"]["S"] == "IDEMPOTENCY").unwrap().clone();
    for name in ["payload", "payload_parts", "private_key_used", "signature"] {
        assert!(unplanned.as_object_mut().unwrap().remove(name).is_some(), "{name}");
    }
    shop.dynamodb.disturb("GetItem", [Fault::Answer(json!({"Item": unplanned}))]);
    assert_eq!(shop.post_once("generate", "a", &parameters).await.license_keys().len(), 60);
    assert!(shop.dynamodb.is_undisturbed());
    assert_eq!(shop.in_stock(1).await, 60, "exactly these keys are stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_repeated_after_every_response_was_lost() {
    for (quantity, n) in [("1", 1), ("3", 3)] {
        let shop = Shop::open().await;
        shop.stock(1, 10).await;
        shop.dynamodb.disturb("TransactWriteItems", vec![Fault::LoseResponse; 5]);
        let order = [("product_id", "1"), ("quantity", quantity)];
        let answer = shop.post_once(RANDOM, "a", &order).await;
        assert_eq!(answer.code(), 803, "{}", answer.text);
        assert!(shop.dynamodb.is_undisturbed());
        assert_eq!(shop.post_once(RANDOM, "a", &order).await.text, answer.text);
        assert_eq!(shop.in_stock(1).await, 10 - n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_does_not_delay_its_repetition() {
    let shop = Shop::open().await;
    shop.stock(1, 10).await;
    shop.kms.disturb("Sign", [Fault::error("DisabledException")]);
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.status, 503);
    // The repetition gets no 409 and does not wait.
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.code(), 803);
    assert_eq!(shop.in_stock(1).await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_fills_several_items_is_remembered() {
    let shop = Shop::open().await;
    // Keys of 255 characters of three bytes each, which do not compress.
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from_u32(0x4e00 + u32::try_from(state >> 51).unwrap()).unwrap()
    };
    let keys: Vec<String> = (0..1_000).map(|_| (0..255).map(|_| letter()).collect()).collect();
    for some in keys.chunks(500) {
        let some = serde_json::to_string(some).unwrap();
        let mut parameters = CREATE.to_vec();
        parameters[0].1 = &some;
        assert_eq!(
            shop.post_multipart("create-license-keys", &[&[("api_key", API_KEY)][..], &parameters].concat())
                .await
                .response()["created"],
            500
        );
    }
    let order = [("product_id", "1"), ("quantity", "1000")];
    let first = shop.post_once(RANDOM, "a", &order).await;
    assert_eq!(first.license_keys().len(), 1_000, "{:.300}", first.text);
    let _ = shop.dynamodb.take_calls();
    assert_eq!(shop.post_once(RANDOM, "a", &order).await.text, first.text);
    let operations = shop.dynamodb.take_operations();
    let reads: Vec<&String> = operations.iter().filter(|operation| *operation != "Query").collect();
    assert_eq!(reads, ["GetItem", "BatchGetItem"], "the draw runs beside them");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_costs_a_read_beside_the_draw() {
    let shop = Shop::open().await;
    shop.draws.start_in_first_quarter();
    shop.stock_in_bulk("1".parse().unwrap(), 100).await;
    shop.post(RANDOM, &ONE).await;
    let _ = (shop.dynamodb.take_calls(), shop.kms.take_calls());
    shop.post_once(RANDOM, "a", &ONE).await;
    let calls = shop.dynamodb.take_calls();
    let mut operations: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
    operations[..2].sort_unstable();
    // The read of the record runs beside the draw. One transaction writes key and record, each at twice the
    // units.
    assert_eq!(operations, ["GetItem", "Query", "QueryLine", "TransactWriteItems"]);
    assert_eq!((calls[3].table_units, calls[3].index_units), (4.0, 1.0));
    assert_eq!(shop.kms.take_calls().len(), 1);
    shop.post_once(RANDOM, "a", &ONE).await;
    let mut operations = shop.dynamodb.take_operations();
    operations.sort();
    assert_eq!(operations, ["GetItem", "Query"]);
    assert_eq!(shop.kms.take_calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inactive_api_key_gets_no_saved_response() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.code(), 803);
    let hash = API_KEY.parse::<ApiKey>().unwrap().hash();
    let switch_off = json!({
        "TableName": "keypool",
        "Key": {"pk": {"S": format!("APIKEY#{hash}")}, "sk": {"S": "APIKEY"}},
        "UpdateExpression": "SET #status = :inactive",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":inactive": {"S": "inactive"}},
    });
    shop.dynamodb_call("UpdateItem", &switch_off).await;
    shop.clock.advance_seconds(60);
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.code(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_does_not_hold_the_idempotency_key() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    assert_eq!(shop.post_once(RANDOM, "order-number-4711", &ONE).await.code(), 803);
    let table = shop.dynamodb_call("Scan", &json!({"TableName": "keypool"})).await.to_string();
    assert!(table.contains("IDEMPOTENCY#") && !table.contains("order-number-4711"));
}
