//! The writes to the table. Each is atomic and conditional.

use crate::picks::{Keys, Picks};
use crate::protocol::Rule;
use crate::scenario::Scenario;
use crate::table::{AttemptId, Key, Record, Response, Status, Table};

/// A request to write. It may be held up for any time.
///
/// A `draw` is the number of the draw behind the write. It stands for the `ClientRequestToken`.
#[expect(missing_docs, reason = "the field names explain themselves")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Write {
    /// Sells the keys of a small sale. A replacement also blocks the old key.
    Sell { attempt: AttemptId, draw: u8, picks: Picks },
    /// Records the response of a small sale. A separate write only without [`Rule::RecordsResponseInSale`].
    Record { attempt: AttemptId, keys: Keys },
    /// Reserves the keys of a part, and puts the part. The first take also puts the entry, and opens the
    /// record in place of the state that it `replaces`.
    Take { attempt: AttemptId, draw: u8, part: u8, picks: Picks, replaces: Option<Record> },
    /// Puts a tombstone: a void record in place of the state that the first take replaces.
    Bury { attempt: AttemptId, replaces: Record },
    /// Sells the last keys of a large order together with the `taken` ones.
    Finish { attempt: AttemptId, draw: u8, picks: Picks, taken: Keys },
    /// Aborts the attempt.
    Void { attempt: AttemptId },
    /// Turns the reservations of a part into sales, and deletes the part.
    HandOver { attempt: AttemptId, part: u8, keys: Keys },
    /// Puts the keys of a part back in stock, and deletes the part.
    Undo { attempt: AttemptId, part: u8, keys: Keys },
    /// Deletes a part. A separate write only without [`Rule::DeletesPartWithKeys`].
    DeletePart { attempt: AttemptId, part: u8 },
    /// Deletes the entry.
    DeleteEntry { attempt: AttemptId },
}

/// The outcome of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The condition does not hold.
    Refused,
    /// An earlier copy has made the change.
    DoneBefore,
    /// The change is made.
    Done,
}

impl Outcome {
    fn of(done: bool) -> Self {
        if done { Self::Done } else { Self::Refused }
    }
}

impl Write {
    /// Makes the change if its condition holds.
    pub(crate) fn apply(self, scenario: &Scenario, table: &mut Table) -> Outcome {
        let done = match self {
            Self::Sell { attempt, draw, picks } => {
                if knows_own_sale(scenario, table, attempt, picks) {
                    return Outcome::DoneBefore;
                }
                return transact(scenario, table, (attempt, draw), |table| {
                    let recorded = !scenario.keeps(Rule::RecordsResponseInSale)
                        || record_sale(scenario, table, attempt, picks.keys());
                    let blocked = block_replaced(scenario, table, attempt);
                    change_keys(scenario, table, picks, attempt, Status::Assigned(attempt))
                        && recorded
                        && blocked
                });
            }
            Self::Record { attempt, keys } => record_sale(scenario, table, attempt, keys),
            Self::Take { attempt, draw, part, picks, replaces } => {
                return transact(scenario, table, (attempt, draw), |table| {
                    let open = match replaces {
                        Some(replaces) => replace(scenario, table, attempt, replaces, Record::Open(attempt)),
                        None => is_open(scenario, table, attempt) || !scenario.keeps(Rule::ChecksRecord),
                    };
                    if open {
                        table.parts[usize::from(attempt)][usize::from(part)] = picks.keys();
                        table.entries[usize::from(attempt)] |= replaces.is_some();
                    }
                    change_keys(scenario, table, picks, attempt, Status::Reserved(attempt)) && open
                });
            }
            Self::Bury { attempt, replaces } => {
                replace(scenario, table, attempt, replaces, Record::Void(attempt))
            }
            Self::Finish { attempt, draw, picks, taken } => {
                return transact(scenario, table, (attempt, draw), |table| {
                    let recorded = record_sale(scenario, table, attempt, taken.and(picks.keys()));
                    change_keys(scenario, table, picks, attempt, Status::Assigned(attempt)) && recorded
                });
            }
            Self::Void { attempt } => {
                let only_open = scenario.keeps(Rule::VoidsOnlyOpen);
                let Some(record) = record_mut(scenario, table, attempt) else { return Outcome::Refused };
                let holds = *record == Record::Open(attempt) || (!only_open && record.is_done_by(attempt));
                if holds {
                    *record = Record::Void(attempt);
                }
                holds
            }
            Self::HandOver { attempt, part, keys } => {
                change_part(scenario, table, attempt, part, keys, |key| {
                    key.becomes(Status::Assigned(attempt));
                })
            }
            Self::Undo { attempt, part, keys } => {
                let fresh = scenario.request(attempt).makes_fresh_keys;
                change_part(scenario, table, attempt, part, keys, |key| {
                    if fresh { *key = Key::ABSENT } else { key.becomes(Status::Available) }
                })
            }
            Self::DeletePart { attempt, part } => {
                table.parts[usize::from(attempt)][usize::from(part)] = Keys::NONE;
                true
            }
            Self::DeleteEntry { attempt } => {
                table.entries[usize::from(attempt)] = false;
                true
            }
        };
        Outcome::of(done)
    }
}

/// Makes all changes or none. Repeating a committed transaction changes nothing, and succeeds.
fn transact(
    scenario: &Scenario,
    table: &mut Table,
    (attempt, draw): (AttemptId, u8),
    change: impl FnOnce(&mut Table) -> bool,
) -> Outcome {
    if table.has_committed(attempt, draw) && scenario.keeps(Rule::RepeatsWithOneToken) {
        return Outcome::DoneBefore;
    }
    let before = *table;
    let holds = change(table);
    if holds && scenario.is_transaction(attempt) {
        table.commits(attempt, draw);
    }
    if !holds && scenario.keeps(Rule::WritesInOneTransaction) {
        *table = before;
    }
    Outcome::of(holds)
}

fn record_mut<'a>(scenario: &Scenario, table: &'a mut Table, attempt: AttemptId) -> Option<&'a mut Record> {
    table.records.get_mut(usize::from(scenario.record_id(attempt)?))
}

/// Puts a record in place of the state that was read.
fn replace(scenario: &Scenario, table: &mut Table, attempt: AttemptId, read: Record, put: Record) -> bool {
    let Some(record) = record_mut(scenario, table, attempt) else { return false };
    let holds = record.may_be_replaced(scenario, read);
    if holds {
        *record = put;
    }
    holds
}

fn is_open(scenario: &Scenario, table: &Table, attempt: AttemptId) -> bool {
    scenario.record(table, attempt) == Some(Record::Open(attempt))
}

/// Checks a sale of one key by a single update: true if its first copy has sold the key.
fn knows_own_sale(scenario: &Scenario, table: &Table, attempt: AttemptId, picks: Picks) -> bool {
    scenario.keeps(Rule::KnowsOwnSale)
        && !scenario.is_transaction(attempt)
        && picks
            .iter()
            .all(|(key, seen)| table.key(key) == Key { status: Status::Assigned(attempt), version: seen + 1 })
}

/// Changes those keys that are unchanged since the draw. True if all are.
fn change_keys(
    scenario: &Scenario,
    table: &mut Table,
    picks: Picks,
    attempt: AttemptId,
    status: Status,
) -> bool {
    let fresh = scenario.request(attempt).makes_fresh_keys;
    let mut all = true;
    for (key, seen) in picks.iter() {
        let key = table.key_mut(key);
        let as_drawn = key.version == seen || !scenario.keeps(Rule::ChecksVersion);
        let in_stock = key.status == Status::Available && as_drawn;
        if (fresh && *key == Key::ABSENT) || (!fresh && in_stock) {
            key.becomes(status);
        } else {
            all = false;
        }
    }
    all
}

/// Blocks the old key if the attempt replaces it and no other has. Also true for a sale without a
/// replacement.
fn block_replaced(scenario: &Scenario, table: &mut Table, attempt: AttemptId) -> bool {
    if !scenario.request(attempt).replaces_key {
        return true;
    }
    let holds = table.replaced_by.is_none() || !scenario.keeps(Rule::ReplacesOnce);
    if holds {
        table.replaced_by = Some(attempt);
    }
    holds
}

/// Records that `attempt` has sold `keys`, if the record allows it. Also true if the sale needs no record.
fn record_sale(scenario: &Scenario, table: &mut Table, attempt: AttemptId, keys: Keys) -> bool {
    let checks = scenario.keeps(Rule::ChecksRecord);
    let is_large = scenario.is_large(attempt);
    let Some(record) = record_mut(scenario, table, attempt) else { return true };
    let holds = if is_large { *record == Record::Open(attempt) } else { record.is_free() };
    if holds || !checks {
        *record = Record::Done(Response { by: attempt, keys });
    }
    holds || !checks
}

/// Changes the keys of a part if all are reserved for the attempt, and deletes the part.
fn change_part(
    scenario: &Scenario,
    table: &mut Table,
    attempt: AttemptId,
    part: u8,
    keys: Keys,
    change: impl Fn(&mut Key),
) -> bool {
    let reserved = keys.iter().all(|key| table.key(key).status == Status::Reserved(attempt));
    let holds = reserved || !scenario.keeps(Rule::ChangesOnlyOwnReservation);
    if holds {
        keys.iter().for_each(|key| change(table.key_mut(key)));
        if scenario.keeps(Rule::DeletesPartWithKeys) {
            table.parts[usize::from(attempt)][usize::from(part)] = Keys::NONE;
        }
    }
    holds
}
