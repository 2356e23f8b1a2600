//! Disturbs every call to AWS that a request makes; an undisturbed run counts them. The process dies before
//! the service sees the call, after the service has done the work, or while the call is under way. Or the
//! call meets a fault, once or until the caller gives up. Afterwards no key is lost.

use keypool_tests::Shop;
use keypool_tests::storms::{Before, FaultCase, SWEEP, Scenario, What, WorkerScenario};

/// The largest number of keys in a transaction here, so that three keys are a large order.
const TRANSACTION_KEYS_MAX: usize = 2;

/// Disturbs every call of a request, without an `Idempotency-Key` and with one. Expects that the undisturbed
/// run makes these calls in this order, possibly with others between them.
async fn expect_nothing_lost(scenario: Scenario, sale_keys_max: usize, calls: &[&str]) {
    let disturb = async |scenario: &Scenario, disturbances: Vec<FaultCase>| {
        let shop = Shop::builder().with_sale_keys_max(sale_keys_max).open().await;
        let found = scenario.disturb_everywhere(&shop, &disturbances, SWEEP).await;
        if !scenario.idempotent {
            let mut made = found.calls.iter();
            assert!(calls.iter().all(|call| made.any(|made| made == call)), "{:?}", found.calls);
        }
        assert!(found.violations.is_empty(), "{:#?}", found.violations);
    };
    let idempotent = Scenario { idempotent: true, ..scenario.clone() };
    // The runs overlap, because they mostly wait.
    tokio::join!(
        disturb(&scenario, FaultCase::crashes()),
        disturb(&scenario, FaultCase::once()),
        disturb(&scenario, FaultCase::persistent()),
        disturb(&idempotent, FaultCase::crashes()),
        disturb(&idempotent, FaultCase::persistent()),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_a_key_is_assigned_by_name() {
    let what = |stock: &[String]| What::Assign(stock.first().cloned().unwrap_or_default());
    let scenario = Scenario { name: "assign", stock: 3, what, code: 800, idempotent: false };
    expect_nothing_lost(scenario, usize::MAX, &["BatchGetItem", "GetItem", "Sign", "UpdateItem"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_one_key_is_sold() {
    let what = |_: &[String]| What::Buy { quantity: 1, generate: false };
    let scenario = Scenario { name: "one", stock: 4, what, code: 803, idempotent: false };
    expect_nothing_lost(scenario, usize::MAX, &["Query", "Sign", "UpdateItem"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_keys_are_sold() {
    let what = |_: &[String]| What::Buy { quantity: 3, generate: false };
    let scenario = Scenario { name: "three", stock: 10, what, code: 803, idempotent: false };
    expect_nothing_lost(scenario, usize::MAX, &["Query", "Sign", "TransactWriteItems"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_many_keys_are_sold() {
    let what = |_: &[String]| What::Buy { quantity: 3, generate: false };
    let scenario = Scenario { name: "many", stock: 8, what, code: 803, idempotent: false };
    let calls = ["Query", "TransactWriteItems", "Sign", "TransactWriteItems", "TransactWriteItems"];
    expect_nothing_lost(scenario, TRANSACTION_KEYS_MAX, &calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_one_key_is_made_for_an_order() {
    let what = |_: &[String]| What::Buy { quantity: 1, generate: true };
    let scenario = Scenario { name: "fresh", stock: 0, what, code: 803, idempotent: false };
    expect_nothing_lost(scenario, usize::MAX, &["Query", "UpdateItem", "Sign", "PutItem"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_keys_are_made_for_an_order() {
    let what = |_: &[String]| What::Buy { quantity: 3, generate: true };
    let scenario = Scenario { name: "fresh-three", stock: 2, what, code: 803, idempotent: false };
    expect_nothing_lost(scenario, usize::MAX, &["Query", "UpdateItem", "Sign", "TransactWriteItems"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_many_keys_are_made_for_an_order() {
    let what = |_: &[String]| What::Buy { quantity: 3, generate: true };
    let scenario = Scenario { name: "fresh-many", stock: 2, what, code: 803, idempotent: false };
    let calls =
        ["Query", "UpdateItem", "TransactWriteItems", "Sign", "TransactWriteItems", "TransactWriteItems"];
    expect_nothing_lost(scenario, TRANSACTION_KEYS_MAX, &calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_a_key_is_replaced() {
    let what = |stock: &[String]| What::Replace {
        license_key: stock.first().cloned().unwrap_or_default(),
        generate: false,
    };
    let scenario = Scenario { name: "replace", stock: 5, what, code: 860, idempotent: false };
    let calls = ["BatchGetItem", "Query", "Sign", "TransactWriteItems"];
    expect_nothing_lost(scenario, usize::MAX, &calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_a_key_is_replaced_by_a_fresh_one() {
    let what = |stock: &[String]| What::Replace {
        license_key: stock.first().cloned().unwrap_or_default(),
        generate: true,
    };
    let scenario = Scenario { name: "replace-fresh", stock: 1, what, code: 860, idempotent: false };
    let calls = ["BatchGetItem", "Query", "UpdateItem", "Sign", "TransactWriteItems"];
    expect_nothing_lost(scenario, usize::MAX, &calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_keys_are_created() {
    // One of the keys exists.
    let what = |stock: &[String]| {
        let exists = stock.first().cloned().unwrap_or_default();
        What::Create(["", "-A", "-B", "-C"].map(|end| format!("{exists}{end}")).to_vec())
    };
    let scenario = Scenario { name: "create", stock: 1, what, code: 900, idempotent: false };
    let calls = ["BatchExecuteStatement", "BatchGetItem", "Sign"];
    expect_nothing_lost(scenario, usize::MAX, &calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_keys_are_generated() {
    let scenario =
        Scenario { name: "generate", stock: 1, what: |_| What::Generate(3), code: 815, idempotent: false };
    expect_nothing_lost(scenario, usize::MAX, &["BatchExecuteStatement"]).await;
}

fn queue(quantity: usize, generate: bool) -> What {
    What::Queue { quantity, generate, webhook_url: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_an_order_is_queued() {
    let scenario =
        Scenario { name: "queue", stock: 7, what: |_| queue(2, false), code: 807, idempotent: false };
    expect_nothing_lost(scenario, usize::MAX, &["BatchGetItem", "PutItem", "SendMessage"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_an_order_of_fresh_keys_is_queued() {
    let scenario =
        Scenario { name: "queue-fresh", stock: 0, what: |_| queue(1, true), code: 807, idempotent: false };
    expect_nothing_lost(scenario, usize::MAX, &["BatchGetItem", "PutItem", "SendMessage"]).await;
}

/// Disturbs every call of a worker's turn. Expects these calls, among others, in the undisturbed run.
async fn expect_filled_and_told(scenario: WorkerScenario, sale_keys_max: usize, calls: &[&str]) {
    let disturb = async |disturbances: Vec<FaultCase>| {
        let shop = Shop::builder().with_sale_keys_max(sale_keys_max).open().await;
        let found = scenario.disturb_everywhere(&shop, &disturbances).await;
        assert!(calls.iter().all(|call| found.calls.iter().any(|made| made == call)), "{:?}", found.calls);
        assert!(found.violations.is_empty(), "{:#?}", found.violations);
    };
    let [crashes, once, persistent] =
        [FaultCase::crashes(), FaultCase::once(), FaultCase::persistent()].map(|all| Box::pin(disturb(all)));
    tokio::join!(crashes, once, persistent);
}

const FIRST_TURN: WorkerScenario = WorkerScenario {
    name: "first-turn",
    stock: 5,
    quantity: 2,
    generate: false,
    before: Before::Nothing,
    code: 803,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_while_it_fills_and_delivers() {
    let calls = ["QueryLine", "Query", "Sign", "TransactWriteItems", "UpdateItem"];
    expect_filled_and_told(FIRST_TURN, usize::MAX, &calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_while_it_fills_with_fresh_keys() {
    let scenario = WorkerScenario { name: "fresh-turn", stock: 0, generate: true, ..FIRST_TURN };
    expect_filled_and_told(scenario, usize::MAX, &["Query", "Sign", "TransactWriteItems"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_while_it_fills_a_large_order() {
    let scenario = WorkerScenario { name: "large-turn", quantity: 3, ..FIRST_TURN };
    expect_filled_and_told(scenario, TRANSACTION_KEYS_MAX, &["Sign", "TransactWriteItems"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_while_an_order_joins_the_line() {
    let scenario = WorkerScenario { name: "joins", stock: 1, code: 802, ..FIRST_TURN };
    expect_filled_and_told(scenario, usize::MAX, &["Query", "TransactWriteItems"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_while_it_serves_a_line() {
    let scenario = WorkerScenario { name: "line", stock: 1, before: Before::Restock(4), ..FIRST_TURN };
    expect_filled_and_told(scenario, usize::MAX, &["QueryLine", "Sign", "SendMessage", "TransactWriteItems"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_while_it_ends_an_order() {
    let scenario =
        WorkerScenario { name: "ends", stock: 1, before: Before::TimeIsOver, code: 802, ..FIRST_TURN };
    expect_filled_and_told(scenario, usize::MAX, &["Sign", "PutItem", "TransactWriteItems"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_while_it_delivers_again() {
    let scenario = WorkerScenario { name: "again", before: Before::FailedCallback, ..FIRST_TURN };
    expect_filled_and_told(scenario, usize::MAX, &["UpdateItem", "TransactWriteItems"]).await;
}
