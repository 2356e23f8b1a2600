use std::collections::HashSet;
use std::sync::Arc;

use keypool_domain::ProductId;
use keypool_store::Drawn;

use super::buyer::post;
use super::{CREATED, Entry, History, MADE, OWNER, Order, Outcome, Table, Told, Violation, What};
use crate::shop::{numbered_generator, numbered_product};
use crate::weather::{Crash, Moment, Seen, mix};
use crate::{Environment, Shop, logs};

/// A request that is to be cut off at every call that it makes to AWS.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is called where something is wrong.
    pub name: &'static str,
    /// How many keys are in stock before.
    pub stock: usize,
    /// What is asked for, of those keys.
    pub what: fn(&[String]) -> What,
    /// The code of the response when nothing goes wrong.
    pub code: u64,
    /// Whether it has an `Idempotency-Key`.
    pub idempotent: bool,
}

/// What was found where a request was cut off.
#[derive(Debug, Clone)]
pub struct Crashes {
    /// The calls of a run that nothing disturbed.
    pub calls: Vec<String>,
    /// How often it was cut off.
    pub crashes: usize,
    /// Invariants that do not hold.
    pub violations: Vec<Violation>,
}

/// How far ahead the clock stands when the request is sent again, in seconds: past all leases.
const AFTERWARDS_SECONDS: i64 = 3_600;

impl Scenario {
    /// Runs it undisturbed to find its calls. Then, for each of them and for each [`Moment`]: runs it again, on a product
    /// of its own, in an environment of its own that dies there; does `sweep`, sends the request again, lets the call
    /// through if it is late, does `sweep` again, and sells what is left. At the end everything is held against the table.
    ///
    /// # Panics
    /// If the shop cannot be set up.
    pub async fn crash_everywhere(&self, shop: &Shop, sweep: impl AsyncFn(&Shop)) -> Crashes {
        [OWNER, CREATED, MADE].into_iter().for_each(logs::keep_secret);
        let mut scene = Scene { scenario: self, shop, history: History::default(), runs: 0 };
        let undisturbed = Arc::new(Crash::never());
        scene.run(&undisturbed, "undisturbed", &sweep).await;
        let calls = undisturbed.calls();
        let (mut place, mut longest, mut crashes) = (0, calls.clone(), 0);
        while place < longest.len() {
            for moment in Moment::ALL {
                // What only reads does nothing later either.
                let writes = Seen::is_write(&longest[place]);
                if moment == Moment::Late && !writes {
                    continue;
                }
                let crash = Arc::new(Crash::at(place, moment));
                let name = format!("{moment:?}-{}-{}", place + 1, longest[place]);
                if scene.run(&crash, &name, &sweep).await {
                    crashes += 1;
                }
                // A run may need more calls than another, when a draw runs over the end of the stock.
                if crash.calls().len() > longest.len() {
                    longest = crash.calls();
                }
            }
            place += 1;
        }
        let violations = scene.history.check(&Table::read(shop).await);
        Crashes { calls, crashes, violations }
    }
}

/// A scenario under way.
struct Scene<'a> {
    scenario: &'a Scenario,
    shop: &'a Shop,
    history: History,
    runs: u32,
}

impl Scene<'_> {
    /// Runs it once, and says whether it was cut off.
    async fn run(&mut self, crash: &Arc<Crash>, name: &str, sweep: &impl AsyncFn(&Shop)) -> bool {
        self.runs += 1;
        let product = 100 + self.runs;
        let (shop, scenario) = (self.shop, self.scenario);
        shop.add_product(numbered_product(product, None)).await;
        shop.add_generator(numbered_generator(product, MADE)).await;
        let stock = shop.stock_named(product, CREATED, scenario.stock).await;
        let order = |part: u32| Order {
            what: (scenario.what)(&stock),
            product,
            owner: format!("{OWNER}{}-{name}-{part}", scenario.name),
            mark: 10 * product + part,
            idempotency_key: scenario.idempotent.then(|| format!("{}-{name}", scenario.name)),
        };
        self.history.initial_stock.extend(stock.iter().cloned());

        let first = order(0);
        shop.set_weather(Some(Arc::clone(crash) as _));
        let mut environment = self.environment(0, 0).await;
        let answer = post(&environment, &first).await;
        let died = environment.is_dead();
        environment.kill();
        shop.set_weather(None);
        let outcome = self.outcome(&first, answer, !died);
        sweep(shop).await;

        let environment = self.environment(1, AFTERWARDS_SECONDS).await;
        let again = if scenario.idempotent { first.clone() } else { order(1) };
        // Without an Idempotency-Key the order is placed anew, and need not find enough any more.
        let asked_again = self.tell(&environment, &again, scenario.idempotent).await;
        let _ = shop.dynamodb.deliver().await;
        let _ = shop.kms.deliver().await;
        sweep(shop).await;
        if scenario.idempotent {
            let once_more = self.tell(&environment, &again, true).await;
            let told = [&outcome, &asked_again].into_iter().filter(|told| **told != Outcome::Nothing);
            assert!(told.clone().all(|told| *told == once_more), "{first}: two different answers");
            self.history.entries.push(Entry { order: first, outcome: once_more });
        } else {
            self.history.entries.push(Entry { order: first, outcome });
            self.history.entries.push(Entry { order: again, outcome: asked_again });
        }
        self.sell_the_rest(&environment, product, name).await;
        died
    }

    async fn environment(&self, part: u32, skew: i64) -> Environment {
        let number = 2 * self.runs + part;
        self.shop.environment(number, mix(&[8, u64::from(number)]), skew).await
    }

    /// Sends an order that nothing disturbs.
    async fn tell(&self, environment: &Environment, order: &Order, as_first: bool) -> Outcome {
        let answer = post(environment, order).await;
        self.outcome(order, answer, as_first)
    }

    /// What an answer tells. If nothing has disturbed it, it is the one that the scenario expects.
    fn outcome(
        &self,
        order: &Order,
        answer: Result<crate::ShopResponse, crate::Lost>,
        expected: bool,
    ) -> Outcome {
        let told =
            answer.ok().filter(|response| response.status == 200).map(|response| Told::read(&response));
        if expected {
            assert_eq!(told.as_ref().map(|told| told.code), Some(self.scenario.code), "{order}");
        }
        told.map_or(Outcome::Nothing, Outcome::Told)
    }

    /// Everything that is in stock can be bought.
    async fn sell_the_rest(&mut self, environment: &Environment, product: u32, name: &str) {
        let id: ProductId = product.to_string().parse().unwrap();
        let drawn = self.shop.store.draw_candidates(id, 99, &HashSet::new()).await.unwrap();
        let Drawn::TooFew { available } = drawn else { panic!("a scenario has less than 99 keys") };
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
        self.history.entries.push(Entry { order, outcome: Outcome::Told(Told::read(&answer)) });
    }
}
