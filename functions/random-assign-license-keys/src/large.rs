use std::collections::HashSet;
use std::time::Duration;

use keypool_domain::{Assignment, Generator, LicenseKey, NewKey, Reply, Timestamp, ValidationErrors};
use keypool_function::{FunctionError, SignedReply, measure};
use keypool_store::{Backoff, CommitOutcome, Drawn, NewOrder, Order, ReserveOutcome};
use tokio::time::timeout;

use crate::fresh;
use crate::sale::{Outcome, Sale};

/// What is kept of the time for an answer when an order is handed over: to send the answer.
const TO_ANSWER: Duration = Duration::from_millis(150);

/// How far an order has come.
enum Filled {
    /// All its keys are reserved.
    Completely,
    /// The stock holds too few, those that are reserved for it included.
    TooFew { available: usize },
    /// The stock may hold enough, but somebody who came before wants it too.
    GivesWay,
}

/// Gives away more keys of the stock than one transaction holds: reserves them one by one under the record of an
/// order, signs, and decides for all of them by one write.
pub(crate) async fn from_stock(sale: &Sale<'_>) -> Result<Outcome, FunctionError> {
    let since = sale.invocation.now();
    forget_earlier_attempts(sale).await?;
    let mut backoff = Backoff::new();
    loop {
        let assignment = sale.assignment();
        let mut order = None;
        let filled = Box::pin(fill(sale, &mut order, &assignment, since)).await;
        let outcome = match (filled, &order) {
            (Ok(Filled::Completely), Some(order)) => {
                return conclude(sale, order, &assignment).await.map(Outcome::Assigned);
            }
            (Ok(Filled::TooFew { available }), _) => Ok(Some(Outcome::TooFew { available })),
            (Ok(_), _) => Ok(None),
            (Err(failure), _) => Err(failure),
        };
        if let Some(order) = &order {
            abandon(sale, order).await;
        }
        if let Some(outcome) = outcome? {
            return Ok(outcome);
        }
        wait_for_those_before(sale, &assignment, since, &mut backoff).await?;
    }
}

/// Orders of attempts that this one has taken over from: nothing will come of them, since they do not hold the claim
/// any more.
async fn forget_earlier_attempts(sale: &Sale<'_>) -> Result<(), FunctionError> {
    let Some(claim) = sale.claim.as_ref().filter(|claim| claim.is_resumed()) else { return Ok(()) };
    let open = sale.store().open_orders(sale.product.id).await?;
    for order in open.iter().filter(|order| order.is_under(claim)) {
        sale.store().recover(order, sale.invocation.now()).await?;
    }
    Ok(())
}

/// Reserves keys until there are as many as asked for. The order is opened when there is something to reserve.
async fn fill(
    sale: &Sale<'_>,
    order: &mut Option<Order>,
    assignment: &Assignment,
    since: Timestamp,
) -> Result<Filled, FunctionError> {
    let (invocation, store) = (sale.invocation, sale.store());
    let mut backoff = Backoff::new();
    let mut missed: HashSet<LicenseKey> = HashSet::new();
    loop {
        let reserved = order.as_ref().map_or(0, |order| order.reserved().len());
        let wanting = sale.quantity() - reserved;
        if wanting == 0 {
            return Ok(Filled::Completely);
        }
        invocation.check_time_to_give_away()?;
        // The index trails: it may still show what is reserved by now.
        let held = order.iter().flat_map(Order::reserved).map(|key| key.license_key.clone());
        let pass_over = missed.iter().cloned().chain(held).collect();
        match store.draw_candidates(sale.product.id, wanting, &pass_over).await? {
            Drawn::Enough { mut candidates, .. } => {
                candidates.truncate(wanting);
                let order = match order {
                    Some(order) => order,
                    None => order.insert(store.open_order(new_order(sale, assignment, since)).await?),
                };
                match store.reserve(order, candidates).await? {
                    ReserveOutcome::Aborted => return Err(FunctionError::Contention),
                    ReserveOutcome::Reserved { missed: gone } if gone.is_empty() => {}
                    ReserveOutcome::Reserved { missed: gone } => {
                        missed.extend(gone);
                        measure::contention_retry();
                    }
                }
                continue;
            }
            // What was missed may be for sale again.
            Drawn::TooFew { .. } if !missed.is_empty() => missed.clear(),
            Drawn::TooFew { available, mut open_orders } => {
                open_orders.retain(|open| !open.is_of(assignment));
                if open_orders.is_empty() {
                    return Ok(Filled::TooFew { available: available + reserved });
                }
                sale.recover(&open_orders).await?;
                if open_orders.iter().any(|open| open.is_before(since, assignment)) {
                    return Ok(Filled::GivesWay);
                }
                // Those who came later give way; what is reserved is kept.
            }
        }
        tokio::time::sleep(backoff.next_wait(invocation.desk().randomness())).await;
    }
}

/// Waits until nobody who came before has an order open. (Then this buyer, with a fresh order, has the turn before all
/// who come later.)
async fn wait_for_those_before(
    sale: &Sale<'_>,
    assignment: &Assignment,
    since: Timestamp,
    backoff: &mut Backoff,
) -> Result<(), FunctionError> {
    loop {
        sale.invocation.check_time_to_give_away()?;
        tokio::time::sleep(backoff.next_wait(sale.invocation.desk().randomness())).await;
        let open = sale.store().open_orders(sale.product.id).await?;
        sale.recover(&open).await?;
        if !open.iter().any(|open| open.is_before(since, assignment)) {
            return Ok(());
        }
    }
}

/// Gives away more keys, made for it, than one transaction holds.
pub(crate) async fn of_fresh_keys(
    sale: &Sale<'_>,
    generator: &Generator,
) -> Result<SignedReply, FunctionError> {
    forget_earlier_attempts(sale).await?;
    let assignment = sale.assignment();
    let opened = sale.store().open_order_of_fresh_keys(new_order(sale, &assignment, assignment.at));
    let mut order = opened.await?;
    match Box::pin(make_all(sale, generator, &mut order, &assignment)).await {
        Ok(()) => conclude(sale, &order, &assignment).await,
        Err(failure) => {
            abandon(sale, &order).await;
            Err(failure)
        }
    }
}

async fn make_all(
    sale: &Sale<'_>,
    generator: &Generator,
    order: &mut Order,
    assignment: &Assignment,
) -> Result<(), FunctionError> {
    loop {
        let wanting = sale.quantity() - order.reserved().len();
        if wanting == 0 {
            return Ok(());
        }
        sale.invocation.check_time_to_give_away()?;
        let keys = fresh::make(sale, generator, assignment, wanting, NewKey::reserved).await?;
        // Keys that existed are made anew.
        if let ReserveOutcome::Aborted = sale.store().reserve_fresh(order, keys).await? {
            return Err(FunctionError::Contention);
        }
    }
}

fn new_order(sale: &Sale<'_>, assignment: &Assignment, since: Timestamp) -> NewOrder {
    let lease = sale.invocation.desk().lease();
    let product_id = sale.product.id;
    NewOrder { product_id, assignment: assignment.clone(), since, lease, claim: None }
        .under(sale.claim.as_ref())
}

/// Signs, decides, and lets the keys say so.
async fn conclude(
    sale: &Sale<'_>,
    order: &Order,
    assignment: &Assignment,
) -> Result<SignedReply, FunctionError> {
    match Box::pin(decide(sale, order, assignment)).await {
        Ok(answer) => {
            measure::keys_assigned(sale.quantity());
            // They are the buyer's, whether all of them say so by now or not: the sweep sees to the rest.
            let within = sale.invocation.time_left().saturating_sub(TO_ANSWER);
            let handed_over = timeout(within, sale.store().hand_over(order, sale.invocation.now())).await;
            if !matches!(handed_over, Ok(Ok(()))) {
                tracing::warn!("an order is left to the sweep to hand over");
            }
            Ok(answer)
        }
        Err(failure) => {
            abandon(sale, order).await;
            Err(failure)
        }
    }
}

async fn decide(
    sale: &Sale<'_>,
    order: &Order,
    assignment: &Assignment,
) -> Result<SignedReply, FunctionError> {
    let answer = sale.sign_rows(order.reserved(), assignment).await?;
    if answer.is_too_large() {
        let mut faults = ValidationErrors::default();
        faults.add(
            "quantity",
            "The quantity field is too large for keys and an owner as long as these.".to_owned(),
        );
        return Err(Reply::IncorrectAssignment(faults).into());
    }
    sale.invocation.check_time_to_give_away()?;
    sale.invocation.note_sale(order.reserved());
    match sale.store().commit(order, sale.recording(&answer)).await? {
        CommitOutcome::Committed => Ok(answer),
        CommitOutcome::Aborted => Err(FunctionError::Contention),
        CommitOutcome::Superseded => Err(FunctionError::InFlight),
    }
}

/// Gives an order up. What cannot be undone in time, a sweep will undo.
async fn abandon(sale: &Sale<'_>, order: &Order) {
    let undone =
        timeout(sale.invocation.time_left(), sale.store().abandon(order, sale.invocation.now())).await;
    if !matches!(undone, Ok(Ok(()))) {
        tracing::warn!("an order is left to the sweep to undo");
    }
}
