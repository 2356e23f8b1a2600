use std::collections::HashSet;
use std::time::Duration;

use keypool_domain::{
    Assignment, AttemptId, Generator, LicenseKey, LicenseKeyRecord, NewKey, Product, Reply, ValidationErrors,
    requests::RandomAssignLicenseKeys,
};
use keypool_function::{FunctionError, Invocation, SignedReply, Window, measure};
use keypool_store::{
    Backoff, Drawn, Look, OpenRequest, RequestSlot, RequestState, Sale, SaleOutcome, StockSize, Store,
};
use tokio::time::timeout;

/// How often a buyer tries for keys that other buyers are quicker to take. Whenever one misses, another has
/// bought, so a rush on a small stock has many misses, but ends with the stock.
const ATTEMPTS_MAX: usize = 32;

/// The time that is left to send the response when an order is handed over.
const TO_ANSWER: Duration = Duration::from_millis(150);

/// The source of the keys of an order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// The product's stock.
    Stock(Look),
    /// A generator that makes them for this order. The stock stays as it is.
    Generator(&'a Generator),
}

/// The result of an order, or of one attempt at it.
pub(crate) enum Outcome {
    /// Its keys are the owner's.
    Sold(SignedReply),
    /// Another attempt has answered the request. This one has sold nothing.
    Repeated(SignedReply),
    /// The stock is too small.
    TooFew { available: usize },
    /// The stock is too small now, and other large orders hold keys that may come back.
    Wait,
}

/// An order that passed all checks.
pub(crate) struct Order<'a> {
    pub(crate) invocation: &'a Invocation,
    pub(crate) asked: &'a RandomAssignLicenseKeys,
    pub(crate) product: &'a Product,
    /// The record of the request, if it has an `Idempotency-Key`.
    pub(crate) slot: Option<RequestSlot>,
    /// Keys that an earlier draw of this environment has left.
    pub(crate) window: Option<Window>,
    /// The response of a sale whose outcome is unknown.
    pub(crate) unknown: Option<SignedReply>,
}

/// Keys to sell, and what an attempt knows of the stock.
struct Candidates {
    window: Window,
    /// How many more misses these keys are tried for.
    misses_left: usize,
    /// How often the attempt has missed.
    misses: usize,
    /// Keys that others have taken, though the index may still show them.
    gone: HashSet<LicenseKey>,
}

impl Order<'_> {
    /// Sells keys from `source`: draws them, reserves all but the last part if there are too many for one
    /// write, signs the response, and sells by one write. The first draw may have been made before.
    ///
    /// A short stock in which other large orders hold keys is tried again: what was reserved goes back first,
    /// so that two such orders do not wait for each other.
    pub(crate) async fn sell(
        &mut self,
        source: Source<'_>,
        mut drawn: Option<Drawn>,
    ) -> Result<Outcome, FunctionError> {
        let mut backoff = Backoff::new();
        loop {
            let mut sale = self.sale();
            let outcome = self.attempt(source, &mut sale, drawn.take()).await;
            if let Ok(Outcome::Sold(_)) = outcome {
                self.hand_over(&sale).await;
                return outcome;
            }
            let state = self.abandon(&sale).await;
            if let (Some(RequestState::Done), Some(reply)) = (state, self.unknown.take()) {
                // Its outcome was unknown, and is learned now.
                return Ok(Outcome::Sold(reply));
            }
            let outcome = outcome?;
            if state.is_none() && !matches!(outcome, Outcome::Repeated(_)) {
                // Its record may still be open. A further attempt must not name a void that has yet to
                // happen.
                return Err(FunctionError::Contention);
            }
            self.slot = sale.into_slot();
            let Outcome::Wait = outcome else { return Ok(outcome) };
            self.invocation.check_time_to_sell()?;
            self.pause(&mut backoff).await;
        }
    }

    /// One attempt: misses are replaced, first by other keys of the same draw, then by a new draw. Of a
    /// window that was kept, one miss is enough, because others have sold from it since.
    async fn attempt(
        &mut self,
        source: Source<'_>,
        sale: &mut Sale,
        mut drawn: Option<Drawn>,
    ) -> Result<Outcome, FunctionError> {
        let mut backoff = Backoff::new();
        let (window, gone) = (self.window.take(), HashSet::new());
        let mut found = match window {
            Some(window) => Candidates { window, misses_left: 1, misses: 0, gone },
            None => Candidates { window: self.window_of(Vec::new()), misses_left: 0, misses: 0, gone },
        };
        while found.misses < ATTEMPTS_MAX {
            let wanting = self.quantity() - sale.taken().len();
            if found.window.keys.len() < wanting || found.misses_left == 0 {
                let drawn = match drawn.take() {
                    Some(drawn) => drawn,
                    None => self.draw(source, sale, wanting, &found).await?,
                };
                if let Source::Stock(_) = source {
                    let size = self.invocation.desk().stock_size(self.product.id, drawn.stock);
                    measure::stock_estimate(self.product.id, size);
                }
                found.misses_left = 2;
                found.window = Window { stock: drawn.stock, ..self.window_of(drawn.candidates) };
                if found.window.keys.len() < wanting {
                    if found.gone.is_empty() {
                        return Box::pin(self.short(sale, found.window.keys.len(), &drawn.open_requests))
                            .await;
                    }
                    // Keys that were gone may be back, for example from a large order that was undone.
                    (found.misses, found.misses_left) = (found.misses + 1, 0);
                    found.gone.clear();
                    self.pause(&mut backoff).await;
                    continue;
                }
            }
            let part = wanting.min(self.store().sale_keys_max());
            let (chosen, _) = found.window.keys.split_at(part);
            let outcome = if part == wanting {
                let (outcome, reply) = self.finish(sale, chosen).await?;
                if outcome == SaleOutcome::Done {
                    found.window.keys.drain(..part);
                    self.count(source, found.window);
                    return Ok(Outcome::Sold(reply));
                }
                outcome
            } else {
                if sale.taken().is_empty() {
                    self.check_size(sale, &found.window.keys[..wanting])?;
                }
                self.invocation.check_time_to_sell()?;
                // On the heap, as all that is rare and large.
                Box::pin(self.store().take(sale, chosen, self.invocation.now())).await?
            };
            match outcome {
                SaleOutcome::Done => drop(found.window.keys.drain(..part)),
                SaleOutcome::Missed { taken, changed } => {
                    let is_left = |key: &LicenseKey| !taken.contains(key) && !changed.contains(key);
                    found.window.keys.retain(|key| is_left(&key.license_key));
                    found.gone.extend(taken);
                    (found.misses, found.misses_left) = (found.misses + 1, found.misses_left - 1);
                    measure::contention_retry();
                    self.pause(&mut backoff).await;
                }
                SaleOutcome::Recorded(recorded) => {
                    return self.invocation.repeat(recorded).map(Outcome::Repeated);
                }
            }
        }
        Err(FunctionError::Contention)
    }

    /// Draws keys from the stock, or makes as many as are missing.
    async fn draw(
        &self,
        source: Source<'_>,
        sale: &Sale,
        wanting: usize,
        found: &Candidates,
    ) -> Result<Drawn, FunctionError> {
        match source {
            Source::Stock(look) => {
                // The index trails, so it may still show keys that are reserved by now.
                let reserved = sale.taken().iter().map(|key| &key.license_key);
                let pass_over = found.gone.iter().chain(reserved).cloned().collect();
                Ok(self.store().draw(self.product.id, wanting, &pass_over, look).await?)
            }
            Source::Generator(generator) => {
                let missing = wanting.saturating_sub(found.window.keys.len());
                let made = Box::pin(self.make(generator, missing)).await?;
                let candidates = [&*found.window.keys, &made].concat();
                Ok(Drawn { stock: StockSize::Exact(candidates.len()), candidates, open_requests: Vec::new() })
            }
        }
    }

    /// Makes keys for this order. They are in no stock, and have no version yet.
    async fn make(
        &self,
        generator: &Generator,
        count: usize,
    ) -> Result<Vec<LicenseKeyRecord>, FunctionError> {
        let randomness = self.invocation.desk().randomness();
        let made = generator.make_distinct(count, randomness);
        let made = made.map_err(|_| FunctionError::Bug("a stored generator makes invalid keys"))?;
        let (ids, now) = (self.store().take_row_ids(count).await?, self.invocation.now());
        let record = |(key, id)| NewKey::in_stock(generator, key).into_record(id, now, randomness);
        Ok(made.into_iter().zip(ids).map(record).map(LicenseKeyRecord::unstored).collect())
    }

    /// Judges a short stock. Large orders that have died are settled, and what they held comes back.
    async fn short(
        &self,
        sale: &Sale,
        found: usize,
        open_requests: &[OpenRequest],
    ) -> Result<Outcome, FunctionError> {
        let mut outcome = Outcome::TooFew { available: found + sale.taken().len() };
        for open in open_requests.iter().filter(|open| !open.is_of(sale.assignment())) {
            self.store().settle(open, self.invocation.now()).await?;
            outcome = Outcome::Wait;
        }
        Ok(outcome)
    }

    /// Signs the response and sells the last keys.
    async fn finish(
        &mut self,
        sale: &Sale,
        chosen: &[LicenseKeyRecord],
    ) -> Result<(SaleOutcome, SignedReply), FunctionError> {
        if !sale.taken().is_empty() {
            // A key that replaced another may be longer.
            self.check_size(sale, chosen)?;
        }
        let reply = self.sign(&rows(sale, chosen)).await?;
        let outcome = self.invocation.finish(sale, chosen, &reply).await;
        if outcome.is_err() {
            self.unknown = Some(reply.clone());
        }
        Ok((outcome?, reply))
    }

    /// Counts a sale, and keeps the keys that its draw has left.
    fn count(&self, source: Source<'_>, left: Window) {
        measure::keys_assigned(self.quantity());
        match source {
            Source::Generator(_) => measure::keys_generated(self.quantity()),
            Source::Stock(_) => self.invocation.desk().keep_window(self.product.id, left),
        }
    }

    /// Refuses an order whose response, with `chosen` beside the keys that are reserved, would be larger than
    /// Lambda accepts.
    fn check_size(&self, sale: &Sale, chosen: &[LicenseKeyRecord]) -> Result<(), FunctionError> {
        if self.invocation.fits(&rows(sale, chosen)) {
            return Ok(());
        }
        let too_large = "The quantity field is too large for keys and an owner as long as these.";
        let mut errors = ValidationErrors::default();
        errors.add("quantity", too_large.to_owned());
        Err(Reply::IncorrectAssignment(errors).into())
    }

    /// Hands a large order over. It is the buyer's already; what is not done in time, the sweep does.
    async fn hand_over(&self, sale: &Sale) {
        let within = self.invocation.time_left().saturating_sub(TO_ANSWER);
        let hand_over = Box::pin(self.store().hand_over(sale, self.invocation.now()));
        if !matches!(timeout(within, hand_over).await, Ok(Ok(()))) {
            tracing::warn!("the sweep will hand an order over");
        }
    }

    /// Voids a large order and undoes what it has reserved. What is not done in time, the sweep does.
    async fn abandon(&self, sale: &Sale) -> Option<RequestState> {
        let undone = Box::pin(self.store().abandon(sale, self.invocation.now()));
        let state = timeout(self.invocation.time_left(), undone).await.ok().and_then(Result::ok);
        if state.is_none() {
            tracing::warn!("the sweep will undo an order");
        }
        state
    }

    async fn pause(&self, backoff: &mut Backoff) {
        tokio::time::sleep(backoff.next_wait(self.invocation.desk().randomness())).await;
    }

    fn sale(&self) -> Sale {
        let id = AttemptId::random(self.invocation.desk().randomness());
        let assignment = Assignment { id, owner: self.asked.owner.clone(), at: self.invocation.now() };
        Sale::new(self.product.id, assignment, self.invocation.desk().lease(), self.slot.clone())
    }

    fn window_of(&self, keys: Vec<LicenseKeyRecord>) -> Window {
        Window { keys, stock: StockSize::Exact(0), drawn_at: self.invocation.now() }
    }

    fn store(&self) -> &Store {
        self.invocation.desk().store()
    }

    fn quantity(&self) -> usize {
        usize::from(self.asked.quantity.get())
    }

    /// Signs a reply about the product.
    pub(crate) async fn sign(&self, reply: &Reply) -> Result<SignedReply, FunctionError> {
        self.invocation.sign_reply(reply, self.product.signing_key_id.as_ref()).await
    }
}

/// The reply that hands over the keys that are reserved, and `chosen`.
fn rows(sale: &Sale, chosen: &[LicenseKeyRecord]) -> Reply {
    let keys = sale.taken().iter().chain(chosen);
    Reply::LicenseKeysAssigned(keys.map(|key| key.row(sale.assignment())).collect())
}
