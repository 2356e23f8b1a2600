//! A licence desk of a certain size, and the state it is in.

use crate::attempt::{At, Attempt};
use crate::history::History;
use crate::picks::KEYS_MAX;
use crate::protocol::{Protocol, Rule};
use crate::recovery::Recovery;
use crate::table::{ATTEMPTS_MAX, AttemptId, CLAIMS_MAX, Claim, ClaimId, Key, Order, Table};
use crate::write::Write;

/// How many writes can be held up at the same time. More are not explored.
pub const HELD_UP_MAX: usize = 3;
/// How many sweeps run at the same time, at most.
pub const SWEEPS_MAX: usize = 2;

/// What an attempt is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// How many keys are to be sold.
    pub quantity: u8,
    /// The claim, if there is an Idempotency-Key. Attempts with the same claim are one buyer's.
    pub claim: Option<ClaimId>,
    /// The keys do not come from the stock, but are made for the order.
    pub makes_fresh_keys: bool,
}

impl Request {
    /// For so many keys of the stock.
    #[must_use]
    pub fn of(quantity: u8) -> Self {
        Self { quantity, claim: None, makes_fresh_keys: false }
    }

    /// With an Idempotency-Key.
    #[must_use]
    pub fn claiming(self, claim: ClaimId) -> Self {
        Self { claim: Some(claim), ..self }
    }

    /// For fresh keys.
    #[must_use]
    pub fn fresh(self) -> Self {
        Self { makes_fresh_keys: true, ..self }
    }
}

/// What is explored: who buys, and what may go wrong.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The protocol.
    pub protocol: Protocol,
    /// One request for each attempt. Each begins when it likes.
    pub requests: Vec<Request>,
    /// How many keys are in stock at first.
    pub stock: u8,
    /// The largest order that one transaction sells.
    pub small_max: u8,
    /// How often an attempt draws keys.
    pub draws_max: u8,
    /// Whether a draw may find keys as they were at any time before. Otherwise it finds them as they are.
    pub stale_index: bool,
    /// Whether an order may put its keys back and draw others, to let an older one go first.
    pub steps_back: bool,
    /// How many sweeps may be under way side by side. Each takes up any open order at any time.
    pub sweeps: u8,
    /// How many processes may crash.
    pub crashes: u8,
    /// How often a process waits in vain for an answer: it sends the same write again, or gives up.
    pub timeouts: u8,
}

impl Desk {
    /// Attempts to buy from a stock, with the complete protocol and nothing going wrong.
    #[must_use]
    pub fn new(stock: u8, requests: impl IntoIterator<Item = Request>) -> Self {
        Self {
            protocol: Protocol::complete(),
            requests: requests.into_iter().collect(),
            stock,
            small_max: 1,
            draws_max: 2,
            stale_index: true,
            steps_back: false,
            sweeps: 0,
            crashes: 0,
            timeouts: 0,
        }
    }

    /// The same desk without some rules of the protocol.
    #[must_use]
    pub fn without(self, rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { protocol: Protocol::without(rules), ..self }
    }

    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.protocol.keeps(rule)
    }

    pub(crate) fn attempts(&self) -> impl Iterator<Item = AttemptId> + use<> {
        (0..).take(self.requests.len())
    }

    pub(crate) fn attempt(&self, attempt: AttemptId) -> Request {
        self.requests.get(usize::from(attempt)).copied().unwrap_or(Request::of(0))
    }

    /// Whether the attempt needs an order: more keys than one transaction sells.
    pub(crate) fn is_big(&self, attempt: AttemptId) -> bool {
        let request = self.attempt(attempt);
        request.quantity > self.small_max || request.makes_fresh_keys
    }
}

/// Writes that nobody waits for, and that will be done at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HeldUp([Option<Write>; HELD_UP_MAX]);

impl HeldUp {
    /// The writes.
    pub fn iter(&self) -> impl Iterator<Item = Write> {
        self.0.iter().flatten().copied()
    }

    /// One more, if there is room. Their order does not matter, so there is but one.
    pub(crate) fn with(mut self, write: Write) -> Option<Self> {
        *self.0.iter_mut().find(|place| place.is_none())? = Some(write);
        self.0.sort_unstable_by(|a, b| b.cmp(a));
        Some(self)
    }

    pub(crate) fn without(mut self, write: Write) -> Self {
        if let Some(place) = self.0.iter_mut().find(|place| **place == Some(write)) {
            *place = None;
        }
        self.0.sort_unstable_by(|a, b| b.cmp(a));
        self
    }
}

/// All there is at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// What is stored.
    pub table: Table,
    /// The attempts. Those that have no request stay as they are.
    pub attempts: [Attempt; ATTEMPTS_MAX],
    /// The sweeps that are at an order. They are alike, so they stand in order.
    pub sweeps: [Option<Recovery>; SWEEPS_MAX],
    /// Writes under way that nobody waits for.
    pub held_up: HeldUp,
    /// How many crashes may come yet.
    pub crashes_left: u8,
    /// How many time-outs may come yet.
    pub timeouts_left: u8,
    /// What has happened, as far as it matters.
    pub history: History,
}

impl State {
    pub(crate) fn initial(desk: &Desk) -> Self {
        let mut keys = [Key::ABSENT; KEYS_MAX];
        keys[..usize::from(desk.stock)].fill(Key::NEW);
        let table =
            Table { keys, claims: [Claim::Absent; CLAIMS_MAX], orders: [Order::ABSENT; ATTEMPTS_MAX] };
        let mut attempts = [Attempt::new(desk, 0); ATTEMPTS_MAX];
        for (id, attempt) in (0..).zip(&mut attempts) {
            *attempt = Attempt::new(desk, id);
        }
        let mut state = Self {
            table,
            attempts,
            sweeps: [None; SWEEPS_MAX],
            held_up: HeldUp::default(),
            crashes_left: desk.crashes,
            timeouts_left: desk.timeouts,
            history: History::default(),
        };
        state.history.observe(&state.table);
        state
    }

    /// Does a write.
    pub(crate) fn write(&mut self, desk: &Desk, write: Write) -> bool {
        let done = write.apply(desk, &mut self.table);
        if let Write::Commit { order, .. } = write
            && done
        {
            self.history.committed(order);
        }
        self.history.observe(&self.table);
        done
    }

    /// Whether every attempt has ended, or has not begun.
    #[must_use]
    pub fn all_attempts_ended(&self, desk: &Desk) -> bool {
        desk.attempts().all(|id| {
            let attempt = &self.attempts[usize::from(id)];
            attempt.at == At::Ended || *attempt == Attempt::new(desk, id)
        })
    }

    /// Whether nothing will happen any more: nobody is at work, nothing is under way, and a sweep would find nothing.
    #[must_use]
    pub fn is_quiet(&self, desk: &Desk) -> bool {
        self.all_attempts_ended(desk)
            && self.held_up.iter().next().is_none()
            && self.sweeps.iter().all(Option::is_none)
            && self.table.orders.iter().all(|order| !order.is_open())
    }
}
