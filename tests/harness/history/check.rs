use std::collections::{HashMap, HashSet};

use super::{CREATED, Called, Entry, History, MADE, Order, Outcome, Stored, Table, Told, What};
use crate::Promise;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which kind.
    pub kind: Kind,
    /// What happened to whom.
    pub text: String,
}

/// Kinds of violations, as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Two buyers were told the same key, or it is another's than was told.
    SoldTwice,
    /// A key is gone, or nobody's.
    Lost,
    /// A buyer was promised that nothing was sold, and has keys.
    FalseNothing,
    /// Responses and table do not agree in another way.
    Other,
}

/// Holds a history against the table.
pub(super) struct Check<'a> {
    history: &'a History,
    table: &'a Table,
    by_owner: HashMap<&'a str, Vec<&'a Stored>>,
    by_mark: HashMap<u32, Vec<&'a Stored>>,
    called: HashMap<&'a str, Vec<&'a Called>>,
    /// The replaced keys by their successors.
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
            // A successor counts as the key that it has replaced.
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
                Outcome::Told(told) => self.told(&entry.order, told),
                Outcome::Unavailable(Promise::NothingSold) => self.promised(&entry.order),
                Outcome::Nothing | Outcome::Unavailable(_) => self.not_told(&entry.order),
                Outcome::Refused => self.refused(&entry.order),
            }
        }
        for (identifier, calls) in called {
            let text = format!("nobody placed order {identifier}, of which a shop was told {calls:?}");
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

    fn told(&mut self, order: &'a Order, told: &'a Told) {
        let owned = self.owned_by(order).len();
        match (&order.what, told.code) {
            (What::Buy { quantity, .. }, 803) => self.sold(order, *quantity, told),
            // What became of a queued order, the callback tells. A replacement that was refused has changed nothing.
            (What::Queue { .. }, 807) | (What::Replace { .. }, 802 | 862) => {}
            (What::Assign(license_key), 800) => {
                self.given(order, license_key);
                if owned != 1 {
                    self.violated(Kind::Lost, order, format!("told one key, has {owned}"));
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
                        self.violated(Kind::Lost, order, format!("{license_key} is not there"));
                    }
                }
            }
            (What::Buy { .. }, 802) | (What::Assign(_), 801) => {
                if owned != 0 {
                    self.violated(Kind::Lost, order, format!("told {}, has {owned} keys", told.code));
                }
            }
            (_, code) => self.violated(Kind::Other, order, format!("code {code}")),
        }
    }

    /// A buyer was told his keys: the table has them as he was told, and no others of his.
    fn sold(&mut self, order: &'a Order, quantity: usize, told: &'a Told) {
        let owned = self.owned_by(order).len();
        if told.rows.len() != quantity || owned != quantity {
            let rows = told.rows.len();
            self.violated(Kind::Lost, order, format!("told {rows} keys, has {owned}"));
        }
        for row in &told.rows {
            self.given(order, &row.license_key);
            let stored = self.table.keys.get(&row.license_key);
            if stored.is_some_and(|stored| stored.row != *row) {
                let text = format!("told {row:?}, the table has {stored:?}");
                self.violated(Kind::SoldTwice, order, text);
            }
        }
    }

    /// A queued order: `calls` are all that its shop was told, one for each order that keypool made of it. An accepted
    /// order has come to an end of which its shop has heard; an order that was not accepted has not.
    fn queued(&mut self, entry: &'a Entry, quantity: usize, calls: &[&'a Called]) {
        let Entry { order, outcome } = entry;
        let owned = self.owned_by(order).len();
        if calls.len() > 1 {
            self.violated(Kind::Other, order, format!("became {} orders", calls.len()));
        }
        for call in calls {
            if call.taken == 0 {
                self.violated(Kind::Lost, order, "its shop has not heard of its end");
            }
            match call.told.code {
                803 => self.sold(order, quantity, &call.told),
                802 | 806 if owned == 0 => {}
                code => {
                    let text = format!("its shop was told {code}, has {owned} keys");
                    self.violated(Kind::Lost, order, text);
                }
            }
        }
        if calls.is_empty() && owned > 0 {
            self.violated(Kind::Lost, order, format!("its shop was told nothing, has {owned} keys"));
        }
        match outcome {
            Outcome::Told(told) if told.code == 807 && calls.is_empty() => {
                self.violated(Kind::Lost, order, "was accepted, and its shop was never called");
            }
            Outcome::Unavailable(Promise::NothingSold) | Outcome::Refused if !calls.is_empty() => {
                self.violated(Kind::FalseNothing, order, "was refused, and its shop was called");
            }
            _ => {}
        }
    }

    /// A key that a buyer was told is his.
    fn given(&mut self, order: &'a Order, license_key: &'a str) {
        if let Some(other) = self.told.insert(license_key, order) {
            self.violated(Kind::SoldTwice, order, format!("{license_key} was sold to {other} as well"));
        }
        match self.table.keys.get(license_key) {
            None => self.violated(Kind::Lost, order, format!("{license_key} is not there")),
            Some(key) if key.row.owner == order.owner && key.is_sold() => {}
            Some(key) => {
                let (status, owner) = (&key.status, &key.row.owner);
                self.violated(Kind::SoldTwice, order, format!("{license_key} is {status}, of {owner:?}"));
            }
        }
    }

    /// A replacement was told: the table has it, and the successor is the owner's and nobody else's.
    fn replaced(&mut self, order: &'a Order, license_key: &str, told: &'a Told) {
        let [row] = &told.rows[..] else {
            return self.violated(Kind::Lost, order, format!("told {} keys", told.rows.len()));
        };
        if let Some(other) = self.told.insert(&row.license_key, order) {
            self.violated(Kind::SoldTwice, order, format!("{} was sold to {other} as well", row.license_key));
        }
        let [old, successor] = [license_key, &row.license_key].map(|key| self.table.keys.get(key));
        let (Some(old), Some(successor)) = (old, successor) else {
            return self.violated(Kind::Lost, order, "one of its keys is not there");
        };
        if old.replaced_by.as_ref() != Some(&row.license_key)
            || successor.row != *row
            || row.owner != old.row.owner
            || !successor.is_sold()
        {
            let text = format!("told {row:?}, the table has {old:?} and {successor:?}");
            self.violated(Kind::SoldTwice, order, text);
        }
    }

    /// Each successor has replaced one key, of the same owner, and somebody was told so, or may not know.
    fn replacements(&mut self) {
        let mut asked: HashMap<&str, Vec<&Entry>> = HashMap::new();
        for entry in &self.history.entries {
            if let What::Replace { license_key, .. } = &entry.order.what {
                asked.entry(license_key).or_default().push(entry);
            }
        }
        for (successor, replaced) in &self.replaced {
            let mut wrong = |kind, what: &str| {
                let text = format!("{successor} in the place of {replaced:?} {what}");
                self.violations.push(Violation { kind, text });
            };
            let [old] = replaced[..] else {
                wrong(Kind::SoldTwice, "has replaced several keys");
                continue;
            };
            let owner = self.table.keys.get(*successor).map(|key| &key.row.owner);
            if old.status != "blocked" || owner != Some(&old.row.owner) {
                wrong(Kind::Lost, "is not the owner's, or both are in use");
            }
            let knows = |entry: &&&Entry| match &entry.outcome {
                Outcome::Told(told) => told.rows.iter().any(|row| row.license_key == *successor),
                Outcome::Unavailable(promise) => *promise != Promise::NothingSold,
                Outcome::Nothing => true,
                Outcome::Refused => false,
            };
            let entries = asked.get(old.row.license_key.as_str());
            if entries.and_then(|entries| entries.iter().find(knows)).is_none() {
                wrong(Kind::FalseNothing, "was given, and nobody was told");
            }
        }
    }

    fn created(&mut self, order: &Order, keys: &[String], told: &Told) {
        let theirs = self.by_mark.get(&order.mark).map_or(0, Vec::len);
        if told.created != Some((theirs, keys.len() - theirs)) {
            let text = format!("told {:?} of {}, the table has {theirs}", told.created, keys.len());
            self.violated(Kind::Other, order, text);
        }
        for key in keys.iter().filter(|key| !self.table.keys.contains_key(*key)) {
            self.violated(Kind::Lost, order, format!("{key} is not there"));
        }
    }

    /// Nothing was sold, nor will be: that is what every response to it said.
    fn promised(&mut self, order: &Order) {
        let owned = self.owned_by(order).len();
        if owned != 0 {
            let text = format!("promised that nothing was sold, has {owned} keys");
            self.violated(Kind::FalseNothing, order, text);
        }
        self.not_told(order);
    }

    /// Nobody knows what became of it, but it was done as a whole or not at all.
    fn not_told(&mut self, order: &Order) {
        let owned = self.owned_by(order);
        match &order.what {
            What::Buy { quantity, .. } | What::Queue { quantity, .. }
                if !owned.is_empty() && owned.len() != *quantity =>
            {
                self.violated(Kind::Lost, order, format!("told nothing, has {} keys", owned.len()));
            }
            What::Assign(key) if owned.iter().any(|stored| stored.row.license_key != *key) => {
                self.violated(Kind::Lost, order, "has another key");
            }
            What::Create(_) | What::Generate(_) | What::Replace { .. } if !owned.is_empty() => {
                self.violated(Kind::Lost, order, "bought nothing, but has keys");
            }
            _ => {}
        }
        // What it was told is what it paid for; without an answer its keys are nobody's but its own.
        if order.idempotency_key.is_some() {
            self.violated(Kind::Other, order, "never got an answer");
        }
    }

    /// It was not done, and will not be.
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

    /// Each key of the table is in stock, or has an owner who asked for it, and was put there by somebody.
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
                _ => wrong.push("is neither in stock nor somebody's"),
            }
            let is_sent =
                |order: &&Order| matches!(&order.what, What::Create(keys) if keys.contains(license_key));
            let from_somewhere = initial.contains(license_key.as_str())
                || license_key.starts_with(MADE)
                || by_mark.get(&stored.mark).is_some_and(is_sent);
            if !from_somewhere {
                wrong.push("was put there by nobody");
            }
            if ids.insert(stored.row.id, license_key).is_some() {
                wrong.push("has the number of another key");
            }
            for what in wrong {
                let text = format!("{license_key} {what}: {stored:?}");
                self.violations.push(Violation { kind: Kind::Lost, text });
            }
        }
    }

    /// Keys that were made: those that somebody was told of, those that were made for an order, and no more than were
    /// asked for by those who got no answer.
    fn made_keys(&mut self) {
        let mut listed = HashSet::new();
        let mut unanswered = 0;
        for Entry { order, outcome } in &self.history.entries {
            match (&order.what, outcome) {
                (What::Generate(_), Outcome::Told(told)) => {
                    for key in told.made.iter().filter(|key| !listed.insert(key.as_str())) {
                        let text = format!("{order}: {key} was made for somebody else before");
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
            let text =
                format!("{unlisted} made keys in stock that nobody was told of, {unanswered} asked for");
            self.violations.push(Violation { kind: Kind::Other, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Row;

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

    fn told(code: u64, keys: &[&str]) -> Told {
        let rows = keys.iter().map(|key| row(key, "Buyer-Number-1")).collect();
        Told { digest: 0, code, rows, made: Vec::new(), created: None }
    }

    fn called(code: u64, keys: &[&str]) -> Called {
        Called { identifier: "1".to_owned(), told: told(code, keys), callbacks: 1, taken: 1 }
    }

    fn accepted() -> Outcome {
        Outcome::Told(told(807, &[]))
    }

    /// What is wrong with a queued order of two keys of a stock of two, whose owner has so many of them.
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
    fn a_queued_order_that_ended_well_is_no_violation() {
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

    /// What is wrong with the replacement of the first key by the second one, of which `outcomes` were told. `change`
    /// spoils the table.
    fn wrong_replacement(outcomes: Vec<Outcome>, change: fn(&mut HashMap<String, Stored>)) -> Vec<Kind> {
        let order = |what, n: u32| {
            let owner = format!("Buyer-Number-{n}");
            Order { what, product: 11, owner, mark: n, idempotency_key: None }
        };
        let sale = order(What::Assign(KEYS[0].to_owned()), 1);
        let mut entries = vec![Entry { order: sale, outcome: Outcome::Told(told(800, &KEYS[..1])) }];
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
    fn a_replacement_that_ended_well_is_no_violation() {
        let done = || Outcome::Told(told(860, &KEYS[1..]));
        let refused = || Outcome::Told(told(862, &[]));
        for outcomes in [vec![done()], vec![refused(), done()], vec![Outcome::Nothing, refused()]] {
            assert_eq!(wrong_replacement(outcomes, |_| ()), []);
        }
    }

    #[test]
    fn each_broken_promise_of_a_replacement_is_a_violation() {
        type Change = fn(&mut HashMap<String, Stored>);
        let done = || Outcome::Told(told(860, &KEYS[1..]));
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
