use std::collections::VecDeque;
use std::sync::Arc;

use keypool_domain::{Clock as _, SystemClock};

use super::{
    CREATED, Called, Entry, FaultCase, Found, History, MADE, OWNER, Order, Outcome, PublicKeys,
    RepeatedFault, SWEEP, SignedResult, Table, Violation, ViolationKind, What,
};
use crate::faults::{CallSite, ObservedCall, mix};
use crate::shop::{numbered_generator, numbered_product};
use crate::{KilledEnvironments, Receiver, Reception, Shop, logs};

/// A queued order, and the turn of the worker to disturb at every call that it makes to AWS.
#[derive(Debug, Clone, Copy)]
pub struct WorkerScenario {
    /// The name in messages.
    pub name: &'static str,
    /// The number of keys in stock when the order is placed.
    pub stock: usize,
    /// The number of keys in the order.
    pub quantity: usize,
    /// True if keys are generated when stock is short.
    pub generate: bool,
    /// The event before the turn.
    pub before: Before,
    /// The code of the final callback.
    pub code: u64,
}

/// The event between the order and the disturbed turn of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing: the turn is the first one.
    Nothing,
    /// A turn that found too little stock. Then this number of keys arrives.
    Restock(usize),
    /// A turn that found too little stock. Then the order's waiting time ends.
    TimeIsOver,
    /// A turn that filled the order, but whose callback failed.
    FailedCallback,
}

/// The waiting time of an order, in seconds.
const WAIT_SECONDS: u32 = 300;

impl WorkerScenario {
    /// Runs the turn undisturbed to find its calls. Then runs it again for each call and each disturbance,
    /// for its own product and in its own environment. After each run: lets time pass until the queue is
    /// empty, delivers the late calls, and lets time pass again. Two more runs kill the environment right
    /// before and right after the shop accepts the callback. At the end the check compares every callback
    /// with the table.
    ///
    /// # Panics
    /// If the shop cannot be set up, or does not accept an order.
    pub async fn disturb_everywhere(&self, shop: &Shop, cases: &[FaultCase]) -> Found {
        [OWNER, CREATED, MADE].into_iter().for_each(logs::keep_secret);
        let receiver = Receiver::start().await;
        let mut scene = Scene { scenario: *self, shop, receiver, history: History::default(), runs: 0 };
        let undisturbed = Arc::new(RepeatedFault::none());
        shop.let_orders_wait_for(WAIT_SECONDS).await;
        let calls_back = scene.run(&undisturbed, "undisturbed", None).await > 0;
        let calls = undisturbed.points();
        let (mut points, mut known, mut disturbed) = (VecDeque::from(calls.clone()), calls.clone(), 0);
        while let Some(point) = points.pop_front() {
            let CallSite { operation, nth } = &point;
            for case in cases {
                let writes = ObservedCall::is_write(operation) || ObservedCall::is_of_queue(operation);
                if case.writes_only && !writes {
                    continue;
                }
                let row = Arc::new(RepeatedFault::of(case.fault.clone(), case.times, point.clone()));
                scene.run(&row, &format!("{}-{operation}-{}", case.name, nth + 1), None).await;
                disturbed += 1;
                for point in row.points().into_iter().filter(|_| row.ends_the_process()) {
                    if !known.contains(&point) {
                        known.push(point.clone());
                        points.push_back(point);
                    }
                }
            }
        }
        let deaths = [
            ("dies-before-the-callback", Reception::KillBefore as Death),
            ("dies-after-the-callback", Reception::KillAfter),
        ];
        for (name, death) in deaths.into_iter().filter(|_| calls_back) {
            scene.run(&undisturbed, name, Some(death)).await;
            disturbed += 1;
        }
        let calls = calls.into_iter().map(|point| point.operation).collect();
        Found { calls, disturbed, violations: scene.violations().await }
    }
}

/// The death of an environment around a callback.
type Death = fn(KilledEnvironments, u32) -> Reception;

/// A running scenario.
struct Scene<'a> {
    scenario: WorkerScenario,
    shop: &'a Shop,
    receiver: Receiver,
    history: History,
    runs: u32,
}

impl Scene<'_> {
    /// Runs the scenario once. Returns the number of callbacks in the worker's turn.
    async fn run(&mut self, row: &Arc<RepeatedFault>, name: &str, death: Option<Death>) -> usize {
        self.runs += 1;
        let (shop, scenario, number) = (self.shop, self.scenario, self.runs);
        self.place(name).await;
        self.prepare().await;

        let ahead = shop.clock.now().unix_seconds() - SystemClock.now().unix_seconds() + 1;
        let mut environment = shop.environment(number, mix(&[12, u64::from(number)]), ahead).await;
        self.receiver.receive(death.map(|death| death(environment.deaths().clone(), number)));
        let heard_before = self.receiver.callbacks().len();
        shop.set_fault_plan(Some(Arc::clone(row) as _));
        while environment.work().await.is_ok_and(|messages| messages > 0) {}
        environment.kill();
        shop.set_fault_plan(None);
        let heard = self.receiver.callbacks().len() - heard_before;
        assert!(self.receiver.is_script_over(), "{}-{name}: no callback", scenario.name);

        shop.let_queue_end(SWEEP).await;
        shop.deliver_postponed().await;
        shop.let_queue_end(SWEEP).await;
        heard
    }

    /// Places the order of a run.
    async fn place(&mut self, name: &str) {
        let (shop, scenario, product) = (self.shop, self.scenario, self.product());
        shop.add_product(numbered_product(product, None)).await;
        shop.add_generator(numbered_generator(product, MADE)).await;
        self.stock(scenario.stock).await;
        let WorkerScenario { quantity, generate, .. } = scenario;
        let order = Order {
            what: What::Queue { quantity, generate, webhook_url: self.receiver.url.clone() },
            product,
            owner: format!("{OWNER}{}-{name}", scenario.name),
            mark: product,
            idempotency_key: None,
        };
        let parameters = order.parameters();
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = shop.post(order.endpoint(), &parameters).await;
        assert_eq!(answer.code(), 807, "{order}: {}", answer.text);
        self.history
            .entries
            .push(Entry { order, outcome: Outcome::SignedResult(SignedResult::read(&answer)) });
    }

    /// Causes the event before the turn of the worker.
    async fn prepare(&mut self) {
        let (shop, before) = (self.shop, self.scenario.before);
        if before == Before::FailedCallback {
            self.receiver.respond(&[500]);
        }
        if before != Before::Nothing {
            shop.process_orders().await;
        }
        if let Before::Restock(count) = before {
            self.stock(count).await;
        }
        shop.clock.advance_seconds(match before {
            Before::Nothing => 0,
            Before::Restock(_) | Before::FailedCallback => 60,
            Before::TimeIsOver => i64::from(WAIT_SECONDS),
        });
        shop.sweep_orders().await;
    }

    async fn stock(&mut self, count: usize) {
        let so_far = self.history.initial_stock.len();
        let keys = self.shop.stock_named(self.product(), &format!("{CREATED}{so_far}-"), count).await;
        self.history.initial_stock.extend(keys);
    }

    fn product(&self) -> u32 {
        100 + self.runs
    }

    /// Compares everything with the table, and each callback with the expected code.
    async fn violations(mut self) -> Vec<Violation> {
        let public_keys = PublicKeys::global_of(self.shop).await;
        let (called, mut violations) = Called::read(&self.receiver, &self.history.entries, &public_keys);
        violations.extend(
            called.iter().filter(|call| call.told.code != self.scenario.code).map(|call| Violation {
                kind: ViolationKind::Other,
                text: format!("a wrong code: {call:?}"),
            }),
        );
        self.history.called = called;
        violations.extend(self.history.check(&Table::read(self.shop).await));
        violations
    }
}
