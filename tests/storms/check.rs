use std::collections::{HashMap, HashSet};

use super::{CREATED, Called, Entry, History, MADE, Order, Outcome, SignedResult, Stored, Table, What};
use crate::Promise;

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The kind.
    pub kind: Kind,
    /// The event and the order it affects.
    pub text: String,
}

/// Kinds of violations, counted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Two buyers got the same key, or the table names another owner than the response.
    SoldTwice,
    /// A key is missing or belongs to no order.
    Lost,
    /// A buyer has keys despite a promise that nothing was sold.
    FalseNothing,
    /// Responses and table disagree in another way.
    Other,
}

/// Compares a history with the table.
pub(super) struct Check<'a> {
    history: &'a History,
    table: &'a Table,
    by_owner: HashMap<&'a str, Vec<&'a Stored>>,
    by_mark: HashMap<u32, Vec<&'a Stored>>,
    called: HashMap<&'a str, Vec<&'a Called>>,
    /// The replaced keys, by successor.
    replaced: HashMap<&'a str, Vec<&'a Stored>>,
    told: HashMap<&'a str, &'a Order>,
    violations: Vec<Violation>,
}

impl<'a> Check<'a> {
    pub(super) fn new(history: &'a History, table: &'a Table) -> Self {
        let mut by_owner: HashMap<_, Vec<_>> = HashMap::new();
        let mut by_mark: HashMap<_, Vec<_>> = HashMap::new();
        let mut replaced: HashMap<_, Vec<_>> = HashMap::new();
        for stored in table.keys.values() {
            if let Some(successor) = &stored.replaced_by {
                replaced.entry(successor.as_str()).or_default().push(stored);
            }
        }
        for (license_key, stored) in &table.keys {
            // A successor counts as the key that it replaced.
            if !stored.row.owner.is_empty() && !replaced.contains_key(license_key.as_str()) {
                by_owner.entry(stored.row.owner.as_str()).or_default().push(stored);
            }
            if license_key.starts_with(CREATED) {
                by_mark.entry(stored.mark).or_default().push(stored);
            }
        }
        let mut called: HashMap<_, Vec<_>> = HashMap::new();
        for call in &history.called {
            called.entry(call.identifier.as_str()).or_default().push(call);
        }
        let (told, violations) = (HashMap::new(), Vec::new());
        Self { history, table, by_owner, by_mark, called, replaced, told, violations }
    }

    pub(super) fn run(mut self) -> Vec<Violation> {
        let mut called = std::mem::take(&mut self.called);
        for entry in &self.history.entries {
            if let What::Queue { quantity, .. } = &entry.order.what {
                let calls = called.remove(entry.order.identifier().as_str()).unwrap_or_default();
                self.queued(entry, *quantity, &calls);
            }
            match &entry.outcome {
                Outcome::SignedResult(told) => self.told(&entry.order, told),
                Outcome::Unavailable(Promise::NothingSold) => self.promised(&entry.order),
                Outcome::Nothing | Outcome::Unavailable(_) => self.not_told(&entry.order),
                Outcome::Refused => self.refused(&entry.order),
            }
        }
        for (identifier, calls) in called {
            let text = format!("a shop got callbacks of the unknown order {identifier}: {calls:?}");
            self.violations.push(Violation { kind: Kind::Other, text });
        }
        self.initial_stock();
        self.every_key();
        self.replacements();
        self.made_keys();
        for record in &self.table.unfinished {
            self.violations.push(Violation { kind: Kind::Other, text: format!("{record} was left behind") });
        }
        self.violations
    }

    fn violated(&mut self, kind: Kind, order: &Order, what: impl std::fmt::Display) {
        self.violations.push(Violation { kind, text: format!("{order}: {what}") });
    }

    fn owned_by(&self, order: &Order) -> Vec<&'a Stored> {
        self.by_owner.get(order.owner.as_str()).cloned().unwrap_or_default()
    }

    fn told(&mut self, order: &'a Order, told: &'a SignedResult) {
        let owned = self.owned_by(order).len();
        match (&order.what, told.code) {
            (What::Buy { quantity, .. }, 803) => self.sold(order, *quantity, told),
            // The callback reports the outcome of a queued order. A refused replacement changed nothing.
            (What::Queue { .. }, 807) | (What::Replace { .. }, 802 | 862) => {}
            (What::Assign(license_key), 800) => {
                self.given(order, license_key);
                if owned != 1 {
                    self.violated(Kind::Lost, order, format!("the response has one key, the table {owned}"));
                }
            }
            (What::Replace { license_key, .. }, 860) => self.replaced(order, license_key, told),
            (What::Create(keys), 900 | 902) => self.created(order, keys, told),
            (What::Generate(quantity), 815) => {
                let distinct: HashSet<_> = told.made.iter().collect();
                if distinct.len() != *quantity {
                    self.violated(Kind::Other, order, format!("{} distinct keys", distinct.len()));
                }
                for license_key in &told.made {
                    if self.table.keys.get(license_key).is_none_or(|key| key.row.product != order.product) {
                        self.violated(Kind::Lost, order, format!("{license_key} is missing"));
                    }
                }
            }
            (What::Buy { .. }, 802) | (What::Assign(_), 801) => {
                if owned != 0 {
                    self.violated(Kind::Lost, order, format!("got code {}, has {owned} keys", told.code));
                }
            }
            (_, code) => self.violated(Kind::Other, order, format!("code {code}")),
        }
    }

    /// Checks a sale: the table has exactly the buyer's keys, with the data of the response.
    fn sold(&mut self, order: &'a Order, quantity: usize, told: &'a SignedResult) {
        let owned = self.owned_by(order).len();
        if told.rows.len() != quantity || owned != quantity {
            let rows = told.rows.len();
            self.violated(Kind::Lost, order, format!("the response has {rows} keys, the table {owned}"));
        }
        for row in &told.rows {
            self.given(order, &row.license_key);
            let stored = self.table.keys.get(&row.license_key);
            if stored.is_some_and(|stored| stored.row != *row) {
                let text = format!("the response has {row:?}, the table {stored:?}");
                self.violated(Kind::SoldTwice, order, text);
            }
        }
    }

    /// Checks a queued order. `calls` has one element for each order that keypool made of it. An accepted
    /// order has ended, and its shop got the callback. A refused order has neither.
    fn queued(&mut self, entry: &'a Entry, quantity: usize, calls: &[&'a Called]) {
        let Entry { order, outcome } = entry;
        let owned = self.owned_by(order).len();
        if calls.len() > 1 {
            self.violated(Kind::Other, order, format!("became {} orders", calls.len()));
        }
        for call in calls {
            if call.taken == 0 {
                self.violated(Kind::Lost, order, "its shop accepted no callback");
            }
            match call.told.code {
                803 => self.sold(order, quantity, &call.told),
                802 | 806 if owned == 0 => {}
                code => {
                    let text = format!("its callback has code {code}, the owner has {owned} keys");
                    self.violated(Kind::Lost, order, text);
                }
            }
        }
        if calls.is_empty() && owned > 0 {
            self.violated(Kind::Lost, order, format!("has {owned} keys without a callback"));
        }
        match outcome {
            Outcome::SignedResult(told) if told.code == 807 && calls.is_empty() => {
                self.violated(Kind::Lost, order, "was accepted, but got no callback");
            }
            Outcome::Unavailable(Promise::NothingSold) | Outcome::Refused if !calls.is_empty() => {
                self.violated(Kind::FalseNothing, order, "was refused, but got a callback");
            }
            _ => {}
        }
    }

    /// Checks that a key belongs to the buyer who got it.
    fn given(&mut self, order: &'a Order, license_key: &'a str) {
        if let Some(other) = self.told.insert(license_key, order) {
            self.violated(Kind::SoldTwice, order, format!("{license_key} was also sold to {other}"));
        }
        match self.table.keys.get(license_key) {
            None => self.violated(Kind::Lost, order, format!("{license_key} is missing")),
            Some(key) if key.row.owner == order.owner && key.is_sold() => {}
            Some(key) => {
                let (status, owner) = (&key.status, &key.row.owner);
                self.violated(Kind::SoldTwice, order, format!("{license_key} is {status}, of {owner:?}"));
            }
        }
    }

    /// Checks a replacement: the table has it, and the successor belongs to the same owner only.
    fn replaced(&mut self, order: &'a Order, license_key: &str, told: &'a SignedResult) {
        let [row] = &told.rows[..] else {
            return self.violated(Kind::Lost, order, format!("the response has {} keys", told.rows.len()));
        };
        if let Some(other) = self.told.insert(&row.license_key, order) {
            self.violated(Kind::SoldTwice, order, format!("{} was also sold to {other}", row.license_key));
        }
        let [old, successor] = [license_key, &row.license_key].map(|key| self.table.keys.get(key));
        let (Some(old), Some(successor)) = (old, successor) else {
            return self.violated(Kind::Lost, order, "one of its keys is missing");
        };
        if old.replaced_by.as_ref() != Some(&row.license_key)
            || successor.row != *row
            || row.owner != old.row.owner
            || !successor.is_sold()
        {
            let text = format!("the response has {row:?}, the table {old:?} and {successor:?}");
            self.violated(Kind::SoldTwice, order, text);
        }
    }

    /// Checks that each successor replaced one key of the same owner, and that a request reported it or has
    /// an unknown outcome.
    fn replacements(&mut self) {
        let mut asked: HashMap<&str, Vec<&Entry>> = HashMap::new();
        for entry in &self.history.entries {
            if let What::Replace { license_key, .. } = &entry.order.what {
                asked.entry(license_key).or_default().push(entry);
            }
        }
        for (successor, replaced) in &self.replaced {
            let mut wrong = |kind, what: &str| {
                let text = format!("{successor}, which replaced {replaced:?}, {what}");
                self.violations.push(Violation { kind, text });
            };
            let [old] = replaced[..] else {
                wrong(Kind::SoldTwice, "has replaced several keys");
                continue;
            };
            let owner = self.table.keys.get(*successor).map(|key| &key.row.owner);
            if old.status != "blocked" || owner != Some(&old.row.owner) {
                wrong(Kind::Lost, "has another owner, or both keys are in use");
            }
            let knows = |entry: &&&Entry| match &entry.outcome {
                Outcome::SignedResult(told) => told.rows.iter().any(|row| row.license_key == *successor),
                Outcome::Unavailable(promise) => *promise != Promise::NothingSold,
                Outcome::Nothing => true,
                Outcome::Refused => false,
            };
            let entries = asked.get(old.row.license_key.as_str());
            if entries.and_then(|entries| entries.iter().find(knows)).is_none() {
                wrong(Kind::FalseNothing, "is in no response");
            }
        }
    }

    fn created(&mut self, order: &Order, keys: &[String], told: &SignedResult) {
        let theirs = self.by_mark.get(&order.mark).map_or(0, Vec::len);
        if told.created != Some((theirs, keys.len() - theirs)) {
            let text = format!("reported {:?} of {}, the table has {theirs}", told.created, keys.len());
            self.violated(Kind::Other, order, text);
        }
        for key in keys.iter().filter(|key| !self.table.keys.contains_key(*key)) {
            self.violated(Kind::Lost, order, format!("{key} is missing"));
        }
    }

    /// Checks that nothing was sold, as every response promised.
    fn promised(&mut self, order: &Order) {
        let owned = self.owned_by(order).len();
        if owned != 0 {
            let text = format!("promised that nothing was sold, has {owned} keys");
            self.violated(Kind::FalseNothing, order, text);
        }
        self.not_told(order);
    }

    /// Checks an order with an unknown outcome: it was done completely or not at all.
    fn not_told(&mut self, order: &Order) {
        let owned = self.owned_by(order);
        match &order.what {
            What::Buy { quantity, .. } | What::Queue { quantity, .. }
                if !owned.is_empty() && owned.len() != *quantity =>
            {
                self.violated(Kind::Lost, order, format!("got no response, has {} keys", owned.len()));
            }
            What::Assign(key) if owned.iter().any(|stored| stored.row.license_key != *key) => {
                self.violated(Kind::Lost, order, "has another key");
            }
            What::Create(_) | What::Generate(_) | What::Replace { .. } if !owned.is_empty() => {
                self.violated(Kind::Lost, order, "bought nothing, but has keys");
            }
            _ => {}
        }
        // With an `Idempotency-Key` a repetition must get a response at last.
        if order.idempotency_key.is_some() {
            self.violated(Kind::Other, order, "never got a response");
        }
    }

    /// Checks that a refused order was never done.
    fn refused(&mut self, order: &Order) {
        let owned = self.owned_by(order).len();
        if owned != 0 {
            self.violated(Kind::Lost, order, format!("refused, has {owned} keys"));
        }
    }

    fn initial_stock(&mut self) {
        for key in self.history.initial_stock.iter().filter(|key| !self.table.keys.contains_key(*key)) {
            self.violations
                .push(Violation { kind: Kind::Lost, text: format!("{key} of the initial stock is gone") });
        }
    }

    /// Checks that each key is in stock or belongs to the buyer who ordered it, and that a known request
    /// created it.
    fn every_key(&mut self) {
        let orders = self.history.entries.iter().map(|entry| &entry.order);
        let by_owner: HashMap<&str, &Order> =
            orders.clone().map(|order| (order.owner.as_str(), order)).collect();
        let by_mark: HashMap<u32, &Order> = orders.map(|order| (order.mark, order)).collect();
        let initial: HashSet<&str> = self.history.initial_stock.iter().map(String::as_str).collect();
        let mut ids = HashMap::new();
        for (license_key, stored) in &self.table.keys {
            let mut wrong = Vec::new();
            let owner = by_owner.get(stored.row.owner.as_str());
            match (stored.status.as_str(), owner) {
                ("available", None) if stored.in_stock && stored.row.owner.is_empty() => {}
                ("assigned", Some(_)) if !stored.in_stock => {}
                ("blocked", Some(_)) if !stored.in_stock && stored.replaced_by.is_some() => {}
                _ => wrong.push("is neither in stock nor sold"),
            }
            let is_sent =
                |order: &&Order| matches!(&order.what, What::Create(keys) if keys.contains(license_key));
            let from_somewhere = initial.contains(license_key.as_str())
                || license_key.starts_with(MADE)
                || by_mark.get(&stored.mark).is_some_and(is_sent);
            if !from_somewhere {
                wrong.push("was created by no request");
            }
            if ids.insert(stored.row.id, license_key).is_some() {
                wrong.push("has the id of another key");
            }
            for what in wrong {
                let text = format!("{license_key} {what}: {stored:?}");
                self.violations.push(Violation { kind: Kind::Lost, text });
            }
        }
    }

    /// Checks the generated keys: those in responses, those for orders, and at most as many others as the
    /// requests without a response ordered.
    fn made_keys(&mut self) {
        let mut listed = HashSet::new();
        let mut unanswered = 0;
        for Entry { order, outcome } in &self.history.entries {
            match (&order.what, outcome) {
                (What::Generate(_), Outcome::SignedResult(told)) => {
                    for key in told.made.iter().filter(|key| !listed.insert(key.as_str())) {
                        let text = format!("{order}: {key} was generated for another order");
                        self.violations.push(Violation { kind: Kind::SoldTwice, text });
                    }
                }
                (What::Generate(quantity), _) => unanswered += quantity,
                _ => {}
            }
        }
        let in_stock = self.table.keys.values().filter(|key| key.status == "available");
        let made = in_stock.filter(|key| key.row.license_key.starts_with(MADE));
        let unlisted = made.filter(|key| !listed.contains(key.row.license_key.as_str())).count();
        if unlisted > unanswered {
            let text = format!("{unlisted} generated keys in stock without a response, {unanswered} ordered");
            self.violations.push(Violation { kind: Kind::Other, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storms::Row;

    const KEYS: [&str; 2] = ["CREATED-KEY-1", "CREATED-KEY-2"];

    fn row(license_key: &str, owner: &str) -> Row {
        Row {
            license_key: license_key.to_owned(),
            id: if license_key == KEYS[0] { 1 } else { 2 },
            assigned_at: String::new(),
            product: 11,
            owner: owner.to_owned(),
        }
    }

    fn told(code: u64, keys: &[&str]) -> SignedResult {
        let rows = keys.iter().map(|key| row(key, "Buyer-Number-1")).collect();
        SignedResult { digest: 0, code, rows, made: Vec::new(), created: None }
    }

    fn called(code: u64, keys: &[&str]) -> Called {
        Called { identifier: "1".to_owned(), told: told(code, keys), callbacks: 1, taken: 1 }
    }

    fn accepted() -> Outcome {
        Outcome::SignedResult(told(807, &[]))
    }

    /// Returns the violations of a queued order of two keys from a stock of two, whose owner has `keys` keys.
    fn wrong(outcome: Outcome, called: Vec<Called>, keys: usize) -> Vec<Kind> {
        let what = What::Queue { quantity: 2, generate: false, webhook_url: String::new() };
        let owner = "Buyer-Number-1".to_owned();
        let order = Order { what, product: 11, owner, mark: 1, idempotency_key: None };
        let mut table = Table::default();
        for (n, key) in KEYS.into_iter().enumerate() {
            let is_owned = n < keys;
            let (status, owner) = if is_owned { ("assigned", "Buyer-Number-1") } else { ("available", "") };
            let stored = Stored {
                row: row(key, owner),
                status: status.to_owned(),
                mark: 0,
                in_stock: !is_owned,
                replaced_by: None,
            };
            table.keys.insert(key.to_owned(), stored);
        }
        let initial_stock = KEYS.map(str::to_owned).to_vec();
        let history = History { initial_stock, entries: vec![Entry { order, outcome }], called };
        history.check(&table).into_iter().map(|violation| violation.kind).collect()
    }

    #[test]
    fn a_correct_queued_order_is_no_violation() {
        assert_eq!(wrong(accepted(), vec![called(803, &KEYS)], 2), []);
        assert_eq!(wrong(accepted(), vec![called(802, &[])], 0), []);
        assert_eq!(wrong(Outcome::Nothing, vec![called(803, &KEYS)], 2), []);
        for outcome in [Outcome::Nothing, Outcome::Unavailable(Promise::NothingSold), Outcome::Refused] {
            assert_eq!(wrong(outcome, Vec::new(), 0), []);
        }
    }

    #[test]
    fn each_broken_promise_to_a_queued_order_is_a_violation() {
        let twice = vec![called(803, &KEYS), called(803, &KEYS)];
        let untold = Called { taken: 0, ..called(803, &KEYS) };
        let refused = || Outcome::Unavailable(Promise::NothingSold);
        for (name, outcome, calls, keys, kind) in [
            ("accepted, never called", accepted(), Vec::new(), 0, Kind::Lost),
            ("filled, never called", Outcome::Nothing, Vec::new(), 2, Kind::Lost),
            ("called, never heard", accepted(), vec![untold], 2, Kind::Lost),
            ("two orders of one request", accepted(), twice, 2, Kind::SoldTwice),
            ("half an order", accepted(), vec![called(803, &KEYS[..1])], 1, Kind::Lost),
            ("a key in stock", accepted(), vec![called(803, &KEYS)], 1, Kind::SoldTwice),
            ("ended, and has keys", accepted(), vec![called(802, &[])], 2, Kind::Lost),
            ("another code", accepted(), vec![called(805, &[])], 0, Kind::Lost),
            ("refused, and filled", refused(), vec![called(803, &KEYS)], 2, Kind::FalseNothing),
            ("refused, and ended", refused(), vec![called(802, &[])], 0, Kind::FalseNothing),
        ] {
            let kinds = wrong(outcome, calls, keys);
            assert!(kinds.contains(&kind), "{name}: {kinds:?}");
        }
    }

    /// Returns the violations when the second key replaces the first, with these `outcomes`. `change` damages
    /// the table.
    fn wrong_replacement(outcomes: Vec<Outcome>, change: fn(&mut HashMap<String, Stored>)) -> Vec<Kind> {
        let order = |what, n: u32| {
            let owner = format!("Buyer-Number-{n}");
            Order { what, product: 11, owner, mark: n, idempotency_key: None }
        };
        let sale = order(What::Assign(KEYS[0].to_owned()), 1);
        let mut entries = vec![Entry { order: sale, outcome: Outcome::SignedResult(told(800, &KEYS[..1])) }];
        for (outcome, n) in outcomes.into_iter().zip(2..) {
            let what = What::Replace { license_key: KEYS[0].to_owned(), generate: false };
            entries.push(Entry { order: order(what, n), outcome });
        }
        let mut table = Table::default();
        for (key, status, replaced_by) in
            [(KEYS[0], "blocked", Some(KEYS[1].to_owned())), (KEYS[1], "assigned", None)]
        {
            let row = row(key, "Buyer-Number-1");
            let stored = Stored { row, status: status.to_owned(), mark: 0, in_stock: false, replaced_by };
            table.keys.insert(key.to_owned(), stored);
        }
        change(&mut table.keys);
        let initial_stock = KEYS.map(str::to_owned).to_vec();
        let history = History { initial_stock, entries, called: Vec::new() };
        history.check(&table).into_iter().map(|violation| violation.kind).collect()
    }

    #[test]
    fn a_correct_replacement_is_no_violation() {
        let done = || Outcome::SignedResult(told(860, &KEYS[1..]));
        let refused = || Outcome::SignedResult(told(862, &[]));
        for outcomes in [vec![done()], vec![refused(), done()], vec![Outcome::Nothing, refused()]] {
            assert_eq!(wrong_replacement(outcomes, |_| ()), []);
        }
    }

    #[test]
    fn each_broken_promise_of_a_replacement_is_a_violation() {
        type Change = fn(&mut HashMap<String, Stored>);
        let done = || Outcome::SignedResult(told(860, &KEYS[1..]));
        let refused = Outcome::Unavailable(Promise::NothingSold);
        let both_in_use: Change = |keys| keys.get_mut(KEYS[0]).unwrap().status = "assigned".to_owned();
        let of_another: Change =
            |keys| keys.get_mut(KEYS[1]).unwrap().row.owner = "Buyer-Number-2".to_owned();
        let not_noted: Change = |keys| keys.get_mut(KEYS[0]).unwrap().replaced_by = None;
        let in_stock: Change = |keys| keys.get_mut(KEYS[1]).unwrap().status = "available".to_owned();
        for (name, outcomes, change, kind) in [
            ("told twice", vec![done(), done()], (|_| ()) as Change, Kind::SoldTwice),
            ("refused, and done", vec![refused], |_| (), Kind::FalseNothing),
            ("nobody asked", vec![], |_| (), Kind::FalseNothing),
            ("both in use", vec![done()], both_in_use, Kind::Lost),
            ("another's", vec![done()], of_another, Kind::SoldTwice),
            ("not noted", vec![done()], not_noted, Kind::SoldTwice),
            ("a successor in stock", vec![done()], in_stock, Kind::SoldTwice),
        ] {
            let kinds = wrong_replacement(outcomes, change);
            assert!(kinds.contains(&kind), "{name}: {kinds:?}");
        }
    }
}
