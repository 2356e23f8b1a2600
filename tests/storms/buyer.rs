use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keypool_local::DeliveryFaults;

use super::mix::Place;
use super::{Entry, Mix, Order, Outcome, PublicKeys, SeededFaults, SignedResult, What};
use crate::faults::{environment_of, mix};
use crate::{Environment, Lost, Promise, Shop, ShopResponse, Sweep};

/// The context that buyers share.
#[derive(Debug)]
pub(super) struct RunContext<'a> {
    pub(super) shop: &'a Shop,
    pub(super) seed: u64,
    pub(super) mix: Mix,
    pub(super) sweep: Sweep,
    pub(super) products: &'a [u32],
    /// The URL for the callbacks of queued orders.
    pub(super) webhook_url: &'a str,
    pub(super) public_keys: PublicKeys,
    pub(super) storm: Arc<SeededFaults>,
    /// Keys that exist or existed: the latest created ones.
    pub(super) known: Mutex<Vec<String>>,
    /// Requests with a response that no request should get.
    pub(super) wrong: Mutex<Vec<String>>,
}

/// The number of orders between two sweeps.
const ORDERS_A_SWEEP: u32 = 16;
/// The number of orders between two batches of the queue in a buyer's environment.
const ORDERS_A_BATCH: u32 = 3;
/// The seconds by which a batch advances the clocks of SQS and the environment.
const BATCH_SECONDS: i64 = 3;
/// The largest number of known keys.
const KNOWN_MAX: usize = 400;
/// The largest number of attempts with one `Idempotency-Key`.
const SENDS_MAX: u32 = 20;
/// The seconds that a shop waits while its first request is under way: longer than any lease.
const LEASE_SECONDS: i64 = 60;

/// A buyer, who places one order after the other. His requests go to one of two environments, and each serves
/// one request at a time.
#[derive(Debug)]
pub(super) struct Buyer<'a> {
    context: &'a RunContext<'a>,
    number: u32,
    environments: [Environment; 2],
    /// The number of environments used so far.
    used: u32,
    pub(super) entries: Vec<Entry>,
    pub(super) sent: u64,
    pub(super) signatures: u64,
}

/// The result of one request.
enum Came {
    SignedResult(SignedResult),
    /// 503.
    Unavailable(Promise),
    /// No response: the outcome is unknown.
    Nothing,
    /// 409: the same request is under way.
    UnderWay,
}

impl<'a> Buyer<'a> {
    pub(super) async fn new(context: &'a RunContext<'a>, number: u32) -> Self {
        let environments =
            [Self::environment(context, number, 0).await, Self::environment(context, number, 1).await];
        Self { context, number, environments, used: 2, entries: Vec::new(), sent: 0, signatures: 0 }
    }

    async fn environment(context: &RunContext<'_>, buyer: u32, nth: u32) -> Environment {
        let number = environment_of(buyer, nth);
        let skew = context.storm.clock_skew_seconds(number);
        context.shop.environment(number, mix(&[context.seed, 6, u64::from(number)]), skew).await
    }

    /// Places the n-th order and repeats it until a response comes or the buyer gives up. Some orders first
    /// run the sweep in the buyer's environment, with faults like everything else.
    pub(super) async fn place(&mut self, nth: u32) {
        if nth.is_multiple_of(ORDERS_A_SWEEP) && self.environments[0].sweep(self.context.sweep).await.is_err()
        {
            self.replace(0).await;
        }
        let at = Place { seed: self.context.seed, buyer: self.number, nth };
        if nth.is_multiple_of(ORDERS_A_BATCH) {
            self.work(nth).await;
        }
        let known = self.context.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let order = self.context.mix.order(at, self.context.products, &known, self.context.webhook_url);
        self.remember_keys(&order);
        if order.idempotency_key.is_some() {
            let outcome = self.insist(&order).await;
            self.entries.push(Entry { order, outcome });
            return;
        }
        // Without a key every attempt is a new order, and the outcome of the earlier attempts is unknown.
        for attempt in 0..Place::ATTEMPTS_MAX {
            let order = Order { owner: at.owner(attempt), mark: at.mark(attempt), ..order.clone() };
            let outcome = match self.send(&order, 0).await {
                Came::SignedResult(told) => Outcome::SignedResult(told),
                Came::Unavailable(promise) => Outcome::Unavailable(promise),
                Came::Nothing | Came::UnderWay => Outcome::Nothing,
            };
            let done = matches!(outcome, Outcome::SignedResult(_));
            self.entries.push(Entry { order, outcome });
            if done {
                return;
            }
        }
    }

    /// Serves a batch of messages in the second environment. Some batches begin with the latest messages.
    async fn work(&mut self, nth: u32) {
        let shop = self.context.shop;
        let reversed =
            mix(&[self.context.seed, 10, u64::from(self.number), u64::from(nth)]).is_multiple_of(2);
        shop.embedded_sqs().set_faults(DeliveryFaults { reversed, ..DeliveryFaults::default() });
        shop.clock.advance_seconds(BATCH_SECONDS);
        self.environments[1].clock.advance_seconds(BATCH_SECONDS);
        if self.environments[1].work().await.is_err() {
            self.replace(1).await;
        }
    }

    /// Repeats the request until a response comes, alternating between the environments. Some first attempts
    /// go to both at once.
    async fn insist(&mut self, order: &Order) -> Outcome {
        let mut first: Option<SignedResult> = None;
        // The weakest promise so far. It is void once an attempt is lost.
        let (mut promise, mut is_lost) = (None::<Promise>, false);
        for send in 0..SENDS_MAX {
            let both = send == 0 && mix(&[self.context.seed, 7, u64::from(order.mark)]).is_multiple_of(8);
            let came =
                if both { self.send_twice(order).await } else { vec![self.send(order, send % 2).await] };
            for came in came {
                match (came, &first) {
                    // Refusals are not stored. A later attempt may succeed.
                    (Came::SignedResult(told), Some(_)) if told.is_refusal() => {}
                    (Came::SignedResult(told), Some(first)) if !first.is_refusal() && told != *first => {
                        self.report(order, &format!("first response {first:?}, later response {told:?}"));
                    }
                    (Came::SignedResult(told), _) => first = Some(told),
                    (Came::UnderWay, _) => {
                        let environment = &self.environments[usize::try_from(1 - send % 2).unwrap()];
                        environment.clock.advance_seconds(LEASE_SECONDS);
                    }
                    (Came::Unavailable(told), _) => promise = promise.max(Some(told)),
                    (Came::Nothing, _) => is_lost = true,
                }
            }
            if let Some(told) = first {
                return Outcome::SignedResult(told);
            }
        }
        promise.filter(|_| !is_lost).map_or(Outcome::Nothing, Outcome::Unavailable)
    }

    async fn send(&mut self, order: &Order, to: u32) -> Came {
        let to = usize::try_from(to).unwrap();
        let came = post(&self.environments[to], order).await;
        self.read(order, to, came).await
    }

    async fn send_twice(&mut self, order: &Order) -> Vec<Came> {
        let [one, other] = &self.environments;
        // The second request starts while the first is at a random point of its way.
        let later = Duration::from_millis(mix(&[self.context.seed, 9, u64::from(order.mark)]) % 60);
        let second = async {
            tokio::time::sleep(later).await;
            post(other, order).await
        };
        let (one, other) = tokio::join!(post(one, order), second);
        vec![self.read(order, 0, one).await, self.read(order, 1, other).await]
    }

    /// Checks a response. A missing response means that the environment needs a replacement.
    async fn read(&mut self, order: &Order, from: usize, answer: Result<ShopResponse, Lost>) -> Came {
        self.sent += 1;
        let Ok(response) = answer else {
            self.replace(from).await;
            return Came::Nothing;
        };
        self.environments[from].clock.advance_seconds(1);
        response.check_form();
        match response.status {
            200 => {
                self.signatures += 1;
                if !self.context.public_keys.verify(&response, order) {
                    self.report(order, "the signature is wrong");
                }
                Came::SignedResult(SignedResult::read(&response))
            }
            503 => Came::Unavailable(Promise::of(&response).unwrap()),
            409 => Came::UnderWay,
            _ => {
                self.report(order, &format!("unexpected response {}", response.text));
                Came::Nothing
            }
        }
    }

    /// Replaces a dead environment.
    async fn replace(&mut self, which: usize) {
        self.environments[which] = Self::environment(self.context, self.number, self.used).await;
        self.used += 1;
    }

    fn report(&self, order: &Order, what: &str) {
        let mut wrong = self.context.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.push(format!("{order}: {what}"));
    }

    /// Makes the keys that this order creates known to other buyers.
    fn remember_keys(&self, order: &Order) {
        let What::Create(keys) = &order.what else { return };
        let mut known = self.context.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(keys.iter().cloned());
        let surplus = known.len().saturating_sub(KNOWN_MAX);
        known.drain(..surplus);
    }
}

pub(super) async fn post(environment: &Environment, order: &Order) -> Result<ShopResponse, Lost> {
    let parameters = order.parameters();
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    environment.post(order.endpoint(), &parameters, order.idempotency_key.as_deref()).await
}
