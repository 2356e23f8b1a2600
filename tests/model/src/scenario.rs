//! A license scenario of a certain size, and its state.

use crate::attempt::{At, Attempt};
use crate::history::History;
use crate::picks::KeyId;
use crate::protocol::{Protocol, Rule};
use crate::settle::Settle;
use crate::table::{ATTEMPTS_MAX, AttemptId, Record, Status, Table};
use crate::write::{Outcome, Write};

/// The largest number of writes held up at the same time.
pub const HELD_UP_MAX: usize = 3;
/// The largest number of concurrent sweeps.
pub const SWEEPS_MAX: usize = 2;

/// The request that an attempt serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The number of keys to sell.
    pub quantity: u8,
    /// The Idempotency-Key, if there is one. Attempts with the same one serve one buyer.
    pub header: Option<u8>,
    /// True if the keys do not come from the stock, but are made when they are sold.
    pub makes_fresh_keys: bool,
    /// True if the key is for the owner of the old key, and replaces it.
    pub replaces_key: bool,
}

impl Request {
    /// A request for this number of keys from the stock.
    #[must_use]
    pub fn of(quantity: u8) -> Self {
        Self { quantity, header: None, makes_fresh_keys: false, replaces_key: false }
    }

    /// The request with an Idempotency-Key.
    #[must_use]
    pub fn with_header(self, header: u8) -> Self {
        Self { header: Some(header), ..self }
    }

    /// The request for fresh keys.
    #[must_use]
    pub fn fresh(self) -> Self {
        Self { makes_fresh_keys: true, ..self }
    }

    /// The request for a key that replaces the old one.
    #[must_use]
    pub fn replacing(self) -> Self {
        Self { replaces_key: true, ..self }
    }
}

/// The bounds of an exploration: the buyers, and the possible faults.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The protocol.
    pub protocol: Protocol,
    /// One request for each attempt. Each begins at any time.
    pub requests: Vec<Request>,
    /// The number of keys in stock at first.
    pub stock: u8,
    /// The largest number of keys in a transaction. Larger orders take parts first.
    pub small_max: u8,
    /// The number of times an attempt draws keys.
    pub draws_max: u8,
    /// A draw uses any window: one read at any moment before, even before the attempt began. It shows each
    /// key at any version at which the key was ever in stock. Otherwise a draw shows the keys as they are.
    pub old_windows: bool,
    /// The number of sweeps that run side by side. Each takes up any entry at any time.
    pub sweeps: u8,
    /// The number of processes that crash.
    pub crashes: u8,
    /// The number of times a process gets no answer in time. It repeats the write, or stops waiting.
    pub timeouts: u8,
    /// The number of assigned keys that an operator puts back in stock.
    pub releases: u8,
}

impl Scenario {
    /// Makes a scenario with the complete protocol and no faults.
    #[must_use]
    pub fn new(stock: u8, requests: impl IntoIterator<Item = Request>) -> Self {
        Self {
            protocol: Protocol::complete(),
            requests: requests.into_iter().collect(),
            stock,
            small_max: 1,
            draws_max: 2,
            old_windows: true,
            sweeps: 0,
            crashes: 0,
            timeouts: 0,
            releases: 0,
        }
    }

    /// Returns the same scenario without some rules of the protocol.
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

    pub(crate) fn request(&self, attempt: AttemptId) -> Request {
        self.requests.get(usize::from(attempt)).copied().unwrap_or(Request::of(0))
    }

    /// True if the order needs more than one transaction.
    pub(crate) fn is_large(&self, attempt: AttemptId) -> bool {
        self.request(attempt).quantity > self.small_max
    }

    /// True if the attempt sells by a transaction. One key without a record is sold by a single update.
    pub(crate) fn is_transaction(&self, attempt: AttemptId) -> bool {
        let request = self.request(attempt);
        request.quantity > 1 || request.header.is_some() || request.replaces_key
    }

    /// The number of keys the attempt still wants.
    fn wants(&self, id: AttemptId, attempt: &Attempt) -> u8 {
        self.request(id).quantity - attempt.taken_keys().count()
    }

    /// True if the next write of the attempt takes a part; false if it sells.
    pub(crate) fn takes(&self, id: AttemptId, attempt: &Attempt) -> bool {
        self.wants(id, attempt) > self.small_max
    }

    /// The number of keys in the next write of the attempt.
    pub(crate) fn draws_count(&self, id: AttemptId, attempt: &Attempt) -> u8 {
        self.wants(id, attempt).min(self.small_max)
    }

    /// The id of an attempt's request record. A small sale without an Idempotency-Key has none.
    pub(crate) fn record_id(&self, attempt: AttemptId) -> Option<AttemptId> {
        match self.request(attempt).header {
            Some(header) => self.attempts().find(|id| self.request(*id).header == Some(header)),
            None => self.is_large(attempt).then_some(attempt),
        }
    }

    /// An attempt's request record.
    pub(crate) fn record(&self, table: &Table, attempt: AttemptId) -> Option<Record> {
        self.record_id(attempt).map(|id| table.records[usize::from(id)])
    }
}

/// The writes under way that no process waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HeldUp([Option<Write>; HELD_UP_MAX]);

impl HeldUp {
    /// The writes.
    pub fn iter(&self) -> impl Iterator<Item = Write> {
        self.0.iter().flatten().copied()
    }

    /// Adds one, if there is room. Their order does not matter, so they are sorted.
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

/// The state of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The table.
    pub table: Table,
    /// The attempts. Those without a request stay as they are.
    pub attempts: [Attempt; ATTEMPTS_MAX],
    /// The sweeps at work, sorted, since they are alike.
    pub sweeps: [Option<Settle>; SWEEPS_MAX],
    /// The writes under way that no process waits for.
    pub held_up: HeldUp,
    /// The number of crashes still to come.
    pub crashes_left: u8,
    /// The number of time-outs still to come.
    pub timeouts_left: u8,
    /// The number of releases still to come.
    pub releases_left: u8,
    /// The relevant past.
    pub history: History,
}

impl State {
    pub(crate) fn initial(scenario: &Scenario) -> Self {
        let mut attempts = [Attempt::new(scenario, 0); ATTEMPTS_MAX];
        for (id, attempt) in (0..).zip(&mut attempts) {
            *attempt = Attempt::new(scenario, id);
        }
        let mut state = Self {
            table: Table::new(scenario.stock),
            attempts,
            sweeps: [None; SWEEPS_MAX],
            held_up: HeldUp::default(),
            crashes_left: scenario.crashes,
            timeouts_left: scenario.timeouts,
            releases_left: scenario.releases,
            history: History::default(),
        };
        state.history.observe(&state.table);
        state
    }

    /// Makes a write. True if its change is made, now or before.
    pub(crate) fn write(&mut self, scenario: &Scenario, write: Write) -> bool {
        let outcome = write.apply(scenario, &mut self.table);
        if let Write::Sell { attempt, .. } | Write::Finish { attempt, .. } = write
            && outcome == Outcome::Done
        {
            self.history.sells(attempt);
        }
        self.history.observe(&self.table);
        outcome != Outcome::Refused
    }

    /// Puts an assigned key back in stock.
    pub(crate) fn release(&mut self, key: KeyId) -> Option<()> {
        let Status::Assigned(by) = self.table.key(key).status else { return None };
        self.releases_left -= 1;
        self.table.key_mut(key).becomes(Status::Available);
        self.history.releases(key, by);
        self.history.observe(&self.table);
        Some(())
    }

    /// True if every attempt has ended, or has not begun.
    #[must_use]
    pub fn all_attempts_ended(&self, scenario: &Scenario) -> bool {
        scenario.attempts().all(|id| {
            let attempt = &self.attempts[usize::from(id)];
            attempt.at == At::Ended || *attempt == Attempt::new(scenario, id)
        })
    }

    /// True if nothing more happens: no process is at work, no write is under way, and there is no entry.
    #[must_use]
    pub fn is_quiet(&self, scenario: &Scenario) -> bool {
        self.all_attempts_ended(scenario)
            && self.held_up.iter().next().is_none()
            && self.sweeps.iter().all(Option::is_none)
            && !self.table.entries.contains(&true)
    }
}
