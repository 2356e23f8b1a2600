use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use keypool_domain::{LicenseKey, LicenseKeyRecord, ProductId, StockPosition, pick};

use crate::dynamo::Query;
use crate::record::{Record as _, readable};
use crate::{OpenRequest, Store, StoreError};

/// The pause before the second look. The index lags behind the table by milliseconds, so a key that was just
/// created may not be in it yet.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(40);

/// The most pages of a query, of 1 MB each. No window fills this many.
const PAGES_MAX: usize = 8;

/// The number of keys that a draw reads to pick `quantity` from. It is much larger. So two buyers whose
/// starts lie close rarely pick the same key, and can replace a key that another buyer took first. 24 keys
/// are about 1.5 read units.
#[must_use]
pub const fn candidate_window(quantity: usize) -> usize {
    const SPARE_MAX: usize = 122;
    let spare = quantity + 22;
    quantity + if spare < SPARE_MAX { spare } else { SPARE_MAX }
}

/// The effort of a draw before it reports a short stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Once.
    Once,
    /// Once more after a pause, and for large orders whose keys may come back.
    Twice,
}

/// The keys that a draw found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// Keys to choose from, in random order. Fewer than the quantity if the stock is short.
    pub candidates: Vec<LicenseKeyRecord>,
    /// The size of the stock.
    pub stock: StockSize,
    /// Large orders that have keys reserved, or may have, if the stock is short after a second look.
    pub open_requests: Vec<OpenRequest>,
}

/// The size of a product's stock, as a draw sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockSize {
    /// The draw saw every key.
    Exact(usize),
    /// An estimate. Positions in the stock are uniform, so w keys on a fraction f of all positions mean about
    /// (w − 1) / f keys. Its standard deviation is 1 / √(w − 2) of it: 21 % for 24 keys.
    Estimate(usize),
}

impl StockSize {
    /// The estimate from `keys` keys, two at least, that lie on a `fraction` of all positions.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate needs a few digits; it is positive, and too large a float becomes the largest integer"
    )]
    pub fn of_span(keys: usize, fraction: f64) -> Self {
        Self::Estimate(((keys.saturating_sub(1)) as f64 / fraction).round() as usize)
    }

    /// The number of keys.
    #[must_use]
    pub const fn get(self) -> usize {
        match self {
            Self::Exact(keys) | Self::Estimate(keys) => keys,
        }
    }
}

/// The keys that a draw has read, each once. A key that returned to the stock has a new position, so two
/// queries may both show it. One query may show it twice, because the index lags behind.
struct Window<'a> {
    keys: BTreeMap<LicenseKey, LicenseKeyRecord>,
    /// The most keys that it holds.
    room: usize,
    start: StockPosition,
    /// The position of the key that was read last.
    end: StockPosition,
    /// Keys to pass over.
    taken: &'a HashSet<LicenseKey>,
}

impl<'a> Window<'a> {
    fn new(room: usize, start: StockPosition, taken: &'a HashSet<LicenseKey>) -> Self {
        Self { keys: BTreeMap::new(), room, start, end: start, taken }
    }

    fn is_full(&self) -> bool {
        self.keys.len() >= self.room
    }

    /// The number of items to read, so that enough remain after those that are passed over.
    fn missing(&self) -> usize {
        self.room.saturating_sub(self.keys.len()) + self.taken.len()
    }

    /// Adds a key, or replaces it if this is a newer version.
    fn add(&mut self, key: LicenseKeyRecord) {
        if self.taken.contains(&key.license_key) {
            return;
        }
        self.end = key.draw.unwrap_or(self.end);
        if self.keys.get(&key.license_key).is_none_or(|seen| seen.version < key.version) {
            self.keys.insert(key.license_key.clone(), key);
        }
    }

    fn stock(&self) -> StockSize {
        let keys = self.keys.len();
        let fraction = self.start.fraction_to(self.end);
        if self.is_full() && fraction > 0.0 {
            StockSize::of_span(keys, fraction)
        } else {
            StockSize::Exact(keys)
        }
    }
}

impl Store {
    /// Draws keys of a product at random: reads the index from a random position, past its end if necessary,
    /// and shuffles the window that it finds. Passes over `taken`, which the index may still show.
    ///
    /// Makes one query, and a second if the window reaches past the end. If the stock is short, `look`
    /// decides if it waits and queries again. Its cost does not grow with the stock.
    pub async fn draw(
        &self,
        product_id: ProductId,
        quantity: usize,
        taken: &HashSet<LicenseKey>,
        look: Look,
    ) -> Result<Drawn, StoreError> {
        let mut drawn = self.draw_once(product_id, quantity, taken).await?;
        if drawn.candidates.len() >= quantity || look == Look::Once {
            return Ok(drawn);
        }
        let pause = async {
            tokio::time::sleep(SECOND_LOOK_AFTER).await;
            Ok(())
        };
        let (before, ()) = tokio::try_join!(self.open_requests(product_id), pause)?;
        drawn = self.draw_once(product_id, quantity, taken).await?;
        if drawn.candidates.len() < quantity {
            // An order may have reserved keys between the two looks.
            let after = self.open_requests(product_id).await?;
            let is_new = |open: &OpenRequest| !before.contains(open);
            let new: Vec<OpenRequest> = after.into_iter().filter(is_new).collect();
            drawn.open_requests = [before, new].concat();
        }
        Ok(drawn)
    }

    async fn draw_once(
        &self,
        product_id: ProductId,
        quantity: usize,
        taken: &HashSet<LicenseKey>,
    ) -> Result<Drawn, StoreError> {
        let start = StockPosition::random(self.randomness());
        let mut window = Window::new(candidate_window(quantity), start, taken);
        self.read_into(&mut window, Query::stock(product_id).starting_at(start)).await?;
        if !window.is_full() && start > StockPosition::FIRST {
            self.read_into(&mut window, Query::stock(product_id).ending_before(start)).await?;
        }
        let stock = window.stock();
        let mut candidates: Vec<LicenseKeyRecord> = window.keys.into_values().collect();
        let count = candidates.len();
        let candidates = pick(&mut candidates, count, self.randomness());
        Ok(Drawn { candidates, stock, open_requests: Vec::new() })
    }

    /// Fills the window in the order of positions.
    async fn read_into(&self, window: &mut Window<'_>, query: Query) -> Result<(), StoreError> {
        let mut start = None;
        for _ in 0..PAGES_MAX {
            let page = self.query_page(&query.clone().limit(window.missing()), start.as_ref()).await?;
            readable(&page.items, LicenseKeyRecord::read).for_each(|key| window.add(key));
            start = page.next;
            if start.is_none() || window.is_full() {
                break;
            }
        }
        Ok(())
    }
}
