use std::collections::HashSet;

use keypool_domain::StockedKey;
use keypool_function::{FunctionError, measure};
use keypool_store::{AssignOutcome, Backoff, Drawn};

use crate::sale::{Outcome, Sale};

/// How often a buyer tries for keys that other buyers are quicker to take. Whenever one misses, another has
/// bought, so that in a rush on a small stock misses are many, but end with the stock.
pub(crate) const ATTEMPTS_MAX: usize = 32;

/// Draws keys, signs the response that hands them over, and only then takes them out of the stock. Keys that
/// another buyer took in between are replaced: first by others of the same draw, then by a new draw. The first draw may
/// have been made ahead.
pub(crate) async fn assign(
    sale: &Sale<'_>,
    mut drawn_ahead: Option<Drawn>,
) -> Result<Outcome, FunctionError> {
    let (invocation, store, quantity) = (sale.invocation, sale.store(), sale.quantity());
    let mut backoff = Backoff::new();
    let mut taken = HashSet::new();
    let mut candidates: Vec<StockedKey> = Vec::new();
    let mut stock: Option<usize> = None;
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 1 || candidates.len() < quantity {
            let drawn = match drawn_ahead.take() {
                Some(drawn) => drawn,
                None => store.draw_candidates(sale.product.id, quantity, &taken).await?,
            };
            match drawn {
                Drawn::Enough { candidates: drawn, whole_stock } => {
                    stock = whole_stock.then_some(drawn.len());
                    candidates = drawn;
                }
                Drawn::TooFew { available, open_orders } if open_orders.is_empty() => {
                    return Ok(Outcome::TooFew { available });
                }
                Drawn::TooFew { open_orders, .. } => {
                    // What a large order leaves, or what is left of one that has died, goes back into stock.
                    sale.recover(&open_orders).await?;
                    invocation.check_time_to_give_away()?;
                    tokio::time::sleep(backoff.next_wait(invocation.desk().randomness())).await;
                    continue;
                }
            }
        }
        let (chosen, _) = candidates.split_at(quantity);
        let assignment = sale.assignment();
        let answer = sale.sign_rows(chosen, &assignment).await?;
        invocation.check_time_to_give_away()?;
        invocation.note_sale(chosen);
        match store.assign(chosen, &assignment, sale.recording(&answer)).await? {
            AssignOutcome::Assigned => {
                measure::keys_assigned(quantity);
                if let Some(stock) = stock {
                    measure::stock_remaining(sale.product.id, stock.saturating_sub(quantity));
                }
                return Ok(Outcome::Assigned(answer));
            }
            AssignOutcome::Superseded => return Err(FunctionError::InFlight),
            AssignOutcome::Missed { taken: gone, changed } => {
                invocation.note_sale([]);
                candidates
                    .retain(|key| !gone.contains(&key.license_key) && !changed.contains(&key.license_key));
                stock = stock.map(|stock| stock.saturating_sub(gone.len()));
                taken.extend(gone);
                measure::contention_retry();
                tokio::time::sleep(backoff.next_wait(invocation.desk().randomness())).await;
            }
        }
    }
    Err(FunctionError::Contention)
}
