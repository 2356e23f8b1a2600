use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use keypool_domain::ProductId;
use keypool_store::Look;

use super::buyer::post;
use super::{
    CREATED, Called, Entry, History, MADE, OWNER, Order, Outcome, PublicKeys, RepeatedFault, SignedResult,
    Table, Violation, What,
};
use crate::faults::{CallSite, ObservedCall, mix};
use crate::shop::{numbered_generator, numbered_product};
use crate::{Environment, Fault, Lost, Promise, Receiver, Shop, ShopResponse, Sweep, logs};

/// A request to disturb at every call that it makes to AWS.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The name in messages.
    pub name: &'static str,
    /// The number of keys in stock before.
    pub stock: usize,
    /// Makes the request, given these keys. A queued order gets the URL of a shop that accepts every
    /// callback.
    pub what: fn(&[String]) -> What,
    /// The code of an undisturbed response.
    pub code: u64,
    /// True if it has an `Idempotency-Key`.
    pub idempotent: bool,
}

/// An event at a call.
#[derive(Debug, Clone)]
pub struct FaultCase {
    /// The name in messages.
    pub name: &'static str,
    /// The fault.
    pub fault: Fault,
    /// The number of disturbed calls: this one and the next ones of the same operation.
    pub times: usize,
    /// True if only writes are disturbed. Other late or lost calls have no effect.
    pub writes_only: bool,
    /// The response that the buyer must get.
    pub expected: Expected,
}

/// The response that a buyer must get despite a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The response of an undisturbed run.
    Answer,
    /// The undisturbed response, or a 503 and nothing is ever done.
    AnswerOrRefusal,
    /// Any response or none: the request may have been done or not.
    Nothing,
}

/// The results of a scenario.
#[derive(Debug, Clone)]
pub struct Found {
    /// The calls of an undisturbed run.
    pub calls: Vec<String>,
    /// The number of disturbed runs.
    pub disturbed: usize,
    /// The violated invariants.
    pub violations: Vec<Violation>,
}

/// The seconds by which the clock is ahead when the request is repeated: past all leases.
const AFTERWARDS_SECONDS: i64 = 3_600;

impl Scenario {
    /// Runs the request undisturbed to find its calls. Then runs it again for each call and each disturbance,
    /// for its own product and in its own environment. After each run: runs `sweep`, repeats the request from
    /// another environment, delivers the late calls, runs `sweep` again, and sells the rest of the stock. At
    /// the end the check compares all responses with the table.
    ///
    /// # Panics
    /// If the shop cannot be set up, or a buyer does not get the expected response.
    pub async fn disturb_everywhere(&self, shop: &Shop, cases: &[FaultCase], sweep: Sweep) -> Found {
        [OWNER, CREATED, MADE].into_iter().for_each(logs::keep_secret);
        let receiver = Receiver::start().await;
        let mut scene = Scene { scenario: self, shop, receiver, history: History::default(), runs: 0 };
        let undisturbed = Arc::new(RepeatedFault::none());
        scene.run(&undisturbed, "undisturbed", Expected::Answer, sweep).await;
        let calls = undisturbed.points();
        let (mut points, mut disturbed) = (VecDeque::from(calls.clone()), 0);
        let mut known = calls.clone();
        while let Some(point) = points.pop_front() {
            let CallSite { operation, nth } = &point;
            for case in cases {
                let writes = ObservedCall::is_write(operation) || ObservedCall::is_of_queue(operation);
                if case.writes_only && !writes {
                    continue;
                }
                let row = Arc::new(RepeatedFault::of(case.fault.clone(), case.times, point.clone()));
                let name = format!("{}-{operation}-{}", case.name, nth + 1);
                scene.run(&row, &name, self.expected(case), sweep).await;
                disturbed += 1;
                // A run may need more calls than the first, if a draw passes the end of the stock. Retries of
                // a disturbed call do not count.
                let more = if row.ends_the_process() { row.points() } else { Vec::new() };
                for point in more.into_iter().filter(|point| !known.contains(point)).collect::<Vec<_>>() {
                    known.push(point.clone());
                    points.push_back(point);
                }
            }
        }
        let calls = calls.into_iter().map(|point| point.operation).collect();
        let public_keys = PublicKeys::global_of(shop).await;
        let (called, mut violations) = Called::read(&scene.receiver, &scene.history.entries, &public_keys);
        scene.history.called = called;
        violations.extend(scene.history.check(&Table::read(shop).await));
        Found { calls, disturbed, violations }
    }
}

impl Scenario {
    fn expected(&self, case: &FaultCase) -> Expected {
        // Keys that are generated for an order were never in stock. If they arrive late, no response names
        // them, and no stock lacks them.
        let makes_keys = matches!(
            (self.what)(&[]),
            What::Buy { generate: true, .. } | What::Replace { generate: true, .. }
        );
        match case.expected {
            Expected::AnswerOrRefusal if makes_keys && case.fault == Fault::Postpone => Expected::Nothing,
            expected => expected,
        }
    }
}

/// A running scenario.
struct Scene<'a> {
    scenario: &'a Scenario,
    shop: &'a Shop,
    receiver: Receiver,
    history: History,
    runs: u32,
}

impl Scene<'_> {
    /// Runs the scenario once.
    async fn run(&mut self, row: &Arc<RepeatedFault>, name: &str, expected: Expected, sweep: Sweep) {
        self.runs += 1;
        let product = 100 + self.runs;
        let (shop, scenario) = (self.shop, self.scenario);
        shop.add_product(numbered_product(product, None)).await;
        shop.add_generator(numbered_generator(product, MADE)).await;
        let stock = shop.stock_named(product, CREATED, scenario.stock).await;
        let mut what = (scenario.what)(&stock);
        if let What::Queue { webhook_url, .. } = &mut what {
            webhook_url.clone_from(&self.receiver.url);
        }
        let order = |part: u32| Order {
            what: what.clone(),
            product,
            owner: format!("{OWNER}{}-{name}-{part}", scenario.name),
            mark: 10 * product + part,
            idempotency_key: scenario.idempotent.then(|| format!("{}-{name}", scenario.name)),
        };
        self.history.initial_stock.extend(stock.iter().cloned());

        if let What::Replace { license_key, .. } = &what {
            self.sell(license_key, product, name).await;
        }
        let first = order(0);
        shop.set_fault_plan(Some(Arc::clone(row) as _));
        let mut environment = self.environment(0, 0).await;
        let answer = post(&environment, &first).await;
        let died = environment.is_dead();
        environment.kill();
        shop.set_fault_plan(None);
        // A row that would begin after the last call disturbs nothing.
        let outcome = self.outcome(&first, answer, if died { Expected::Nothing } else { expected });
        shop.sweep(sweep, AFTERWARDS_SECONDS).await;

        let environment = self.environment(1, AFTERWARDS_SECONDS).await;
        let again = if scenario.idempotent { first.clone() } else { order(1) };
        // Without an Idempotency-Key the second order is a new one, and may find too little stock.
        let right = if scenario.idempotent { Expected::Answer } else { Expected::Nothing };
        let asked_again = self.tell(&environment, &again, right).await;
        shop.deliver_postponed().await;
        shop.sweep(sweep, AFTERWARDS_SECONDS).await;
        shop.let_queue_end(sweep).await;
        if scenario.idempotent {
            let once_more = self.tell(&environment, &again, Expected::Answer).await;
            for told in [outcome, asked_again].iter().filter(|told| matches!(told, Outcome::SignedResult(_)))
            {
                assert_eq!(*told, once_more, "{first}: two different responses");
            }
            self.history.entries.push(Entry { order: first, outcome: once_more });
        } else {
            self.history.entries.push(Entry { order: first, outcome });
            self.history.entries.push(Entry { order: again, outcome: asked_again });
        }
        self.sell_the_rest(&environment, product, name).await;
    }

    /// Sells the key to replace.
    async fn sell(&mut self, license_key: &str, product: u32, name: &str) {
        let order = Order {
            what: What::Assign(license_key.to_owned()),
            product,
            owner: format!("{OWNER}{}-{name}-before", self.scenario.name),
            mark: 10 * product + 8,
            idempotency_key: None,
        };
        let answer = post(&self.environment(2, 0).await, &order).await.unwrap();
        assert_eq!(answer.code(), 800, "{order}: {}", answer.text);
        self.history
            .entries
            .push(Entry { order, outcome: Outcome::SignedResult(SignedResult::read(&answer)) });
    }

    async fn environment(&self, part: u32, skew: i64) -> Environment {
        let number = 3 * self.runs + part;
        self.shop.environment(number, mix(&[8, u64::from(number)]), skew).await
    }

    /// Sends an order without case.
    async fn tell(&self, environment: &Environment, order: &Order, expected: Expected) -> Outcome {
        self.outcome(order, post(environment, order).await, expected)
    }

    /// Returns the outcome of a response.
    fn outcome(&self, order: &Order, answer: Result<ShopResponse, Lost>, expected: Expected) -> Outcome {
        let told = answer.as_ref().ok().filter(|response| response.status == 200).map(SignedResult::read);
        let promise = answer.as_ref().ok().and_then(Promise::of);
        let code = told.as_ref().map(|told| told.code);
        let answer = answer.map(|response| response.text);
        match (told, expected) {
            (Some(told), Expected::Nothing) => Outcome::SignedResult(told),
            (Some(told), _) => {
                assert_eq!(code, Some(self.scenario.code), "{order}: {answer:?}");
                Outcome::SignedResult(told)
            }
            (None, Expected::Nothing) => promise.map_or(Outcome::Nothing, Outcome::Unavailable),
            (None, Expected::AnswerOrRefusal) => Outcome::Refused,
            (None, Expected::Answer) => panic!("{order}: {answer:?}"),
        }
    }

    /// Checks that the whole stock can be bought.
    async fn sell_the_rest(&mut self, environment: &Environment, product: u32, name: &str) {
        let id: ProductId = product.to_string().parse().unwrap();
        let drawn = self.shop.store.draw(id, 90, &HashSet::new(), Look::Twice).await.unwrap();
        let available = drawn.candidates.len();
        assert!(available < 90, "a scenario has fewer keys");
        if available == 0 {
            return;
        }
        let order = Order {
            what: What::Buy { quantity: available, generate: false },
            product,
            owner: format!("{OWNER}{}-{name}-rest", self.scenario.name),
            mark: 10 * product + 9,
            idempotency_key: None,
        };
        let answer = post(environment, &order).await.unwrap();
        assert_eq!(answer.code(), 803, "{order}: {}", answer.text);
        self.history
            .entries
            .push(Entry { order, outcome: Outcome::SignedResult(SignedResult::read(&answer)) });
    }
}
