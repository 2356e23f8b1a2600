//! An operator's changes of queued orders, against the embedded DynamoDB: conditions, races, the audit trail.

use std::time::Duration;

use keypool_domain::requests::{RandomAssignLicenseKeys, Repeatable as _};
use keypool_domain::{
    ApiKey, Assignment, AuditEntry, AuditId, Clock as _, Delivery, Endpoint, OperatingSystemRandomness,
    OrderId, OrderState, Owner, Principal, PrivateKeyUsed, ProductId, QueuedOrder, Reply, RequestId,
    SignablePayload, SystemClock, Timestamp,
};
use keypool_store::{
    DeadOrders, DeliveryResult, EraseOutcome, OwnerRecord, Recorded, Sale, Store, StoreError, UpdateOutcome,
    Waiting,
};
use serde_json::json;

use crate::fixture::table;

const LEASE: Duration = Duration::from_secs(30);

fn now() -> Timestamp {
    SystemClock.now()
}

fn entry(action: &str) -> AuditEntry {
    AuditEntry {
        id: AuditId::random(&OperatingSystemRandomness),
        at: now(),
        principal: Principal::new("local:ada"),
        action: action.to_owned(),
        subject: "order".to_owned(),
        before: None,
        after: Some(json!({"state": "decided"})),
    }
}

fn order() -> QueuedOrder {
    let at = now();
    QueuedOrder {
        id: OrderId::new(at, &OperatingSystemRandomness),
        state: OrderState::Queued,
        request: RandomAssignLicenseKeys {
            product_id: ProductId::MIN,
            quantity: "3".parse().unwrap(),
            generate: false,
            owner: Owner { name: Some("Ada".parse().unwrap()), email: None },
            identifier: None,
        },
        webhook_url: "https://shop.example/?keevault-webhook=secret".parse().unwrap(),
        api_key: "secret".parse::<ApiKey>().unwrap().hash(),
        accepted_at: at,
        waits_until: at.after(QueuedOrder::WAITS_FOR),
        is_cancelled: false,
        code: None,
        delivery: Delivery::default(),
    }
}

async fn accepted(store: &Store) -> QueuedOrder {
    let order = order();
    store.enqueue(&order, None, now()).await.unwrap();
    order
}

/// Both attempts have read that there is no record.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_with_one_key_the_later_is_a_mismatch() {
    let (store, _, _services) = table().await;
    let order = order();
    let id = RequestId::new(order.api_key, Endpoint::RandomAssignLicenseKeysQueued, &"k".parse().unwrap());
    let larger = RandomAssignLicenseKeys { quantity: "4".parse().unwrap(), ..order.request.clone() };
    let mut slots = Vec::new();
    for request in [&order.request, &larger, &order.request] {
        slots.push(store.recall(id, request.fingerprint(), None, now()).await.unwrap());
    }
    let payload = SignablePayload::new(&Reply::RequestQueued, now());
    let response = payload.into_envelope(PrivateKeyUsed::Global, None);
    assert_eq!(store.enqueue(&order, Some((&slots[0], &response)), now()).await, Ok(()));
    for (slot, recorded) in slots[1..].iter().zip([Recorded::Mismatch, Recorded::Answered(response.clone())])
    {
        let another = QueuedOrder { id: OrderId::new(now(), &OperatingSystemRandomness), ..order.clone() };
        assert_eq!(store.enqueue(&another, Some((slot, &response)), now()).await, Err(recorded.into()));
    }
    assert_eq!(store.queued_orders().await.unwrap(), [order]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_taken_back_only_before_a_worker_begins() {
    let (store, _, _services) = table().await;
    let order = accepted(&store).await;
    assert_eq!(store.unqueue(&order.id, now()).await, Ok(()));
    // The response to the first one may have been lost.
    assert_eq!(store.unqueue(&order.id, now()).await, Ok(()));
    assert_eq!(store.queued_orders().await.unwrap(), []);
    let order = accepted(&store).await;
    assert_eq!(store.join_line(&order).await, Ok(true));
    assert!(store.unqueue(&order.id, now()).await.is_err());
    assert_eq!(store.queued_orders().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_line_is_read_as_far_as_necessary() {
    let (store, _, _services) = table().await;
    let product = order().request.product_id;
    assert_eq!(store.keys_in_line(product, 0).await, Ok(0));
    for _ in 0..260 {
        let order = accepted(&store).await;
        assert_eq!(store.join_line(&order).await, Ok(true));
    }
    // The first page has 250 orders of three keys each.
    assert_eq!(store.keys_in_line(product, 0).await, Ok(750));
    assert_eq!(store.keys_in_line(product, 750).await, Ok(780));
    let line = store.line(product).await.unwrap();
    assert_eq!((line.len(), store.line_front(product, 8).await.unwrap()), (260, line[..8].to_vec()));
}

/// A worker has read the order and its record before. The write of the order arrives once more afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_taken_back_can_neither_return_nor_end() {
    let (store, _, _services) = table().await;
    let order = accepted(&store).await;
    let (id, fingerprint) = (order.id.request_id(), order.request.fingerprint());
    let slot = store.recall(id, fingerprint, None, now()).await.unwrap();
    assert_eq!(store.unqueue(&order.id, now()).await, Ok(()));
    let _ = store.enqueue(&order, None, now()).await;
    assert_eq!(store.queued_orders().await.unwrap(), []);
    assert_eq!(store.join_line(&order).await, Ok(false));
    let response = SignablePayload::new(&Reply::InsufficientLicenseKeys { available_quantity: 0 }, now());
    let response = response.into_envelope(PrivateKeyUsed::Global, None);
    let assignment = Assignment::new(Owner::default(), now(), &OperatingSystemRandomness);
    let sale = Sale::new(order.request.product_id, assignment, LEASE, Some(slot));
    let deadline = tokio::time::Instant::now() + LEASE;
    let outcome = store.finish(&sale, &[], &response, now(), deadline).await;
    assert_eq!(outcome, Err(StoreError::Recorded(Recorded::Mismatch)));
}

/// An order whose first attempt ended with `result`.
async fn attempted(store: &Store, result: &DeliveryResult) -> QueuedOrder {
    let mut order = accepted(store).await;
    store.decide(&mut order, 803, now()).await.unwrap();
    assert_eq!(store.begin_delivery(&mut order, LEASE, now()).await, Ok(true));
    store.end_delivery(&order, result, "status 500", now()).await.unwrap();
    order
}

async fn actions(store: &Store) -> Vec<String> {
    let long_ago = Timestamp::from_unix_microseconds(0).unwrap();
    let trail = store.audit_trail(long_ago, now(), 1_000, |_| true).await.unwrap();
    trail.into_iter().map(|entry| entry.action).collect()
}

async fn in_queue(store: &Store, id: &OrderId) -> QueuedOrder {
    store.queued_order(id).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_order_is_due_again_and_keeps_its_code() {
    let (store, _, _services) = table().await;
    let id = attempted(&store, &DeliveryResult::Dead).await.id;
    let dead = in_queue(&store, &id).await;
    assert_eq!((dead.state, dead.delivery.attempts), (OrderState::Dead, 1));
    let next = dead.redelivered().unwrap();
    assert_eq!(store.redeliver(&dead, &next, &entry("orders.redeliver")).await, Ok(UpdateOutcome::Updated));
    let mut due = in_queue(&store, &id).await;
    assert_eq!(due, next);
    assert_eq!((due.code, due.delivery.clone()), (Some(803), Delivery::default()));
    assert_eq!(store.begin_delivery(&mut due, LEASE, now()).await, Ok(true), "at once");
    assert_eq!(actions(&store).await, ["orders.redeliver"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_retried_later_is_due_at_once() {
    let (store, _, _services) = table().await;
    let later = now().after(Duration::from_hours(12));
    let id = attempted(&store, &DeliveryResult::Again(later)).await.id;
    let mut seen = in_queue(&store, &id).await;
    assert_eq!(store.begin_delivery(&mut seen.clone(), LEASE, now()).await, Ok(false), "it is not due");
    let next = seen.redelivered().unwrap();
    assert_eq!(store.redeliver(&seen, &next, &entry("orders.redeliver")).await, Ok(UpdateOutcome::Updated));
    seen = in_queue(&store, &id).await;
    assert_eq!(store.begin_delivery(&mut seen, LEASE, now()).await, Ok(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivered_order_goes_back_into_the_queue() {
    let (store, _, _services) = table().await;
    let id = attempted(&store, &DeliveryResult::Delivered).await.id;
    assert_eq!(store.queued_order(&id).await, Ok(None));
    let delivered = store.delivered_order(&id).await.unwrap().unwrap();
    assert_eq!(delivered.delivery.answer.as_deref(), Some("status 500"));
    let next = delivered.redelivered().unwrap();
    let change = store.redeliver(&delivered, &next, &entry("orders.redeliver")).await;
    assert_eq!(change, Ok(UpdateOutcome::Updated));
    assert_eq!(in_queue(&store, &id).await, next);
    assert_eq!(store.delivered_order(&id).await, Ok(None));
    // Another operator who saw it delivered is too late.
    let change = store.redeliver(&delivered, &next, &entry("orders.redeliver")).await;
    assert_eq!(change, Ok(UpdateOutcome::ChangedMeanwhile));
    assert_eq!(actions(&store).await.len(), 1);
}

/// The first worker was frozen while it called the shop. Meanwhile another one has delivered the callback,
/// and an operator has erased the owner.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_attempt_does_not_restore_an_erased_order() {
    let (store, _, _services) = table().await;
    let mut late = accepted(&store).await;
    store.decide(&mut late, 803, now()).await.unwrap();
    assert_eq!(store.begin_delivery(&mut late, Duration::ZERO, now()).await, Ok(true));
    let mut order = in_queue(&store, &late.id).await;
    assert_eq!(store.begin_delivery(&mut order, LEASE, now()).await, Ok(true));
    store.end_delivery(&order, &DeliveryResult::Delivered, "status 200", now()).await.unwrap();
    let delivered = store.delivered_order(&order.id).await.unwrap().unwrap();
    let (record, email) = (OwnerRecord::QueuedOrder(delivered), "ada@shop.example".parse().unwrap());
    let erased = store.erase_owner(&record, &email, DeadOrders::Keep, now(), &entry("owner.erase")).await;
    assert_eq!(erased, Ok(EraseOutcome::Erased));
    store.end_delivery(&late, &DeliveryResult::Delivered, "status 200", now()).await.unwrap();
    assert_eq!(store.delivered_order(&order.id).await, Ok(None));
    assert_eq!(store.queued_order(&order.id).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_waits_is_cancelled_and_ends() {
    let (store, _, _services) = table().await;
    let order = accepted(&store).await;
    assert_eq!(store.join_line(&order).await, Ok(true));
    let waiting = Waiting { id: order.id.clone(), quantity: 3 };
    assert_eq!(store.line(ProductId::MIN).await, Ok(vec![waiting]));
    // The order was read before it joined the line.
    let next = order.cancelled().unwrap();
    let late = store.cancel(&order, &next, &entry("orders.cancel")).await;
    assert_eq!(late, Ok(UpdateOutcome::ChangedMeanwhile));
    assert_eq!(actions(&store).await, [""; 0], "what was not done is not noted");

    let seen = in_queue(&store, &order.id).await;
    let next = seen.cancelled().unwrap();
    assert_eq!(store.cancel(&seen, &next, &entry("orders.cancel")).await, Ok(UpdateOutcome::Updated));
    let mut cancelled = in_queue(&store, &order.id).await;
    assert_eq!(cancelled, next);
    assert!(cancelled.is_over(now()));
    store.decide(&mut cancelled, 802, now()).await.unwrap();
    let ended = in_queue(&store, &order.id).await;
    assert_eq!((ended.state, ended.code, ended.is_cancelled), (OrderState::Decided, Some(802), true));
    assert_eq!(store.line(ProductId::MIN).await, Ok(vec![]));
}

/// Either the worker has decided the order, or the operator has cancelled it before.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_and_a_cancellation_come_one_after_the_other() {
    let (store, _, _services) = table().await;
    for _ in 0..20 {
        let seen = accepted(&store).await;
        let (mut decided, next) = (seen.clone(), seen.cancelled().unwrap());
        let note = entry("orders.cancel");
        let (decision, change) =
            tokio::join!(store.decide(&mut decided, 803, now()), store.cancel(&seen, &next, &note));
        decision.unwrap();
        let is = in_queue(&store, &seen.id).await;
        assert_eq!((is.state, is.code), (OrderState::Decided, Some(803)));
        assert_eq!(is.is_cancelled, change.unwrap() == UpdateOutcome::Updated);
    }
}
