//! `POST /api/v1/random-assign-license-keys`: gives a number of keys, drawn at random, to an owner, all or none.

use std::collections::HashSet;
use std::sync::Arc;

use keypool_domain::requests::RandomAssignLicenseKeys;
use keypool_domain::{Assignment, AssignmentId, Endpoint, Generator, NewKey, Product, Reply, StockedKey};
use keypool_http::{Answer, Call, Desk, Failure, measure};
use keypool_store::{AssignOutcome, Backoff, Drawn, InsertOutcome, Lookup};
use lambda_http::{Body, Request, Response};

/// How often a buyer tries for keys that other buyers are quicker to take. Whenever one misses, another has
/// bought, so that in a rush on a small stock misses are many, but end with the stock.
const ATTEMPTS_MAX: usize = 32;

/// Answers one event.
pub async fn handle(desk: Arc<Desk>, event: Request) -> Response<Body> {
    let call = Call::receive(desk, Endpoint::RandomAssignLicenseKeys, event).await;
    call.answer(random_assign(&call)).await
}

async fn random_assign(call: &Call) -> Result<Answer, Failure> {
    let asked = RandomAssignLicenseKeys::try_from(call.parameters()?);
    let product = asked.as_ref().ok().map(|asked| asked.product_id);
    let found = call.authorise(Lookup { product, ..Lookup::default() }).await?;
    let asked = asked.map_err(Reply::IncorrectAssignment)?;
    let product = found.product.filter(Product::is_active).ok_or(Reply::ProductNotFound)?;

    match assign_from_stock(call, &asked, &product).await? {
        Outcome::Assigned(answer) => Ok(answer),
        Outcome::TooFew { available } if asked.generate => {
            measure::stock_remaining(product.id, available);
            assign_fresh(call, &asked, &product).await
        }
        Outcome::TooFew { available } => {
            measure::out_of_stock();
            measure::stock_remaining(product.id, available);
            let reply = Reply::InsufficientLicenseKeys { available_quantity: available };
            call.seal(&reply, product.signing_key_id.as_ref()).await
        }
    }
}

enum Outcome {
    Assigned(Answer),
    TooFew { available: usize },
}

/// Draws keys, signs the response that hands them over, and only then takes them out of the stock. Keys that
/// another buyer took in between are replaced: first by others of the same draw, then by a new draw.
async fn assign_from_stock(
    call: &Call,
    asked: &RandomAssignLicenseKeys,
    product: &Product,
) -> Result<Outcome, Failure> {
    let store = call.desk().store();
    let quantity = usize::from(asked.quantity.get());
    let mut backoff = Backoff::new();
    let mut taken = HashSet::new();
    let mut candidates: Vec<StockedKey> = Vec::new();
    let mut stock: Option<usize> = None;
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 1 || candidates.len() < quantity {
            match store.draw_candidates(product.id, quantity, &taken).await? {
                Drawn::Enough { candidates: drawn, whole_stock } => {
                    stock = whole_stock.then_some(drawn.len());
                    candidates = drawn;
                }
                Drawn::TooFew { available } => return Ok(Outcome::TooFew { available }),
            }
        }
        let (chosen, _) = candidates.split_at(quantity);
        let assignment = new_assignment(call, asked);
        let answer = seal_rows(call, chosen, &assignment, product).await?;
        call.check_time_to_give_away()?;
        match store.assign(chosen, &assignment).await? {
            AssignOutcome::Assigned => {
                measure::keys_assigned(quantity);
                if let Some(stock) = stock {
                    measure::stock_remaining(product.id, stock.saturating_sub(quantity));
                }
                return Ok(Outcome::Assigned(answer));
            }
            AssignOutcome::Missed { taken: gone, changed } => {
                candidates
                    .retain(|key| !gone.contains(&key.license_key) && !changed.contains(&key.license_key));
                stock = stock.map(|stock| stock.saturating_sub(gone.len()));
                taken.extend(gone);
                measure::contention_retry();
                tokio::time::sleep(backoff.next_wait(call.desk().randomness())).await;
            }
        }
    }
    Err(Failure::Contention)
}

/// Has the whole quantity made by the product's generator and gives it away as it is stored. The stock stays
/// as it is.
async fn assign_fresh(
    call: &Call,
    asked: &RandomAssignLicenseKeys,
    product: &Product,
) -> Result<Answer, Failure> {
    let about = Lookup { generator: product.generator_id, ..Lookup::default() };
    let generator = call.desk().look_up(about).await?.generator.filter(Generator::is_active);
    let Some(generator) = generator else {
        return call.seal(&Reply::GeneratorNotFound, product.signing_key_id.as_ref()).await;
    };
    let store = call.desk().store();
    let quantity = usize::from(asked.quantity.get());
    let mut backoff = Backoff::new();
    for _ in 0..ATTEMPTS_MAX {
        let randomness = call.desk().randomness();
        let made = generator.make_distinct(quantity, randomness);
        let made = made.map_err(|_| Failure::Bug("a stored generator makes invalid keys"))?;
        let ids = store.take_row_ids(quantity).await?;
        let assignment = new_assignment(call, asked);
        let stocked: Vec<StockedKey> = made
            .into_iter()
            .zip(ids)
            .map(|(key, id)| {
                NewKey::assigned(&generator, key, &assignment).into_stocked(id, assignment.at, randomness)
            })
            .collect();
        let answer = seal_rows(call, &stocked, &assignment, product).await?;
        call.check_time_to_give_away()?;
        match store.insert_assigned(&stocked).await? {
            InsertOutcome::Inserted => {
                measure::keys_generated(quantity);
                measure::keys_assigned(quantity);
                return Ok(answer);
            }
            InsertOutcome::Collided(_) => {
                tokio::time::sleep(backoff.next_wait(call.desk().randomness())).await;
            }
        }
    }
    Err(Failure::Contention)
}

fn new_assignment(call: &Call, asked: &RandomAssignLicenseKeys) -> Assignment {
    Assignment {
        id: AssignmentId::random(call.desk().randomness()),
        owner: asked.owner.clone(),
        at: call.now(),
    }
}

async fn seal_rows(
    call: &Call,
    keys: &[StockedKey],
    assignment: &Assignment,
    product: &Product,
) -> Result<Answer, Failure> {
    let rows = keys.iter().map(|key| key.row(assignment)).collect();
    call.seal(&Reply::LicenseKeysAssigned(rows), product.signing_key_id.as_ref()).await
}
