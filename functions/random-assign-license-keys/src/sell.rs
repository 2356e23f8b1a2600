use std::collections::HashSet;
use std::time::Duration;

use keypool_domain::{
    Assignment, AttemptId, Generator, LicenseKey, LicenseKeyRecord, NewKey, Product, Reply, ValidationErrors,
    requests::RandomAssignLicenseKeys,
};
use keypool_function::{FunctionError, Invocation, SignedReply, Window, measure};
use keypool_store::{
    Backoff, Drawn, Look, OpenRequest, Origin, RequestSlot, RequestState, Sale, SaleOutcome, StockSize, Store,
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

/// The result of an order.
pub(crate) enum Outcome {
    /// Its keys are the owner's.
    Sold(SignedReply),
    /// The stock is too small.
    TooFew { available: usize },
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

/// The result of one attempt at an order.
enum Attempt {
    Sold(SignedReply),
    /// Another attempt has answered the request. This one has sold nothing.
    Repeated(SignedReply),
    TooFew {
        available: usize,
    },
    /// The stock is short, and other large orders hold keys that may come back.
    Wait,
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
            let mut sale = self.sale(source);
            let attempt = self.attempt(source, &mut sale, drawn.take()).await;
            if let Ok(Attempt::Sold(answer)) = attempt {
                self.hand_over(&sale).await;
                return Ok(Outcome::Sold(answer));
            }
            let state = self.abandon(&sale).await;
            if let (Some(RequestState::Done), Some(reply)) = (state, self.unknown.take()) {
                // Its outcome was unknown, and is learned now.
                return Ok(Outcome::Sold(reply));
            }
            match attempt? {
                Attempt::Sold(answer) | Attempt::Repeated(answer) => return Ok(Outcome::Sold(answer)),
                // Its record may still be open. A further attempt must not name a void that has yet to
                // happen.
                Attempt::TooFew { .. } | Attempt::Wait if state.is_none() => {
                    return Err(FunctionError::Contention);
                }
                Attempt::TooFew { available } => {
                    self.slot = sale.into_slot();
                    return Ok(Outcome::TooFew { available });
                }
                Attempt::Wait => {
                    self.slot = sale.into_slot();
                    self.invocation.check_time_to_sell()?;
                    self.pause(&mut backoff).await;
                }
            }
        }
    }

    /// One attempt: misses are replaced, first by other keys of the same draw, then by a new draw. Of a
    /// window that was kept, one miss is enough, because others have sold from it since.
    async fn attempt(
        &mut self,
        source: Source<'_>,
        sale: &mut Sale,
        mut drawn: Option<Drawn>,
    ) -> Result<Attempt, FunctionError> {
        let mut backoff = Backoff::new();
        let mut gone: HashSet<LicenseKey> = HashSet::new();
        let mut candidates: Vec<LicenseKeyRecord> = Vec::new();
        let (mut stock, mut drawn_at) = (StockSize::Exact(0), self.invocation.now());
        let (mut misses, mut misses_left) = (0, 0);
        while misses < ATTEMPTS_MAX {
            let wanting = self.quantity() - sale.taken().count();
            if candidates.len() < wanting || misses_left == 0 {
                if let Some(window) = self.window.take() {
                    (candidates, stock, drawn_at) = (window.keys, window.stock, window.drawn_at);
                    misses_left = 1;
                } else {
                    let found = match drawn.take() {
                        Some(drawn) => drawn,
                        None => self.draw(source, sale, wanting, &candidates, &gone).await?,
                    };
                    (candidates, stock, drawn_at) = (found.candidates, found.stock, self.invocation.now());
                    misses_left = 2;
                    if let Source::Stock(_) = source {
                        let size = self.invocation.desk().stock_size(self.product.id, stock);
                        measure::stock_estimate(self.product.id, size);
                    }
                    if candidates.len() < wanting && !gone.is_empty() {
                        // Keys that were gone may be back, for example from a large order that was undone.
                        gone.clear();
                        (misses, misses_left) = (misses + 1, 0);
                        self.pause(&mut backoff).await;
                        continue;
                    }
                    if candidates.len() < wanting {
                        return Box::pin(self.short(sale, candidates.len(), &found.open_requests)).await;
                    }
                }
            }
            let part = wanting.min(self.store().sale_keys_max());
            let (chosen, _) = candidates.split_at(part);
            let outcome = if part < wanting {
                if sale.taken().next().is_none() {
                    self.check_size(sale, &candidates[..wanting])?;
                }
                self.invocation.check_time_to_sell()?;
                // On the heap, as all that is rare and large.
                Box::pin(self.store().take(sale, chosen, self.invocation.now())).await?
            } else {
                let (outcome, reply) = self.finish(sale, chosen).await?;
                if outcome == SaleOutcome::Done {
                    self.keep(source, Window { keys: candidates.split_off(part), stock, drawn_at });
                    return Ok(Attempt::Sold(reply));
                }
                outcome
            };
            match outcome {
                SaleOutcome::Done => drop(candidates.drain(..part)),
                SaleOutcome::Missed { taken, changed } => {
                    candidates.retain(|key| {
                        !taken.contains(&key.license_key) && !changed.contains(&key.license_key)
                    });
                    gone.extend(taken);
                    (misses, misses_left) = (misses + 1, misses_left - 1);
                    measure::contention_retry();
                    self.pause(&mut backoff).await;
                }
                SaleOutcome::Recorded(recorded) => {
                    return self.invocation.repeat(recorded).map(Attempt::Repeated);
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
        candidates: &[LicenseKeyRecord],
        gone: &HashSet<LicenseKey>,
    ) -> Result<Drawn, FunctionError> {
        match source {
            Source::Stock(look) => {
                // The index trails, so it may still show keys that are reserved by now.
                let reserved = sale.taken().map(|key| key.license_key.clone());
                let pass_over = gone.iter().cloned().chain(reserved).collect();
                Ok(self.store().draw(self.product.id, wanting, &pass_over, look).await?)
            }
            Source::Generator(generator) => {
                let missing = wanting.saturating_sub(candidates.len());
                let made = Box::pin(self.make(generator, missing)).await?;
                let candidates = [candidates, &made].concat();
                let stock = StockSize::Exact(candidates.len());
                Ok(Drawn { candidates, stock, open_requests: Vec::new() })
            }
        }
    }

    /// Makes keys for this order.
    async fn make(
        &self,
        generator: &Generator,
        count: usize,
    ) -> Result<Vec<LicenseKeyRecord>, FunctionError> {
        let randomness = self.invocation.desk().randomness();
        let made = generator.make_distinct(count, randomness);
        let made = made.map_err(|_| FunctionError::Bug("a stored generator makes invalid keys"))?;
        let ids = self.store().take_row_ids(count).await?;
        let now = self.invocation.now();
        let new = made.into_iter().zip(ids);
        Ok(new.map(|(key, id)| NewKey::in_stock(generator, key).into_record(id, now, randomness)).collect())
    }

    /// Judges a short stock. Large orders that have died are settled, and what they held comes back.
    async fn short(
        &self,
        sale: &Sale,
        found: usize,
        open_requests: &[OpenRequest],
    ) -> Result<Attempt, FunctionError> {
        let is_other = |open: &&OpenRequest| !open.is_of(sale.assignment());
        let others: Vec<&OpenRequest> = open_requests.iter().filter(is_other).collect();
        if others.is_empty() {
            let available = found + sale.taken().count();
            return Ok(Attempt::TooFew { available });
        }
        for open in others {
            self.store().settle(open, self.invocation.now()).await?;
        }
        Ok(Attempt::Wait)
    }

    /// Signs the response and sells the last keys.
    async fn finish(
        &mut self,
        sale: &Sale,
        chosen: &[LicenseKeyRecord],
    ) -> Result<(SaleOutcome, SignedReply), FunctionError> {
        if sale.taken().next().is_some() {
            // A key that replaced another may be longer.
            self.check_size(sale, chosen)?;
        }
        let reply = self.sign(&rows(sale, chosen)).await?;
        match self.invocation.finish(sale, chosen, &reply).await {
            Ok(outcome) => Ok((outcome, reply)),
            Err(error) => {
                self.unknown = Some(reply);
                Err(error)
            }
        }
    }

    /// Counts a sale, and keeps the keys that its draw has left.
    fn keep(&self, source: Source<'_>, window: Window) {
        measure::keys_assigned(self.quantity());
        match source {
            Source::Generator(_) => measure::keys_generated(self.quantity()),
            Source::Stock(_) => self.invocation.desk().keep_window(self.product.id, window),
        }
    }

    /// Refuses an order whose response, with `chosen` beside the keys that are reserved, would be larger than
    /// Lambda accepts.
    fn check_size(&self, sale: &Sale, chosen: &[LicenseKeyRecord]) -> Result<(), FunctionError> {
        if self.invocation.fits(&rows(sale, chosen)) {
            return Ok(());
        }
        let mut errors = ValidationErrors::default();
        errors.add(
            "quantity",
            "The quantity field is too large for keys and an owner as long as these.".to_owned(),
        );
        Err(Reply::IncorrectAssignment(errors).into())
    }

    /// Hands a large order over. It is the buyer's already; what is not done in time, the sweep does.
    async fn hand_over(&self, sale: &Sale) {
        let within = self.invocation.time_left().saturating_sub(TO_ANSWER);
        let handed_over =
            timeout(within, Box::pin(self.store().hand_over(sale, self.invocation.now()))).await;
        if !matches!(handed_over, Ok(Ok(()))) {
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

    fn sale(&self, source: Source<'_>) -> Sale {
        let origin = match source {
            Source::Stock(_) => Origin::Stock,
            Source::Generator(_) => Origin::Generator,
        };
        let id = AttemptId::random(self.invocation.desk().randomness());
        let assignment = Assignment { id, owner: self.asked.owner.clone(), at: self.invocation.now() };
        Sale::new(self.product.id, origin, assignment, self.invocation.desk().lease(), self.slot.clone())
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
    let keys = sale.taken().chain(chosen);
    Reply::LicenseKeysAssigned(keys.map(|key| key.row(sale.assignment())).collect())
}
