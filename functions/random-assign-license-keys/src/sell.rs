use std::collections::HashSet;
use std::time::Duration;

use keypool_domain::{
    Endpoint, Generator, LicenseKey, LicenseKeyRecord, NewKey, Product, Reply, ValidationErrors,
    requests::RandomAssignLicenseKeys,
};
use keypool_function::{FunctionError, Invocation, Window, measure};
use keypool_store::{Backoff, Drawn, OpenRequest, RequestSlot, Sale, SaleOutcome, StockSize, Store};
use tokio::time::timeout;

use crate::{Filled, Replaced, look};

/// The number of misses that an attempt may have. With each miss another buyer has bought, so a rush on a
/// small stock has many misses, but ends with the stock.
const MISSES_MAX: usize = 32;

/// The time that is reserved for the response when an order is concluded.
const TO_ANSWER: Duration = Duration::from_millis(150);

/// An order that passed all checks.
pub(crate) struct Order<'a> {
    pub(crate) invocation: &'a Invocation,
    pub(crate) asked: &'a RandomAssignLicenseKeys,
    pub(crate) product: &'a Product,
    /// The generator that makes the keys for this order; `None` to draw them from the stock.
    pub(crate) generator: Option<&'a Generator>,
    /// The record of the request, if it has an `Idempotency-Key`.
    pub(crate) slot: Option<RequestSlot>,
    /// Keys that an earlier draw of this environment has left.
    pub(crate) window: Option<Window>,
    /// The number of keys that earlier queued orders wait for; `None` to read it.
    pub(crate) in_front: Option<usize>,
    /// The sold key that the order's only key replaces.
    pub(crate) replaced: Option<&'a Replaced<'a>>,
}

impl Order<'_> {
    /// Sells keys. Draws or generates them, and reserves all but the last part if there are too many for one
    /// write. Then signs the response and sells by one write. `drawn` is a draw that was made before.
    ///
    /// Tries again if the stock is short and other large orders hold keys. It first returns what it reserved,
    /// so that two such orders do not wait for each other.
    pub(crate) async fn sell(&mut self, mut drawn: Option<Drawn>) -> Result<Filled, FunctionError> {
        let mut backoff = Backoff::new();
        loop {
            let mut sale = self.sale();
            let outcome = self.attempt(&mut sale, drawn.take()).await;
            let is_concluded = self.conclude(&sale).await;
            let filled = outcome?;
            if !is_concluded && !matches!(filled, Some(Filled::Sold(_))) {
                // The record may still be open. A further attempt must not rely on a void that has not
                // happened yet.
                return Err(FunctionError::Contention);
            }
            self.slot = sale.into_slot();
            if let Some(filled) = filled {
                return Ok(filled);
            }
            self.invocation.check_time_to_sell()?;
            self.pause(&mut backoff).await;
        }
    }

    /// Makes one attempt. After a miss, draws again, because others sell from the same keys. Returns `None`
    /// if the stock is too small now and other large orders hold keys that may come back.
    async fn attempt(
        &mut self,
        sale: &mut Sale,
        mut drawn: Option<Drawn>,
    ) -> Result<Option<Filled>, FunctionError> {
        // Keys that are not for sale, though the index may still show them.
        let mut gone: HashSet<LicenseKey> = HashSet::new();
        let (mut misses, mut backoff) = (0, Backoff::new());
        while misses < MISSES_MAX {
            let wanting = self.quantity() - sale.taken().len();
            let kept = self.window.take().filter(|window| window.keys.len() >= wanting);
            let mut window = if let Some(window) = kept {
                window
            } else {
                let drawn = match drawn.take() {
                    Some(drawn) => drawn,
                    None => self.draw(sale, wanting, &gone).await?,
                };
                let found = drawn.candidates.len();
                if found < wanting && gone.is_empty() {
                    return Box::pin(self.short(sale, found, &drawn.open_requests)).await;
                }
                if self.generator.is_none() {
                    self.invocation.desk().measure_stock(self.product.id, drawn.stock);
                }
                if found < wanting {
                    // Keys that were gone may be back, for example from a large order that was undone.
                    gone.clear();
                    misses += 1;
                    self.pause(&mut backoff).await;
                    continue;
                }
                let drawn_at = self.invocation.now();
                Window { keys: drawn.candidates, stock: drawn.stock, drawn_at }
            };
            let rest = window.keys.split_off(wanting.min(self.store().sale_keys_max()));
            let chosen = std::mem::replace(&mut window.keys, rest);
            let outcome = if chosen.len() == wanting {
                let rows = self.rows(sale, &chosen)?;
                let sign = self.invocation.sign_reply(&rows, self.product.signing_key_id.as_ref());
                let (reply, in_front, ()) =
                    tokio::try_join!(sign, self.in_front(window.stock), self.invocation.count_keys())?;
                if in_front > 0 && !has_room(window.stock, self.quantity() + in_front) {
                    return Ok(Some(too_few(window.stock.get().saturating_sub(in_front))));
                }
                self.replace(sale, &chosen)?;
                let outcome = self.invocation.finish(sale, &chosen, &reply).await?;
                if outcome == SaleOutcome::Done {
                    self.count(window);
                    return Ok(Some(Filled::Sold(reply)));
                }
                outcome
            } else {
                self.invocation.count_keys().await?;
                if sale.taken().is_empty() {
                    self.rows(sale, &[&*chosen, &window.keys[..wanting - chosen.len()]].concat())?;
                }
                self.invocation.check_time_to_sell()?;
                // On the heap, like everything rare and large.
                Box::pin(self.store().take(sale, &chosen, self.invocation.now())).await?
            };
            match outcome {
                SaleOutcome::Done => self.window = Some(window),
                SaleOutcome::Missed(taken) => {
                    gone.extend(taken);
                    misses += 1;
                    measure::contention_retry();
                    self.pause(&mut backoff).await;
                }
            }
        }
        Err(FunctionError::Contention)
    }

    /// Counts the keys that earlier orders wait for, up to the size of the stock. An order with a generator
    /// takes no keys from them.
    async fn in_front(&self, stock: StockSize) -> Result<usize, FunctionError> {
        match self.in_front {
            _ if self.generator.is_some() => Ok(0),
            Some(keys) => Ok(keys),
            None => Ok(self.store().keys_in_line(self.product.id, stock.get()).await?),
        }
    }

    /// Draws keys from the stock, or makes them.
    async fn draw(
        &self,
        sale: &Sale,
        wanting: usize,
        gone: &HashSet<LicenseKey>,
    ) -> Result<Drawn, FunctionError> {
        let Some(generator) = self.generator else {
            // The index lags behind, so it may still show keys that are reserved by now, or the replaced one.
            let reserved = sale.taken().iter().map(|key| &key.license_key);
            let replaced = self.replaced.map(|replaced| &replaced.seen.license_key);
            let pass_over = gone.iter().chain(reserved).chain(replaced).cloned().collect();
            let look = look(self.asked, self.product);
            return Ok(self.store().draw(self.product.id, wanting, &pass_over, look).await?);
        };
        let candidates = Box::pin(self.make(generator, wanting)).await?;
        Ok(Drawn { stock: StockSize::Exact(wanting), candidates, open_requests: Vec::new() })
    }

    /// Generates keys for this order. They are not in stock and have no version yet.
    async fn make(
        &self,
        generator: &Generator,
        count: usize,
    ) -> Result<Vec<LicenseKeyRecord>, FunctionError> {
        let randomness = self.invocation.desk().randomness();
        let made = self.invocation.make(generator, count)?;
        let (ids, now) = (self.store().take_row_ids(count).await?, self.invocation.now());
        let record = |(key, id)| NewKey::in_stock(generator, key).into_record(id, now, randomness);
        Ok(made.into_iter().zip(ids).map(record).map(LicenseKeyRecord::unstored).collect())
    }

    /// Handles a short stock: settles other large orders, which returns the keys of abandoned ones. Returns
    /// `None` if there are other large orders.
    async fn short(
        &self,
        sale: &Sale,
        found: usize,
        open_requests: &[OpenRequest],
    ) -> Result<Option<Filled>, FunctionError> {
        let mut filled = Some(too_few(found + sale.taken().len()));
        for open in open_requests.iter().filter(|open| !open.is_of(sale.assignment())) {
            self.store().settle(open, self.invocation.now()).await?;
            filled = None;
        }
        Ok(filled)
    }

    /// The reply with the reserved keys and `chosen`. Refuses an order whose response would be larger than
    /// Lambda accepts.
    fn rows(&self, sale: &Sale, chosen: &[LicenseKeyRecord]) -> Result<Reply, FunctionError> {
        let mut rows = sale.taken().iter().chain(chosen).map(|key| key.row(sale.assignment()));
        let reply = match (self.replaced, rows.next()) {
            (Some(_), Some(row)) => Reply::LicenseKeyReplaced(Box::new(row)),
            (_, first) => Reply::LicenseKeysAssigned(first.into_iter().chain(rows).collect()),
        };
        if self.invocation.fits(&reply) {
            return Ok(reply);
        }
        let errors = ValidationErrors::of("quantity", "is too large for keys and an owner as long as these");
        Err(Reply::incorrect(Endpoint::RandomAssignLicenseKeys, errors).into())
    }

    fn sale(&self) -> Sale {
        let RandomAssignLicenseKeys { owner, identifier, .. } = self.asked;
        let assignment = self.invocation.assignment(owner.clone(), identifier.as_ref());
        let assignment = match self.replaced {
            Some(replaced) => assignment.under(replaced.seen.order.clone()),
            None => assignment,
        };
        self.invocation.sale(self.product.id, assignment, self.slot.clone())
    }

    /// Makes the sale of `chosen` replace the sold key, if the order is a replacement.
    fn replace(&self, sale: &mut Sale, chosen: &[LicenseKeyRecord]) -> Result<(), FunctionError> {
        let (Some(replaced), Some(successor)) = (self.replaced, chosen.first()) else { return Ok(()) };
        let Replaced { request, api_key, seen } = replaced;
        let next = seen.replaced_by(&successor.license_key, sale.assignment().at);
        let next = next.ok_or(Reply::LicenseKeyCannotBeReplaced)?;
        let entry =
            self.invocation.audit_entry(api_key, "keys.replace", [seen, &next], Some(&request.reason));
        sale.replace(seen, &next, &entry);
        Ok(())
    }

    /// Counts a sale, and keeps the keys that its draw left over.
    fn count(&self, left: Window) {
        measure::keys_assigned(self.quantity());
        match self.generator {
            Some(_) => measure::keys_generated(self.quantity()),
            None => self.invocation.desk().keep_window(self.product.id, left),
        }
    }

    /// Concludes a large order: assigns its keys, or undoes its reservations. Returns true if that is done;
    /// if not, the sweep does it.
    async fn conclude(&self, sale: &Sale) -> bool {
        let within = self.invocation.time_left().saturating_sub(TO_ANSWER);
        let conclude = Box::pin(self.store().conclude(sale, self.invocation.now()));
        let is_concluded = matches!(timeout(within, conclude).await, Ok(Ok(())));
        if !is_concluded {
            tracing::warn!("the sweep will conclude an order");
        }
        is_concluded
    }

    async fn pause(&self, backoff: &mut Backoff) {
        backoff.wait(self.invocation.desk().randomness()).await;
    }

    fn store(&self) -> &Store {
        self.invocation.desk().store()
    }

    fn quantity(&self) -> usize {
        usize::from(self.asked.quantity.get())
    }
}

fn too_few(available_quantity: usize) -> Filled {
    Filled::TooFew(Reply::InsufficientLicenseKeys { available_quantity })
}

/// Returns true if a stock certainly has so many keys. An estimate may be twice as large as the stock.
fn has_room(stock: StockSize, keys: usize) -> bool {
    match stock {
        StockSize::Exact(size) => size >= keys,
        StockSize::Estimate(size) => size / 2 >= keys,
    }
}
