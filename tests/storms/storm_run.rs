use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::join_all;
use keypool_local::demo;
use keypool_signing::PublicKey;

use super::buyer::{Buyer, RunContext, post};
use super::{
    CREATED, Called, Entry, FaultRates, Figures, History, MADE, Mix, OWNER, Order, Outcome, PublicKeys,
    SeededFaults, SignedResult, Violation, ViolationKind,
};
use crate::shop::numbered_product;
use crate::{Environment, Lost, Receiver, Shop, Sweep, logs, openssl_verifies};

/// Many buyers in a storm.
#[derive(Debug, Clone, Copy)]
pub struct StormRun {
    /// The seed that repeats the storm and its orders.
    pub seed: u64,
    /// The number of orders, without repeated ones.
    pub orders: u32,
    /// The number of buyers.
    pub buyers: u32,
    /// The mix of orders.
    pub mix: Mix,
    /// The rates of faults.
    pub rates: FaultRates,
    /// The work of every minute, which buyers run at times.
    pub sweep: Sweep,
}

/// The products on sale. The second has its own signing key.
const PRODUCTS: [u32; 2] = [11, 12];

/// The waiting time of queued orders, in seconds.
const WAIT_SECONDS: u32 = 180;

/// The initial stock of each product.
const INITIAL_STOCK: usize = 60;

/// The largest number of attempts for a response at the end. On a busy machine a large order may take longer
/// than a shop waits.
const REPLAYS_MAX: usize = 5;

/// The seconds by which the clock is ahead for the repetitions at the end: past all leases, and within the
/// day for which responses are kept.
const AFTERWARDS_SECONDS: i64 = 8 * 3_600;

impl StormRun {
    /// Runs the run on a new shop. `placed` counts the orders.
    ///
    /// # Panics
    /// If the shop cannot be set up, or a log line contains a secret.
    pub async fn run(&self, shop: &Shop, placed: &AtomicU64) -> Figures {
        let began = Instant::now();
        [OWNER, CREATED, MADE].into_iter().for_each(logs::keep_secret);
        let mut history = History::default();
        for (n, product) in PRODUCTS.into_iter().enumerate() {
            let own_key = (n == 1).then(|| demo::PRODUCT_SIGNING_KEY.parse().unwrap());
            shop.add_product(numbered_product(product, own_key)).await;
            shop.add_generator(crate::shop::numbered_generator(product, MADE)).await;
            history.initial_stock.extend(shop.stock_named(product, CREATED, INITIAL_STOCK).await);
        }
        shop.let_orders_wait_for(WAIT_SECONDS).await;
        let receiver = Receiver::start().await;
        receiver.set_storm((self.rates != FaultRates::CALM).then_some(self.seed));
        let storm = Arc::new(SeededFaults::new(self.seed, self.rates));
        let context = RunContext {
            shop,
            seed: self.seed,
            mix: self.mix,
            sweep: self.sweep,
            products: &PRODUCTS,
            webhook_url: &receiver.url,
            public_keys: public_keys(shop).await,
            storm: Arc::clone(&storm),
            known: Mutex::new(history.initial_stock.clone()),
            wrong: Mutex::default(),
        };
        shop.set_fault_plan(Some(Arc::clone(&storm) as _));
        let buyers = (1..=self.buyers).map(|number| {
            let context = &context;
            async move {
                let mut buyer = Buyer::new(context, number).await;
                for nth in (number - 1..self.orders).step_by(usize::try_from(self.buyers).unwrap()) {
                    buyer.place(nth / self.buyers).await;
                    placed.fetch_add(1, Ordering::Relaxed);
                }
                (buyer.entries, buyer.sent, buyer.signatures)
            }
        });
        let (mut requests, mut signatures) = (0, 0);
        for (entries, sent, verified) in join_all(buyers).await {
            history.entries.extend(entries);
            requests += sent;
            signatures += verified;
        }

        shop.set_fault_plan(None);
        receiver.set_storm(None);
        shop.deliver_postponed().await;
        shop.sweep(self.sweep, AFTERWARDS_SECONDS).await;
        let replays = replay(&context, &mut history.entries).await;
        shop.sweep(self.sweep, AFTERWARDS_SECONDS).await;
        shop.let_queue_end(self.sweep).await;
        let table = super::Table::read(shop).await;
        let (called, wrong_calls) = Called::read(&receiver, &history.entries, &context.public_keys);
        signatures += u64::try_from(called.len()).unwrap();
        history.called = called;
        let mut figures = Figures::of(self.seed, &history, &table);
        figures.violations.extend(wrong_calls);
        let wrong = context.wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
        figures
            .violations
            .extend(wrong.into_iter().map(|text| Violation { kind: ViolationKind::Other, text }));
        Figures { requests, signatures, replays, faults: storm.counts(), took: began.elapsed(), ..figures }
    }
}

/// Returns the public keys. First `openssl` verifies a signature of the shop.
async fn public_keys(shop: &Shop) -> PublicKeys {
    let mut products = Vec::new();
    for product in PRODUCTS {
        let response =
            shop.post("generate", &[("generator_id", &product.to_string()), ("quantity", "0")]).await;
        let pem = shop.public_key_pem(None).await;
        let (text, signature) =
            (response.envelope_text("response_base64"), response.envelope_text("signature"));
        assert!(openssl_verifies(&pem, &text, &signature));
        let pem = shop.public_key_pem(Some(product)).await;
        products.push((product, PublicKey::from_pem(pem.as_bytes()).unwrap()));
    }
    let pem = shop.public_key_pem(None).await;
    PublicKeys { global: PublicKey::from_pem(pem.as_bytes()).unwrap(), products }
}

/// Returns the response to an order, without disturbance.
async fn answer_now(environment: &Environment, order: &Order) -> Result<SignedResult, String> {
    let response = post(environment, order).await.map_err(|Lost| "no response".to_owned())?;
    match response.status {
        200 => Ok(SignedResult::read(&response)),
        _ => Err(response.text),
    }
}

/// Repeats every request with an `Idempotency-Key`, without disturbance. Old responses must repeat byte for
/// byte, and the other requests must get a response.
async fn replay(context: &RunContext<'_>, entries: &mut [Entry]) -> u64 {
    let environment = context.shop.environment(1, context.seed, AFTERWARDS_SECONDS).await;
    let mut replays = 0;
    for Entry { order, outcome } in entries.iter_mut().filter(|entry| entry.order.idempotency_key.is_some()) {
        let mut answer = answer_now(&environment, order).await;
        for _ in 1..REPLAYS_MAX {
            if answer.is_err() {
                answer = answer_now(&environment, order).await;
            }
        }
        let wrong = match (&outcome, answer) {
            // Refusals are not stored. A later request may succeed, and its outcome counts.
            (Outcome::SignedResult(before), Ok(now)) if before.is_refusal() => {
                *outcome = Outcome::SignedResult(now);
                continue;
            }
            (Outcome::SignedResult(before), Ok(now)) if *before == now => {
                replays += 1;
                continue;
            }
            (Outcome::Nothing | Outcome::Unavailable(_) | Outcome::Refused, Ok(now)) => {
                *outcome = Outcome::SignedResult(now);
                continue;
            }
            (_, now) => format!("{order}: first response {outcome:?}, now {now:?}"),
        };
        context.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(wrong);
    }
    replays
}
