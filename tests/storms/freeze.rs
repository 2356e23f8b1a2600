use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use keypool_aws::Timeouts;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::time::Instant;

use super::buyer::post;
use super::{
    CREATED, Entry, History, MADE, OWNER, Order, Outcome, SWEEP, Scenario, SignedResult, Table, Violation,
    ViolationKind,
};
use crate::faults::{CallSite, FaultPlan, ObservedCall, mix};
use crate::lambda::{LambdaFunction, binary_of, request_event};
use crate::shop::{numbered_generator, numbered_product};
use crate::{API_KEY, Fault, Promise, Shop, ShopResponse, logs};

/// A request whose environment froze at one of its calls until the time for a response was over.
#[derive(Debug, Clone)]
pub struct FrozenRun {
    /// The call, or `None` for the undisturbed run.
    pub at: Option<CallSite>,
    /// True if the request reached this call.
    pub is_frozen: bool,
    /// The request.
    pub order: Order,
    /// The outcome for its buyer.
    pub outcome: Outcome,
    /// The number of keys of its owner right after the response.
    pub keys_at_the_answer: usize,
    /// The number of keys of its owner after the process ended.
    pub keys_at_the_end: usize,
}

/// The results of a request that was frozen at each of its calls.
#[derive(Debug, Clone)]
pub struct FrozenRuns {
    /// The runs.
    pub runs: Vec<FrozenRun>,
    /// The violated invariants.
    pub violations: Vec<Violation>,
}

/// The number of concurrent environments. They mostly wait.
const SIDE_BY_SIDE: usize = 6;
/// The largest number of calls tried for one operation: the first, the last, and others at equal distances.
const CALLS_OF_AN_OPERATION_MAX: usize = 5;
/// The time between the end of the buyer's wait and the thaw.
const MARGIN: Duration = Duration::from_millis(100);
/// The seconds by which the clock is ahead when the sweep runs: past all leases.
const AFTERWARDS_SECONDS: i64 = 3_600;

impl Scenario {
    /// Runs the function's `binary` undisturbed to find the calls of the request. Then runs it again for each
    /// call: stops the process when the call arrives, lets the service execute it, and continues the process
    /// after the buyer's time-out. At the end the sweep completes abandoned work, and requests with an
    /// `Idempotency-Key` are repeated. The check compares every response with the table.
    ///
    /// # Panics
    /// If the shop cannot be set up, the undisturbed request fails, or a function reports an error.
    pub async fn freeze_everywhere(&self, shop: &Shop, binary: &Path) -> FrozenRuns {
        [OWNER, CREATED, MADE].into_iter().for_each(logs::keep_secret);
        let freezer = Arc::new(Freezer::default());
        shop.set_fault_plan(Some(Arc::clone(&freezer) as _));
        let scene = Scene { scenario: self, shop, binary, freezer: &freezer };
        let mut history = History::default();
        let (undisturbed, stock) = scene.run(0, None).await;
        history.initial_stock.extend(stock);
        let Outcome::SignedResult(told) = &undisturbed.outcome else {
            panic!("{}: no response", undisturbed.order)
        };
        assert_eq!(told.code, self.code, "{}", undisturbed.order);

        let points = sample(&freezer.points_of(0));
        let cases = (1..).zip(points).map(|(number, point)| scene.run(number, Some(point)));
        let mut runs = vec![undisturbed];
        let mut finished = stream::iter(cases).buffered(SIDE_BY_SIDE);
        while let Some((run, stock)) = finished.next().await {
            history.initial_stock.extend(stock);
            runs.push(run);
        }
        shop.set_fault_plan(None);
        shop.sweep(SWEEP, AFTERWARDS_SECONDS).await;
        history.entries =
            runs.iter().map(|run| Entry { order: run.order.clone(), outcome: run.outcome.clone() }).collect();
        let mut violations: Vec<Violation> = runs.iter().filter_map(FrozenRun::broken_promise).collect();
        if self.idempotent {
            violations.extend(send_again(shop, &mut history.entries).await);
            shop.sweep(SWEEP, AFTERWARDS_SECONDS).await;
        }
        violations.extend(history.check(&Table::read(shop).await));
        FrozenRuns { runs, violations }
    }
}

impl FrozenRun {
    /// Returns a violation if the function promised that nothing was sold, but the owner had keys then or at
    /// the end.
    fn broken_promise(&self) -> Option<Violation> {
        let keys = self.keys_at_the_answer.max(self.keys_at_the_end);
        let is_broken = self.outcome == Outcome::Unavailable(Promise::NothingSold) && keys > 0;
        let text = || format!("{self}: has {keys} keys despite a promise that nothing was sold");
        is_broken.then(|| Violation { kind: ViolationKind::FalseNothing, text: text() })
    }
}

impl std::fmt::Display for FrozenRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.at {
            Some(CallSite { operation, nth }) => {
                write!(f, "{}, frozen at {operation} {}", self.order, nth + 1)
            }
            None => write!(f, "{}, undisturbed", self.order),
        }
    }
}

/// A running scenario.
struct Scene<'a> {
    scenario: &'a Scenario,
    shop: &'a Shop,
    binary: &'a Path,
    freezer: &'a Freezer,
}

impl Scene<'_> {
    /// Runs the request once, in its own process and for its own product. Also returns the product's stock.
    async fn run(&self, number: u32, at: Option<CallSite>) -> (FrozenRun, Vec<String>) {
        let (shop, scenario) = (self.shop, self.scenario);
        let product = 100 + number;
        shop.add_product(numbered_product(product, None)).await;
        shop.add_generator(numbered_generator(product, MADE)).await;
        let stock = shop.stock_named(product, CREATED, scenario.stock).await;
        let order = Order {
            what: (scenario.what)(&stock),
            product,
            owner: format!("{OWNER}{}-{number}", scenario.name),
            mark: product,
            idempotency_key: scenario.idempotent.then(|| format!("{}-{number}", scenario.name)),
        };
        let mut function = self.start(&order, number).await;
        let (answer, is_frozen) = self.invoke(&function, &order, number, at.clone()).await;
        let keys_at_the_answer = keys_of(shop, &order).await;
        let _ = function.terminate();
        let keys_at_the_end = keys_of(shop, &order).await;
        answer.check_form();
        let outcome = if let Some(promise) = Promise::of(&answer) {
            Outcome::Unavailable(promise)
        } else {
            assert_eq!(answer.status, 200, "{order}: {}", answer.text);
            Outcome::SignedResult(SignedResult::read(&answer))
        };
        (FrozenRun { at, is_frozen, order, outcome, keys_at_the_answer, keys_at_the_end }, stock)
    }

    async fn start(&self, order: &Order, number: u32) -> LambdaFunction {
        let function = order.endpoint();
        let at = |url: String| format!("{url}/{function}/{number}");
        let (dynamodb, kms) = (at(self.shop.dynamodb.url()), at(self.shop.kms.url()));
        let variables = [
            ("KEYPOOL_TESTS_FUNCTION", function),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.as_str()),
            ("AWS_ENDPOINT_URL", kms.as_str()),
        ];
        let started =
            LambdaFunction::start_with(&binary_of(function, self.binary), self.shop, &variables).await;
        started.first_poll().await;
        started
    }

    /// Sends the order. Returns the response, and true if the environment was frozen meanwhile.
    async fn invoke(
        &self,
        function: &LambdaFunction,
        order: &Order,
        number: u32,
        at: Option<CallSite>,
    ) -> (ShopResponse, bool) {
        let mut frozen = self.freezer.freeze(number, function.process(), at);
        let parameters = order.parameters();
        let mut form = vec![("api_key", API_KEY)];
        form.extend(parameters.iter().map(|(name, value)| (*name, value.as_str())));
        let event = request_event(order.endpoint(), &form, order.idempotency_key.as_deref());
        let time_is_over = Instant::now() + Timeouts::CHECKOUT.answer_within + MARGIN;
        let mut invoked = std::pin::pin!(function.invoke(event));
        let outcome = tokio::select! {
            biased;
            _ = frozen.wait_for(|is_frozen| *is_frozen) => {
                // The stopped process reads no clock, so the test waits until the time is really over.
                tokio::time::sleep_until(time_is_over).await;
                function.thaw();
                invoked.await
            }
            outcome = &mut invoked => outcome,
        };
        let answer = outcome.unwrap_or_else(|error| panic!("{order}: the function reports {error}"));
        let is_frozen = *frozen.borrow();
        (ShopResponse::of_lambda(&answer), is_frozen)
    }
}

/// Returns the number of keys of an order's owner.
async fn keys_of(shop: &Shop, order: &Order) -> usize {
    let table = Table::read(shop).await;
    let assigned = table.keys.values().filter(|stored| stored.status == "assigned");
    assigned.filter(|stored| stored.row.owner == order.owner).count()
}

/// Repeats requests with an `Idempotency-Key`. Old responses must repeat, and the other requests must get a
/// response now.
async fn send_again(shop: &Shop, entries: &mut [Entry]) -> Vec<Violation> {
    let environment = shop.environment(u32::MAX, mix(&[10]), AFTERWARDS_SECONDS).await;
    let mut violations = Vec::new();
    for Entry { order, outcome } in entries {
        let answer = post(&environment, order).await.unwrap();
        let told = (answer.status == 200).then(|| SignedResult::read(&answer));
        match (&*outcome, told) {
            (Outcome::SignedResult(before), Some(now)) if *before == now => {}
            (Outcome::SignedResult(before), now) => violations.push(Violation {
                kind: ViolationKind::Other,
                text: format!("{order}: first response {before:?}, later response {now:?}"),
            }),
            (_, Some(now)) => *outcome = Outcome::SignedResult(now),
            (_, None) => violations.push(Violation {
                kind: ViolationKind::Other,
                text: format!("{order}: unexpected response {}", answer.text),
            }),
        }
    }
    violations
}

/// Selects some calls of each operation.
fn sample(points: &[CallSite]) -> Vec<CallSite> {
    let mut by_operation = BTreeMap::<&str, Vec<&CallSite>>::new();
    for point in points {
        by_operation.entry(&point.operation).or_default().push(point);
    }
    let chosen = by_operation.into_values().flat_map(|calls| {
        let last = calls.len() - 1;
        let count = calls.len().min(CALLS_OF_AN_OPERATION_MAX);
        (0..count).map(move |nth| calls[nth * last / (count - 1).max(1)].clone()).collect::<Vec<_>>()
    });
    chosen.collect()
}

/// Stops processes, each at one of its calls, and records all calls.
#[derive(Debug, Default)]
struct Freezer(Mutex<HashMap<u32, Freeze>>);

#[derive(Debug)]
struct Freeze {
    process: Pid,
    at: Option<CallSite>,
    points: Vec<CallSite>,
    frozen: watch::Sender<bool>,
}

impl Freezer {
    /// Watches an environment from now on. The receiver turns true when the process stops.
    fn freeze(&self, environment: u32, process: u32, at: Option<CallSite>) -> watch::Receiver<bool> {
        let (frozen, when) = watch::channel(false);
        let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
        self.freezes().insert(environment, Freeze { process, at, points: Vec::new(), frozen });
        when
    }

    fn points_of(&self, environment: u32) -> Vec<CallSite> {
        self.freezes()[&environment].points.clone()
    }

    fn freezes(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Freeze>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultPlan for Freezer {
    /// The call itself always passes: the response waits in the socket of the stopped process.
    fn fault(&self, seen: &ObservedCall) -> Fault {
        let mut freezes = self.freezes();
        if let Some(freeze) = freezes.get_mut(&seen.environment) {
            let point =
                CallSite { operation: seen.operation.clone(), nth: usize::try_from(seen.nth).unwrap() };
            if freeze.at.as_ref() == Some(&point) {
                kill_process(freeze.process, Signal::STOP).unwrap();
                freeze.frozen.send_replace(true);
            }
            freeze.points.push(point);
        }
        Fault::Pass
    }

    fn count(&self, _seen: &ObservedCall, _fault: &Fault) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storms::What;

    #[test]
    fn a_promise_is_broken_by_keys_then_or_later() {
        let run = |promise, keys_at_the_answer, keys_at_the_end| FrozenRun {
            at: Some(CallSite { operation: "UpdateItem".to_owned(), nth: 0 }),
            is_frozen: true,
            order: Order {
                what: What::Buy { quantity: 1, generate: false },
                product: 101,
                owner: format!("{OWNER}1"),
                mark: 1,
                idempotency_key: None,
            },
            outcome: Outcome::Unavailable(promise),
            keys_at_the_answer,
            keys_at_the_end,
        };
        for (at_the_answer, at_the_end, is_broken) in [(0, 0, false), (1, 0, true), (0, 1, true)] {
            let broken = run(Promise::NothingSold, at_the_answer, at_the_end).broken_promise();
            assert_eq!(
                broken.map(|violation| violation.kind),
                is_broken.then_some(ViolationKind::FalseNothing)
            );
            for promise in [Promise::OutcomeUnknown, Promise::Untyped] {
                assert_eq!(run(promise, at_the_answer, at_the_end).broken_promise(), None);
            }
        }
    }

    #[test]
    fn a_sample_has_the_first_and_the_last_call_of_each_operation() {
        let points = |operation: &str, nths: &[usize]| -> Vec<CallSite> {
            nths.iter().map(|nth| CallSite { operation: operation.to_owned(), nth: *nth }).collect()
        };
        let all = [
            points("Query", &[0]),
            points("UpdateItem", &(0..120).collect::<Vec<_>>()),
            points("Sign", &[0, 1]),
            points("PutItem", &[0, 1, 2]),
        ];
        let expected = [
            points("PutItem", &[0, 1, 2]),
            points("Query", &[0]),
            points("Sign", &[0, 1]),
            points("UpdateItem", &[0, 29, 59, 89, 119]),
        ];
        assert_eq!(sample(&all.concat()), expected.concat());
    }
}
