//! Injects the rare faults of AWS that the embedded services lack: lost responses, conflicting transactions,
//! throttling. No key is sold twice, none is lost, and the buyer gets a response.

use keypool_domain::requests::{RandomAssignLicenseKeys, Repeatable as _};
use keypool_domain::{ApiKey, Clock as _, Endpoint, Owner, ProductId, Quantity, RequestId, Status};
use keypool_store::{Recorded, SaleOutcome, StoreError};
use keypool_tests::{API_KEY, Fault, Shop, ShopResponse};
use lambda_http::http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

async fn order(shop: &Shop, quantity: &str) -> ShopResponse {
    shop.post("random-assign-license-keys", &[("product_id", "1"), ("quantity", quantity)]).await
}

/// Expects that the order got its keys, and that exactly these left the stock.
async fn expect_sold(shop: &Shop, response: &ShopResponse, quantity: usize, left: usize) {
    assert_eq!(response.code(), 803, "{}", response.text);
    assert!(shop.dynamodb.is_undisturbed(), "all faults were used");
    let keys = response.license_keys();
    assert_eq!(keys.len(), quantity);
    for key in keys {
        assert_eq!(shop.status(&key).await, Status::Assigned);
    }
    assert_eq!(shop.in_stock(1).await, left);
}

/// The write that sells, by the size of the order.
const SALES: [(&str, &str, usize); 2] = [("UpdateItem", "1", 1), ("TransactWriteItems", "3", 3)];

fn conflict(operation: &str) -> Fault {
    match operation {
        "TransactWriteItems" => Fault::cancelled(&["None", "TransactionConflict", "None"]),
        _ => Fault::error("TransactionConflictException"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_whose_response_is_lost_is_made_once() {
    for (operation, quantity, n) in SALES {
        let shop = Shop::open().await;
        shop.stock(1, 10).await;
        shop.dynamodb.disturb(operation, [Fault::LoseResponse]);
        let response = order(&shop, quantity).await;
        expect_sold(&shop, &response, n, 10 - n).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_repeated_until_it_is_answered() {
    for (operation, quantity, n) in SALES {
        let shop = Shop::open().await;
        shop.stock(1, 10).await;
        shop.dynamodb.disturb(operation, vec![Fault::LoseResponse; 5]);
        let _ = shop.dynamodb.take_calls();
        let response = order(&shop, quantity).await;
        let operations = shop.dynamodb.take_operations();
        let expected = [vec!["BatchGetItem"], vec![operation; 6]].concat();
        let operations: Vec<&str> =
            operations.iter().map(String::as_str).filter(|name| !name.starts_with("Query")).collect();
        assert_eq!(operations, expected);
        expect_sold(&shop, &response, n, 10 - n).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_arrive_after_their_repetition_sell_nothing_more() {
    for (operation, quantity, n) in SALES {
        let shop = Shop::open().await;
        shop.stock(1, 10).await;
        shop.dynamodb.disturb(operation, vec![Fault::Postpone; 5]);
        let response = order(&shop, quantity).await;
        let mut keys = Vec::new();
        for key in response.license_keys() {
            keys.push(shop.stored(&key).await);
        }
        let answers = shop.dynamodb.deliver().await;
        assert_eq!(answers.len(), 5);
        assert!(answers.iter().all(StatusCode::is_success), "{answers:?}");
        expect_sold(&shop, &response, n, 10 - n).await;
        for key in keys {
            assert_eq!(shop.stored(key.license_key.as_str()).await, key, "unchanged");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_arrive_after_the_next_sale_are_refused() {
    for (operation, quantity, n) in SALES {
        let shop = Shop::builder().with_checkout_timeouts().open().await;
        shop.stock(1, n).await;
        shop.dynamodb.disturb(operation, vec![Fault::Postpone; 500]);
        let response = order(&shop, quantity).await;
        assert_eq!(response.problem(), (503, "/problems/outcome-unknown".to_owned()));
        shop.dynamodb.calm();
        let next = order(&shop, quantity).await;
        expect_sold(&shop, &next, n, 0).await;
        let answers = shop.dynamodb.deliver().await;
        assert!(answers.len() > 5 && answers.iter().all(StatusCode::is_client_error), "{answers:?}");
        expect_sold(&shop, &next, n, 0).await;
    }
}

/// A process that was frozen may go on after its deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_after_its_deadline_has_four_copies() {
    for (lost, is_sold) in [(3, true), (4, false)] {
        let shop = Shop::open().await;
        let key = shop.stock(1, 1).await.remove(0);
        let seen = shop.stored(&key).await;
        shop.dynamodb.disturb("UpdateItem", vec![Fault::LoseRequest; lost]);
        let (response, now, deadline) = (shop.unsigned_response(), shop.clock.now(), Instant::now());
        let store = shop.operators_store();
        let outcome = store.finish(&shop.sale(None), &[seen], &response, now, deadline).await;
        assert!(shop.dynamodb.is_undisturbed(), "{outcome:?}");
        if is_sold {
            assert_eq!(outcome, Ok(SaleOutcome::Done));
        } else {
            assert!(matches!(outcome, Err(StoreError::OutcomeUnknown { .. })), "{outcome:?}");
        }
    }
}

/// Two attempts at one request have read that there is no record. One sells, and the other fails.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fails_finds_the_sale_of_another() {
    let shop = Shop::open().await;
    let keys = shop.stock(1, 2).await;
    let id = RequestId::new(
        API_KEY.parse::<ApiKey>().unwrap().hash(),
        Endpoint::RandomAssignLicenseKeys,
        &"k".parse().unwrap(),
    );
    let asked = RandomAssignLicenseKeys {
        product_id: ProductId::MIN,
        quantity: Quantity::MIN,
        generate: false,
        owner: Owner::default(),
        identifier: None,
    };
    let now = shop.clock.now();
    let slot = shop.store.recall(id, asked.fingerprint(), None, now).await.unwrap();
    let (first, second) = (shop.sale(Some(slot.clone())), shop.sale(Some(slot)));
    let (seen, other) = (shop.stored(&keys[0]).await, shop.stored(&keys[1]).await);
    let response = shop.unsigned_response();
    let store = shop.operators_store();
    for (fault, is_found) in [(Fault::error("ThrottlingException"), false), (Fault::LoseRequest, true)] {
        // At first, neither has sold.
        if is_found {
            assert_eq!(shop.finish(&first, std::slice::from_ref(&seen)).await, Ok(SaleOutcome::Done));
        }
        shop.dynamodb.disturb("TransactWriteItems", vec![fault; 4]);
        let keys = std::slice::from_ref(&other);
        let failed = store.finish(&second, keys, &response, now, Instant::now()).await;
        let found = matches!(failed, Err(StoreError::Recorded(Recorded::Answered(_))));
        assert_eq!(found, is_found, "{failed:?}");
        assert!(shop.dynamodb.is_undisturbed());
    }
    assert_eq!(shop.in_stock(1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_retried_with_the_same_keys() {
    for (operation, quantity, n) in SALES {
        let shop = Shop::open().await;
        shop.stock(1, 10).await;
        shop.dynamodb.disturb(operation, vec![conflict(operation); 3]);
        let _ = shop.kms.take_calls();
        let response = order(&shop, quantity).await;
        assert_eq!(shop.kms.take_calls().len(), 1, "one signature, for the same keys");
        expect_sold(&shop, &response, n, 10 - n).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_with_its_own_lost_write_loses_no_key() {
    // The first copy of the write sells, but its response is lost, and the others meet a conflict. Drawing
    // other keys now would sell two keys for one. The key shows the sale.
    for (operation, quantity, n) in SALES {
        let shop = Shop::open().await;
        shop.stock(1, 10).await;
        let faults = [vec![Fault::LoseResponse], vec![conflict(operation); 500]].concat();
        shop.dynamodb.disturb(operation, faults);
        let response = order(&shop, quantity).await;
        shop.dynamodb.calm();
        expect_sold(&shop, &response, n, 10 - n).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_conflicts_are_503_and_sell_nothing() {
    for (operation, quantity, _) in SALES {
        let shop = Shop::builder().with_checkout_timeouts().open().await;
        shop.stock(1, 10).await;
        shop.dynamodb.disturb(operation, vec![conflict(operation); 500]);
        let response = order(&shop, quantity).await;
        assert_eq!(response.problem(), (503, "/problems/nothing-was-sold".to_owned()));
        assert_eq!(shop.in_stock(1).await, 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_sale_is_retried() {
    for (operation, quantity, n) in SALES {
        let shop = Shop::open().await;
        shop.stock(1, 10).await;
        let throttle = match operation {
            "TransactWriteItems" => Fault::cancelled(&["ThrottlingError", "None", "None"]),
            _ => Fault::error("ProvisionedThroughputExceededException"),
        };
        shop.dynamodb.disturb(operation, vec![throttle; 4]);
        shop.dynamodb.disturb("Query", [Fault::error("ThrottlingException")]);
        let response = order(&shop, quantity).await;
        expect_sold(&shop, &response, n, 10 - n).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_signature_is_retried_or_503() {
    let shop = Shop::open().await;
    shop.stock(1, 10).await;
    shop.kms.disturb("Sign", [Fault::error("ThrottlingException")]);
    let response = order(&shop, "2").await;
    expect_sold(&shop, &response, 2, 8).await;
    shop.kms.disturb("Sign", vec![Fault::error("ThrottlingException"); 100]);
    assert_eq!(order(&shop, "2").await.status, 503);
    assert_eq!(shop.draw(9).await.candidates.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_keys_are_sold_once_despite_lost_responses() {
    for (operation, quantity, n) in [("PutItem", "1", 1), ("TransactWriteItems", "3", 3)] {
        for faults in [
            vec![Fault::LoseResponse],
            vec![Fault::LoseResponse, conflict(operation)],
            vec![conflict(operation)],
            vec![Fault::LoseResponse; 5],
        ] {
            let shop = Shop::open().await;
            shop.dynamodb.disturb(operation, faults);
            let request = [("product_id", "1"), ("quantity", quantity), ("generate", "1")];
            let response = shop.post("random-assign-license-keys", &request).await;
            expect_sold(&shop, &response, n, 0).await;
            let table = shop.dynamodb_call("Scan", &json!({"TableName": "keypool"})).await;
            let items = table["Items"].as_array().unwrap();
            let keys = items.iter().filter(|item| item["sk"]["S"] == "KEY").count();
            assert_eq!(keys, n, "every generated key was sold");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_key_is_assigned_once_despite_lost_responses() {
    for faults in [
        vec![Fault::LoseResponse],
        vec![Fault::LoseResponse, conflict("UpdateItem")],
        vec![conflict("UpdateItem"); 3],
        vec![Fault::LoseResponse; 5],
        vec![Fault::error("ThrottlingException"); 3],
    ] {
        let shop = Shop::open().await;
        let key = shop.stock(1, 1).await.remove(0);
        shop.dynamodb.disturb("UpdateItem", faults);
        let response =
            shop.post("assign-license-key", &[("license_key", &key), ("owner_name", "Buyer One")]).await;
        assert_eq!(response.code(), 800, "{}", response.text);
        let stored = shop.stored(&key).await;
        assert_eq!((stored.status, stored.version), (Status::Assigned, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_blocked_after_its_sale_stays_blocked() {
    // The response to the sale is lost, an operator blocks the key, and the sale is repeated.
    let shop = Shop::open().await;
    let key = shop.stock(1, 1).await.remove(0);
    let stocked = shop.stored(&key).await;
    let sale = shop.sale(None);
    let sell = || shop.finish(&sale, std::slice::from_ref(&stocked));
    assert_eq!(sell().await, Ok(SaleOutcome::Done));
    let block = json!({
        "TableName": "keypool",
        "Key": {"pk": {"S": format!("KEY#{key}")}, "sk": {"S": "KEY"}},
        "UpdateExpression": "SET #status = :blocked ADD version :one",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":blocked": {"S": "blocked"}, ":one": {"N": "1"}},
    });
    shop.dynamodb_call("UpdateItem", &block).await;
    assert_eq!(sell().await, Ok(SaleOutcome::Done), "the key shows its sale");
    assert_eq!(shop.status(&key).await, Status::Blocked);
}

#[tokio::test(flavor = "multi_thread")]
async fn created_keys_are_counted_despite_lost_responses() {
    let shop = Shop::open().await;
    let faults = [Fault::LoseResponse, Fault::error("ThrottlingException"), Fault::LoseResponse];
    shop.dynamodb.disturb("BatchExecuteStatement", faults);
    shop.dynamodb.disturb("UpdateItem", [Fault::LoseResponse]);
    assert_eq!(shop.stock(1, 20).await.len(), 20, "20 created, no duplicate");
    assert!(shop.dynamodb.is_undisturbed());
    assert_eq!(shop.in_stock(1).await, 20);
    let faults = [Fault::LoseResponse, Fault::error("ThrottlingException")];
    shop.dynamodb.disturb("BatchExecuteStatement", faults);
    let response = shop.post("generate", &[("generator_id", "1"), ("quantity", "10")]).await;
    assert_eq!(response.license_keys().len(), 10);
    assert_eq!(shop.in_stock(1).await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn unprocessed_records_are_read_again() {
    let shop = Shop::open().await;
    shop.dynamodb.disturb("BatchGetItem", vec![Fault::LeaveUnread; 3]);
    let response = shop.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await;
    assert_eq!(response.code(), 815);
    shop.clock.advance_seconds(60);
    shop.dynamodb.disturb("BatchGetItem", vec![Fault::LeaveUnread; 6]);
    let response = shop.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await;
    assert_eq!(response.status, 503, "an unread API key is not an unknown one");
}
