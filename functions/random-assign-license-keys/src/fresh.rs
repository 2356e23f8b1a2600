use keypool_domain::{Assignment, Generator, NewKey, Reply, StockedKey};
use keypool_function::{FunctionError, SignedReply, measure};
use keypool_store::{Backoff, InsertOutcome, Lookup};

use crate::large;
use crate::sale::Sale;
use crate::stock::ATTEMPTS_MAX;

/// Has the whole quantity made by the product's generator and gives it away as it is stored. The stock stays
/// as it is.
pub(crate) async fn assign(sale: &Sale<'_>) -> Result<SignedReply, FunctionError> {
    let invocation = sale.invocation;
    let about = Lookup { generator: sale.product.generator_id, ..Lookup::default() };
    let generator = invocation.desk().look_up(about).await?.generator.filter(Generator::is_active);
    let Some(generator) = generator else { return sale.sign_reply(&Reply::GeneratorNotFound).await };
    let answer = if sale.is_large() {
        large::of_fresh_keys(sale, &generator).await?
    } else {
        assign_at_once(sale, &generator).await?
    };
    measure::keys_generated(sale.quantity());
    Ok(answer)
}

async fn assign_at_once(sale: &Sale<'_>, generator: &Generator) -> Result<SignedReply, FunctionError> {
    let (invocation, store) = (sale.invocation, sale.store());
    let mut backoff = Backoff::new();
    for _ in 0..ATTEMPTS_MAX {
        let assignment = sale.assignment();
        let keys = make(sale, generator, &assignment, sale.quantity(), NewKey::assigned).await?;
        let answer = sale.sign_rows(&keys, &assignment).await?;
        invocation.check_time_to_give_away()?;
        invocation.note_sale(&keys);
        match store.insert_assigned(&keys, sale.recording(&answer)).await? {
            InsertOutcome::Inserted => {
                measure::keys_assigned(sale.quantity());
                return Ok(answer);
            }
            InsertOutcome::Superseded => return Err(FunctionError::InFlight),
            InsertOutcome::Collided(_) => {
                tokio::time::sleep(backoff.next_wait(invocation.desk().randomness())).await;
            }
        }
    }
    Err(FunctionError::Contention)
}

/// Makes keys, and what is to be stored of each.
pub(crate) async fn make(
    sale: &Sale<'_>,
    generator: &Generator,
    assignment: &Assignment,
    count: usize,
    new_key: fn(&Generator, keypool_domain::LicenseKey, &Assignment) -> NewKey,
) -> Result<Vec<StockedKey>, FunctionError> {
    let randomness = sale.invocation.desk().randomness();
    let made = generator.make_distinct(count, randomness);
    let made = made.map_err(|_| FunctionError::Bug("a stored generator makes invalid keys"))?;
    let ids = sale.store().take_row_ids(count).await?;
    let stocked = made
        .into_iter()
        .zip(ids)
        .map(|(key, id)| new_key(generator, key, assignment).into_stocked(id, assignment.at, randomness));
    Ok(stocked.collect())
}
