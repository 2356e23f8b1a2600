//! `keypool orders`, on orders that are stored in the table as the functions store them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use keypool_aws::Timeouts;
use keypool_domain::requests::RandomAssignLicenseKeys;
use keypool_domain::{
    ApiKey, Clock as _, Delivery, OperatingSystemRandomness, OrderId, OrderState, Owner, QueuedOrder,
    SystemClock, Timestamp,
};
use keypool_local::{DataFolder, Services, TABLE};
use keypool_store::{DeliveryResult, Store};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{API_KEY, Local, fails, json, keypool, ok, run, text};

/// The shop's webhook key, which nothing may print.
const WEBHOOK_KEY: &str = "k3yOfTheShop";
/// A product without keys.
const PRODUCT: &str = "3";

struct Queue {
    store: Store,
    folder: tempfile::TempDir,
    local: Local,
}

impl Queue {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::start(folder.path(), &["--port", "0", "--memory"]);
        let endpoints = DataFolder::endpoints_at(&folder.path().join(".keypool")).unwrap();
        let clients = Services::settings(endpoints.dynamodb, endpoints.kms).clients(Timeouts::OPERATOR);
        let randomness = Arc::new(OperatingSystemRandomness);
        let store = Store::new(clients.dynamodb, TABLE, randomness).with_timeouts(Timeouts::OPERATOR);
        Self { store, folder, local }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn accepted(&self, product: &str, quantity: &str) -> QueuedOrder {
        let at = now();
        let name = "Ada\u{1b}[2J".parse().unwrap();
        let order = QueuedOrder {
            id: OrderId::new(at, &OperatingSystemRandomness),
            state: OrderState::Queued,
            request: RandomAssignLicenseKeys {
                product_id: product.parse().unwrap(),
                quantity: quantity.parse().unwrap(),
                generate: false,
                owner: Owner { name: Some(name), email: Some("ada@example.com".parse().unwrap()) },
                identifier: Some("3345".parse().unwrap()),
            },
            webhook_url: format!("https://shop.invalid/wc?keevault-webhook={WEBHOOK_KEY}").parse().unwrap(),
            api_key: API_KEY.parse::<ApiKey>().unwrap().hash(),
            accepted_at: at,
            waits_until: at.after(QueuedOrder::WAITS_FOR),
            is_cancelled: false,
            code: None,
            delivery: Delivery::default(),
        };
        assert_eq!(self.store.enqueue(&order, None, at).await, Ok(()));
        order
    }

    async fn waiting(&self, product: &str, quantity: &str) -> QueuedOrder {
        let order = self.accepted(product, quantity).await;
        assert_eq!(self.store.join_line(&order).await, Ok(true));
        order
    }

    /// A filled order whose first callback ended with `result`.
    async fn attempted(&self, result: &DeliveryResult) -> QueuedOrder {
        let mut order = self.accepted("1", "2").await;
        self.store.decide(&mut order, 803, now()).await.unwrap();
        let begun = self.store.begin_delivery(&mut order, Duration::from_secs(30), now()).await;
        assert_eq!(begun, Ok(true));
        self.store.end_delivery(&order, result, "the shop answered\nstatus 503", now()).await.unwrap();
        order
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let printed = ok(self.path(), &[arguments, &["--json"]].concat());
        assert!(!printed.contains(WEBHOOK_KEY), "{printed}");
        printed.lines().map(json).collect()
    }

    fn listed(&self, wanted: &[&str]) -> Vec<String> {
        let list = self.json(&[&["orders", "list"], wanted].concat()).remove(0);
        list.as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Runs a command. Returns its exit code, standard output and standard error.
    fn said(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = run(self.path(), arguments);
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// The state of an order, and the code of its decision.
async fn state(queue: &Queue, id: &OrderId) -> Option<(OrderState, Option<u16>, bool)> {
    let order = queue.store.queued_order(id).await.unwrap();
    order.map(|order| (order.state, order.code, order.is_cancelled))
}

#[tokio::test]
async fn orders_are_listed_by_state_and_product() {
    let queue = Queue::start();
    let (said, note) = (ok(queue.path(), &["orders", "list"]), "there are none\n");
    assert!(said.starts_with("ORDER"), "{said}");
    assert_eq!(queue.said(&["orders", "list"]).2, note);

    let waiting = queue.waiting(PRODUCT, "4").await;
    let other = queue.waiting("2", "1").await;
    let later = now().after(Duration::from_hours(12));
    let retried = queue.attempted(&DeliveryResult::Again(later)).await;
    let dead = queue.attempted(&DeliveryResult::Dead).await;
    queue.attempted(&DeliveryResult::Delivered).await;
    let ids = |orders: &[&QueuedOrder]| orders.iter().map(|order| order.id.to_string()).collect::<Vec<_>>();
    assert_eq!(queue.listed(&[]), ids(&[&waiting, &other, &retried, &dead]));
    assert_eq!(queue.listed(&["--waiting"]), ids(&[&waiting, &other]));
    assert_eq!(queue.listed(&["--waiting", "--product", PRODUCT]), ids(&[&waiting]));
    assert_eq!(queue.listed(&["--undelivered"]), ids(&[&retried, &dead]));
    let said = fails(queue.path(), &["orders", "list", "--waiting", "--undelivered"], 2);
    assert!(said.contains("cannot be used with"), "{said}");

    let listed = ok(queue.path(), &["orders", "list"]);
    let seconds = |at: Timestamp| at.to_microseconds_text()[..19].replace('T', " ") + "Z";
    let cells: Vec<Vec<&str>> = listed.lines().map(|line| line.split("  ").collect()).collect();
    let row = |nth: usize| -> Vec<&str> {
        cells[nth].iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).collect()
    };
    let (accepted, ends) = (seconds(waiting.accepted_at), seconds(waiting.waits_until));
    let id = waiting.id.to_string();
    assert_eq!(row(1), [&id, "3", "4", "waiting", "-", &accepted, &ends, "0", "-", "-"]);
    let (id, accepted, next) = (retried.id.to_string(), seconds(retried.accepted_at), seconds(later));
    let answer = "the shop answered\u{fffd}status 503";
    assert_eq!(row(3), [&id, "1", "2", "decided", "803", &accepted, "-", "1", &next, answer], "{listed}");
    let (id, accepted) = (dead.id.to_string(), seconds(dead.accepted_at));
    assert_eq!(row(4), [&id, "1", "2", "dead", "803", &accepted, "-", "1", "-", answer], "{listed}");
    queue.local.stop();
}

#[tokio::test]
async fn an_order_is_shown_without_the_webhook_key() {
    let queue = Queue::start();
    let order = queue.attempted(&DeliveryResult::Delivered).await;
    let id = order.id.to_string();
    let shown = ok(queue.path(), &["orders", "show", &id]);
    for line in [
        format!(
            "{id}\n  state          delivered\n  code           803\n  product        1\n  quantity       2\n"
        ),
        "  owner          Ada\u{fffd}[2J <ada@example.com>\n  identifier     3345\n".to_owned(),
        "  callback       https://shop.invalid/wc?…\n".to_owned(),
        format!("  API key        {}\n  accepted       {}\n", order.api_key, order.accepted_at),
        "  next attempt   -\n  last answer    the shop answered\u{fffd}status 503\n".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line}: {shown}");
    }
    assert!(!shown.contains(WEBHOOK_KEY), "{shown}");

    let other = queue.waiting(PRODUCT, "4").await;
    let nobody = OrderId::new(now(), &OperatingSystemRandomness).to_string();
    let other = other.id.to_string();
    let (code, said, note) = queue.said(&["orders", "show", &nobody, &other, &other]);
    assert_eq!((code, said.matches("  state          waiting\n").count()), (3, 1), "{said}");
    assert_eq!(note, format!("{nobody}: there is no such order; delivered orders are kept for 30 days\n"));
    let value = queue.json(&["orders", "show", &other]).remove(0);
    let mut expected = json!({
        "id": other, "state": "waiting", "cancelled": false, "product_id": 3, "quantity": 4, "generate": false,
        "owner_name": "Ada\u{1b}[2J", "owner_email": "ada@example.com", "identifier": "3345",
        "callback": "https://shop.invalid/wc?…", "api_key_sha256": order.api_key.to_string(), "code": null,
        "attempts": 0, "first_attempt_at": null, "next_attempt_at": null, "last_answer": null,
    });
    for time in ["accepted_at", "waits_until"] {
        expected[time] = value[time].clone();
    }
    assert_eq!(value, expected);
    let said = fails(queue.path(), &["orders", "show", "3345"], 2);
    assert!(said.contains("must be a UUID such as"), "{said}");
    queue.local.stop();
}

#[tokio::test]
async fn a_callback_is_redelivered() {
    let queue = Queue::start();
    let later = now().after(Duration::from_hours(12));
    let dead = queue.attempted(&DeliveryResult::Dead).await.id;
    let retried = queue.attempted(&DeliveryResult::Again(later)).await.id;
    let delivered = queue.attempted(&DeliveryResult::Delivered).await.id;
    let waiting = queue.waiting(PRODUCT, "4").await.id;
    let ids = [&dead, &retried, &delivered, &waiting].map(ToString::to_string);
    let [d, r, l, w] = &ids;
    let (code, said, note) = queue.said(&["orders", "redeliver", d, r, l, w, d, "--reason", "up again"]);
    assert_eq!(
        said,
        format!(
            "{d}  dead → due now\n{r}  decided → due now\n{l}  delivered → due now\n\
             {w}  not changed: it is waiting: there is no response to deliver yet\n"
        )
    );
    assert_eq!(code, 3);
    assert!(note.starts_with("The sweep wakes the worker within a minute."), "{note}");
    assert!(note.ends_with("3 of 4 changed, 1 not\n"), "{note}");
    for id in [&dead, &retried, &delivered] {
        assert_eq!(state(&queue, id).await, Some((OrderState::Decided, Some(803), false)));
        let order = queue.store.queued_order(id).await.unwrap().unwrap();
        assert_eq!(order.delivery, Delivery::default());
    }
    let trail = ok(queue.path(), &["audit", "--action", "orders.redeliver", "--json"]);
    let trail: Vec<Value> = trail.lines().map(json).collect();
    assert_eq!(trail.len(), 3, "{trail:?}");
    let of_dead = trail.iter().find(|entry| entry["subject"] == format!("order {dead}")).unwrap();
    assert_eq!(
        (&of_dead["before"]["state"], &of_dead["after"]["state"], &of_dead["after"]["reason"]),
        (&json!("dead"), &json!("decided"), &json!("up again"))
    );
    queue.local.stop();
}

#[tokio::test]
async fn only_an_undecided_order_is_cancelled() {
    let queue = Queue::start();
    let (queued, waiting) = (queue.accepted(PRODUCT, "1").await.id, queue.waiting(PRODUCT, "4").await.id);
    let dead = queue.attempted(&DeliveryResult::Dead).await.id;
    let nobody = OrderId::new(now(), &OperatingSystemRandomness);
    let ids = [&queued, &waiting, &dead, &nobody].map(ToString::to_string);
    let [q, w, d, n] = &ids;
    let arguments = ["orders", "cancel", q, w, d, n];
    let (code, said, note) = queue.said(&arguments);
    assert_eq!(
        said,
        format!(
            "{q}  queued → cancelled\n{w}  waiting → cancelled\n\
             {d}  not changed: it is dead: its keys are assigned, or it has ended\n\
             {n}  not changed: there is no such order; delivered orders are kept for 30 days\n"
        )
    );
    assert_eq!(code, 3);
    assert!(
        note.contains(
            "within a minute, and the worker calls the shop back. A worker may have filled the order"
        ),
        "{note}"
    );
    assert!(note.ends_with("\n2 of 4 changed, 2 not\n"), "{note}");
    assert_eq!(state(&queue, &queued).await, Some((OrderState::Queued, None, true)));
    assert_eq!(state(&queue, &waiting).await, Some((OrderState::Waiting, None, true)));
    let listed = ok(queue.path(), &["orders", "list", "--waiting"]);
    assert!(listed.contains("waiting (cancelled)"), "{listed}");

    let (code, said, note) = queue.said(&["orders", "cancel", w, "--json"]);
    let expected = json!({"id": w, "changed": false, "reason": "it is cancelled already"});
    assert_eq!((code, json(&said)), (3, expected));
    assert_eq!(note, "0 of 1 changed, 1 not\n", "no note about the sweep, because nothing was changed");
    let trail = ok(queue.path(), &["audit", "--subject", w]);
    assert!(trail.contains("orders.cancel") && trail.contains("cancelled: false → true"), "{trail}");
    queue.local.stop();
}

#[tokio::test]
async fn an_interrupted_cancellation_reports_every_order() {
    let queue = Queue::start();
    let mut ids = Vec::new();
    for _ in 0..300 {
        ids.push(queue.accepted(PRODUCT, "1").await.id.to_string());
    }
    let mut cancelling = keypool(queue.path())
        .args(["orders", "cancel", "--json"])
        .args(&ids)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(cancelling.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    kill_process(Pid::from_child(&cancelling), Signal::INT).unwrap();
    let outcomes: Vec<Value> =
        std::iter::once(first).chain(lines.map(Result::unwrap)).map(|line| json(&line)).collect();
    let ended = cancelling.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended.stderr));
    let reported: Vec<&str> = outcomes.iter().map(|outcome| outcome["id"].as_str().unwrap()).collect();
    assert_eq!(reported, ids);
    let of = |changed: bool| outcomes.iter().filter(move |outcome| outcome["changed"] == changed);
    assert!(of(true).count() > 0 && of(false).all(|outcome| outcome["reason"] == "not tried"));
    let listed = queue.json(&["orders", "list"]);
    let listed = listed[0].as_array().unwrap();
    let cancelled = listed.iter().filter(|order| order["cancelled"] == true).count();
    assert_eq!(cancelled, of(true).count());
    assert!(cancelled < ids.len(), "{cancelled}");
    queue.local.stop();
}

#[tokio::test]
async fn the_stock_shows_how_many_keys_orders_wait_for() {
    let queue = Queue::start();
    queue.waiting(PRODUCT, "4").await;
    queue.waiting(PRODUCT, "3").await;
    queue.accepted(PRODUCT, "2").await;
    let stock = queue.json(&["stock"]).remove(0);
    let waited_for: Vec<&Value> = stock.as_array().unwrap().iter().map(|line| &line["waited_for"]).collect();
    assert_eq!(waited_for, [0, 0, 7]);
    let shown = ok(queue.path(), &["stock", "--product", PRODUCT]);
    let cells: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(shown.starts_with("PRODUCT  NAME") && shown.contains("WAITED FOR"), "{shown}");
    assert!(cells.contains(&"7"), "{shown}");
    queue.local.stop();
}

#[tokio::test]
async fn a_dead_order_is_erased_only_with_its_option() {
    let queue = Queue::start();
    let id = queue.attempted(&DeliveryResult::Dead).await.id;
    let why = "keypool has given up the callback: redeliver the order, or give --dead-orders";
    for dry_run in [&["--dry-run"][..], &[]] {
        let (code, said, _) = queue.said(&[&["owner", "erase", "ada@example.com"], dry_run].concat());
        assert_eq!((code, said), (3, format!("order {id}  not erased: {why}\n")));
    }
    let erasure = ["owner", "erase", "ada@example.com", "--dead-orders", "--dry-run"];
    let (code, said, _) = queue.said(&erasure);
    assert_eq!((code, said), (0, format!("order {id}  would be erased: product 1, dead\n")));
    let erased = ok(queue.path(), &["owner", "erase", "ada@example.com", "--dead-orders"]);
    assert_eq!(erased, format!("order {id}  erased\n"));
    assert_eq!(queue.listed(&[]), Vec::<String>::new());
}
