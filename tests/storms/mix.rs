use keypool_domain::Randomness;

use super::{Order, What};
use crate::SeededRandomness;
use crate::faults::mix;

/// The mix of requests: weights of their kinds, and the share with an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Creations of keys, some of which exist.
    pub create: usize,
    /// The largest number of keys in a creation.
    pub created_keys_max: usize,
    /// Generations of 1 to 40 keys.
    pub generate: usize,
    /// Assignments of one key by name.
    pub assign: usize,
    /// Orders of one key.
    pub one: usize,
    /// Orders of 2 to 9 keys.
    pub few: usize,
    /// Orders of 10 to 99 keys.
    pub many: usize,
    /// Orders of 100 keys or more.
    pub big: usize,
    /// The largest number of keys in such an order.
    pub big_keys_max: usize,
    /// Queued orders of 1 to 8 keys, or at times up to 120. A third of them generates keys when stock is
    /// short.
    pub queued: usize,
    /// Replacements of a key, sold or not. Half of them generate a key when the stock is empty.
    pub replace: usize,
    /// Orders of 1 to 12 keys, which are generated when stock is short.
    pub fresh: usize,
    /// The percentage of requests with an `Idempotency-Key`.
    pub with_idempotency_key: usize,
}

impl Mix {
    /// A stock that is nearly empty, so that buyers compete for the same keys.
    pub const USUAL: Self = Self {
        create: 120,
        created_keys_max: 50,
        generate: 50,
        assign: 100,
        one: 420,
        few: 200,
        many: 30,
        big: 4,
        big_keys_max: 1_000,
        queued: 140,
        replace: 60,
        fresh: 80,
        with_idempotency_key: 50,
    };

    /// Makes the n-th order of a buyer. `known` are keys that exist or existed. The callback of a queued
    /// order goes to `webhook_url`.
    pub(super) fn order(&self, at: Place, products: &[u32], known: &[String], webhook_url: &str) -> Order {
        let dice = SeededRandomness::new(mix(&[at.seed, 5, u64::from(at.buyer), u64::from(at.nth)]));
        let product = products[dice.below(products.len())];
        let known_one = || (!known.is_empty()).then(|| known[dice.below(known.len())].clone());
        let mut left = dice.below(
            self.create
                + self.generate
                + self.assign
                + self.one
                + self.few
                + self.many
                + self.big
                + self.queued
                + self.replace
                + self.fresh,
        );
        let mut is = |weight: usize| match left.checked_sub(weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        };
        let buy = |quantity, generate| What::Buy { quantity, generate };
        let what = if is(self.create) {
            What::Create(at.new_keys(self.created_keys_max, &dice, &known_one))
        } else if is(self.generate) {
            What::Generate(1 + dice.below(40))
        } else if is(self.assign) {
            What::Assign(known_one().unwrap_or_else(|| at.key(0)))
        } else if is(self.one) {
            buy(1, false)
        } else if is(self.few) {
            buy(2 + dice.below(8), false)
        } else if is(self.many) {
            buy(10 + dice.below(90), false)
        } else if is(self.big) {
            buy(100 + dice.below(self.big_keys_max - 99), dice.below(4) == 0)
        } else if is(self.queued) {
            let quantity = if dice.below(24) == 0 { 10 + dice.below(111) } else { 1 + dice.below(8) };
            let generate = dice.below(3) == 0;
            What::Queue { quantity, generate, webhook_url: webhook_url.to_owned() }
        } else if is(self.replace) {
            let license_key = known_one().unwrap_or_else(|| at.key(0));
            What::Replace { license_key, generate: dice.below(2) == 0 }
        } else {
            buy(1 + dice.below(12), true)
        };
        let with_key = dice.below(100) < self.with_idempotency_key;
        let idempotency_key = with_key.then(|| format!("order-{}-{}-{}", at.seed, at.buyer, at.nth));
        Order { what, product, owner: at.owner(0), mark: at.mark(0), idempotency_key }
    }
}

/// The buyer and the number of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seed: u64,
    pub(super) buyer: u32,
    pub(super) nth: u32,
}

impl Place {
    /// The largest number of attempts for one order.
    pub(super) const ATTEMPTS_MAX: u32 = 4;

    /// The owner of the keys, different for each attempt.
    pub(super) fn owner(self, attempt: u32) -> String {
        format!("{}{}-{}-{attempt}", super::OWNER, self.buyer, self.nth)
    }

    /// The mark of created keys, different for each attempt.
    pub(super) fn mark(self, attempt: u32) -> u32 {
        1 + attempt + Self::ATTEMPTS_MAX * (self.nth + 10_000_000 * self.buyer)
    }

    fn key(self, n: usize) -> String {
        format!("{}{}-{}-{n}", super::CREATED, self.buyer, self.nth)
    }

    /// Returns keys to create. Some occur twice, and some exist.
    fn new_keys(
        self,
        count_max: usize,
        dice: &SeededRandomness,
        known_one: &impl Fn() -> Option<String>,
    ) -> Vec<String> {
        let mut keys: Vec<String> = (0..=dice.below(count_max)).map(|n| self.key(n)).collect();
        for _ in 0..dice.below(4) {
            keys.push(keys[dice.below(keys.len())].clone());
            keys.extend(known_one());
        }
        keys
    }
}
