//! What is written to the table, each write atomic and conditional.

use crate::desk::Desk;
use crate::picks::{KeyId, Keys, Picks};
use crate::protocol::Rule;
use crate::table::{AttemptId, Claim, Envelope, Key, Order, OrderState, Status, Table};

/// A request to write. While it is under way it may be held up for any time.
#[expect(missing_docs, reason = "who writes, and what: the names of the fields say it")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Write {
    /// Claims the buyer's Idempotency-Key, if nobody has.
    Claim { attempt: AttemptId },
    /// Takes the claim over from another attempt.
    TakeOver { attempt: AttemptId, from: AttemptId },
    /// Deletes the claim, as nothing was sold.
    Release { attempt: AttemptId },
    /// Records the response in the claim. A write of its own only if [`Rule::FinishesClaimInSale`] is left out.
    Finish { attempt: AttemptId, keys: Keys },
    /// Gives the keys of a small order away.
    Sell { attempt: AttemptId, picks: Picks },
    /// Moves the version of a key on, so that no write that asks for `seen` can succeed any more.
    Fence { key: KeyId, seen: u8 },
    /// Opens a big order with its first list of keys.
    Open { order: AttemptId, picks: Picks },
    /// Adds a list of keys to a big order.
    Append { order: AttemptId, part: u8, picks: Picks },
    /// Reserves a key.
    Reserve { order: AttemptId, key: KeyId, seen: u8 },
    /// Makes the reserved keys the buyer's.
    Commit { order: AttemptId, keys: Keys },
    /// Calls the order off.
    Abort { order: AttemptId },
    /// Puts a reserved key back in stock.
    Undo { order: AttemptId, key: KeyId, seen: u8 },
    /// Turns a reservation of a committed order into an assignment.
    Mark { order: AttemptId, key: KeyId },
    /// Deletes the lists of an order that is finished or undone.
    DeleteList { order: AttemptId },
    /// Closes such an order.
    Close { order: AttemptId },
}

impl Write {
    /// Makes the change if its condition holds, and says whether it does.
    pub(crate) fn apply(self, desk: &Desk, table: &mut Table) -> bool {
        match self {
            Self::Claim { attempt } => change_claim(desk, table, attempt, |claim| {
                (claim == Claim::Absent).then_some(Claim::Started(attempt))
            }),
            Self::TakeOver { attempt, from } => change_claim(desk, table, attempt, |claim| {
                (claim == Claim::Started(from)).then_some(Claim::Started(attempt))
            }),
            Self::Release { attempt } => change_claim(desk, table, attempt, |claim| {
                let released = match claim {
                    Claim::Absent => false,
                    Claim::Started(by) => by == attempt || !desk.keeps(Rule::ReleaseChecksAttempt),
                    Claim::Done(Envelope { by, .. }) => {
                        !desk.keeps(Rule::ReleaseChecksState)
                            && (by == attempt || !desk.keeps(Rule::ReleaseChecksAttempt))
                    }
                };
                released.then_some(Claim::Absent)
            }),
            Self::Finish { attempt, keys } => finish_claim(desk, table, attempt, keys),
            Self::Sell { attempt, picks } => sell(desk, table, attempt, picks),
            Self::Fence { key, seen } => {
                let key = table.key_mut(key);
                let holds = *key == Key { status: Status::Available, version: seen };
                if holds {
                    key.becomes(Status::Available);
                }
                holds
            }
            Self::Open { order, picks } => {
                let order = table.order_mut(order);
                let holds = order.state == OrderState::Absent;
                if holds {
                    order.state = OrderState::Reserving;
                    if desk.keeps(Rule::ListsBeforeReserving) {
                        order.parts[0] = picks;
                    }
                }
                holds
            }
            Self::Append { order, part, picks } => {
                let order = table.order_mut(order);
                let holds =
                    order.state == OrderState::Reserving || !desk.keeps(Rule::AppendsOnlyWhileReserving);
                if holds {
                    order.parts[usize::from(part)] = picks;
                }
                holds
            }
            Self::Reserve { order, key, seen } => reserve(desk, table, order, key, seen),
            Self::Commit { order, keys } => commit(desk, table, order, keys),
            Self::Abort { order } => {
                let order = table.order_mut(order);
                let holds = match order.state {
                    OrderState::Reserving => true,
                    OrderState::Committed => !desk.keeps(Rule::AbortChecksState),
                    _ => false,
                };
                if holds {
                    order.state = OrderState::Aborted;
                }
                holds
            }
            Self::Undo { order, key, seen } => {
                let key = table.key_mut(key);
                let holds = match key.status {
                    Status::Reserved(by) => by == order || !desk.keeps(Rule::UndoChecksOrder),
                    _ => false,
                };
                let holds = holds && (key.version == seen + 1 || !desk.keeps(Rule::UndoChecksVersion));
                if holds && desk.attempt(order).makes_fresh_keys {
                    *key = Key::ABSENT;
                } else if holds {
                    key.becomes(Status::Available);
                }
                holds
            }
            Self::Mark { order, key } => {
                let key = table.key_mut(key);
                let holds = key.status == Status::Reserved(order) || !desk.keeps(Rule::MarkChecksOrder);
                if holds {
                    key.becomes(Status::Assigned(order));
                }
                holds
            }
            Self::DeleteList { order } => {
                table.order_mut(order).parts = Order::ABSENT.parts;
                true
            }
            Self::Close { order } => close(desk, table, order),
        }
    }
}

fn change_claim(
    desk: &Desk,
    table: &mut Table,
    attempt: AttemptId,
    change: impl FnOnce(Claim) -> Option<Claim>,
) -> bool {
    let Some(claim) = desk.attempt(attempt).claim else { return false };
    let claim = &mut table.claims[usize::from(claim)];
    match change(*claim) {
        Some(changed) => {
            *claim = changed;
            true
        }
        None => false,
    }
}

/// Records the response, if the attempt holds its claim. True as well if there is no claim to be held.
fn finish_claim(desk: &Desk, table: &mut Table, attempt: AttemptId, keys: Keys) -> bool {
    desk.attempt(attempt).claim.is_none()
        || change_claim(desk, table, attempt, |claim| {
            let held = match claim {
                Claim::Started(by) => by == attempt || !desk.keeps(Rule::SaleChecksAttempt),
                _ => false,
            };
            held.then_some(Claim::Done(Envelope { by: attempt, keys }))
        })
}

/// Whether a key may be given to, or reserved for, `mine`. `own` is what it looks like when that was done before.
fn is_for_sale(desk: &Desk, key: Key, seen: u8, own: Status, knows_own: Rule) -> bool {
    let unsold = (key.status == Status::Available || !desk.keeps(Rule::ChecksStatus))
        && (key.version == seen || !desk.keeps(Rule::ChecksVersion));
    unsold || (desk.keeps(knows_own) && key == Key { status: own, version: seen + 1 })
}

fn sell(desk: &Desk, table: &mut Table, attempt: AttemptId, picks: Picks) -> bool {
    let sold = Status::Assigned(attempt);
    let before = *table;
    let mut holds =
        !desk.keeps(Rule::FinishesClaimInSale) || finish_claim(desk, table, attempt, picks.keys());
    for (key, seen) in picks.iter() {
        let key = table.key_mut(key);
        if !is_for_sale(desk, *key, seen, sold, Rule::KnowsOwnSale) {
            holds = false;
        } else if key.status != sold {
            key.becomes(sold);
        }
    }
    if !holds && desk.keeps(Rule::SellsInOneTransaction) {
        *table = before;
    }
    holds
}

fn reserve(desk: &Desk, table: &mut Table, order: AttemptId, key: KeyId, seen: u8) -> bool {
    let reserved = Status::Reserved(order);
    let while_reserving = table.order(order).state == OrderState::Reserving;
    let key = table.key_mut(key);
    let holds = if desk.attempt(order).makes_fresh_keys {
        (*key == Key::ABSENT || key.status == reserved)
            && (while_reserving || !desk.keeps(Rule::InsertsOnlyWhileReserving))
    } else {
        is_for_sale(desk, *key, seen, reserved, Rule::KnowsOwnReservation)
    };
    if holds && key.status != reserved {
        key.becomes(reserved);
    }
    holds
}

fn commit(desk: &Desk, table: &mut Table, order: AttemptId, keys: Keys) -> bool {
    let holds = table.order(order).state == OrderState::Reserving || !desk.keeps(Rule::CommitChecksState);
    let holds = holds && (!desk.keeps(Rule::FinishesClaimInSale) || finish_claim(desk, table, order, keys));
    if holds {
        table.order_mut(order).state = OrderState::Committed;
    }
    holds
}

fn close(desk: &Desk, table: &mut Table, order: AttemptId) -> bool {
    let order = table.order_mut(order);
    let closed = match order.state {
        OrderState::Committed => OrderState::Sold,
        OrderState::Aborted => OrderState::Void,
        _ => return false,
    };
    order.state = if desk.keeps(Rule::KeepsFinishedOrders) { closed } else { OrderState::Absent };
    true
}
