use std::collections::{HashMap, HashSet};
use std::time::Duration;

use keypool_domain::{Draw, LicenseKey, ProductId, StockedKey, pick};

use crate::dynamo::Query;
use crate::record::read_license_key;
use crate::{OpenOrder, Store, StoreError};

/// The index trails the table by milliseconds: a key just created may not stand in it yet. Before a buyer is told
/// that the stock is too small, the index is read once more, after this pause.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(40);

/// A query returns pages of 1 MB; no window fills this many.
const PAGES_MAX: usize = 8;

/// How many keys are read to pick `quantity` from: well above it, so that two buyers whose starts lie close
/// rarely pick the same key, and a few more keys are at hand when they do. Reads cost little: 24 keys are
/// about 1.5 read units. A large order needs no more than some keys to spare: what it misses it draws again.
#[must_use]
pub const fn candidate_window(quantity: usize) -> usize {
    const SPARE_MAX: usize = 122;
    let spare = quantity + 22;
    quantity + if spare < SPARE_MAX { spare } else { SPARE_MAX }
}

/// What a draw found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drawn {
    /// There are as many keys as asked for.
    Enough {
        /// At least as many as asked for, up to [`candidate_window`], in random order.
        candidates: Vec<StockedKey>,
        /// Whether these are all there are: the window was larger than the stock.
        whole_stock: bool,
    },
    /// The whole stock holds fewer keys than asked for.
    TooFew {
        /// How many it holds.
        available: usize,
        /// Orders that have keys reserved, or may have. What they leave goes back into stock.
        open_orders: Vec<OpenOrder>,
    },
}

/// Which way round the circle of places a query reads.
enum Stretch {
    /// From a place to the end.
    From(Draw),
    /// From the beginning to just before a place.
    Before(Draw),
}

/// Keys to choose from: each stands there once. (A key that is put back into stock gets another place, so that two
/// queries may both show it, and so may one, since an index trails.)
struct Window<'a> {
    keys: Vec<StockedKey>,
    /// Where in `keys` each stands.
    places: HashMap<LicenseKey, usize>,
    room: usize,
    taken: &'a HashSet<LicenseKey>,
}

impl<'a> Window<'a> {
    fn new(room: usize, taken: &'a HashSet<LicenseKey>) -> Self {
        Self { keys: Vec::with_capacity(room), places: HashMap::with_capacity(room), room, taken }
    }

    fn is_full(&self) -> bool {
        self.keys.len() >= self.room
    }

    /// How many items to read: there is to be room for those that will be passed over.
    fn asks_for(&self) -> usize {
        self.room.saturating_sub(self.keys.len()) + self.taken.len()
    }

    /// Adds a key that is not taken, or what is newer about one that stands there.
    fn add(&mut self, key: StockedKey) {
        if self.taken.contains(&key.license_key) {
            return;
        }
        match self.places.get(&key.license_key).and_then(|place| self.keys.get_mut(*place)) {
            Some(seen) if seen.version < key.version => *seen = key,
            Some(_) => {}
            None => {
                self.places.insert(key.license_key.clone(), self.keys.len());
                self.keys.push(key);
            }
        }
    }
}

impl Store {
    /// Draws keys of `product_id` at random: reads the index from a random start, wrapping round, and shuffles
    /// the window it finds. Keys in `taken`, which a failed write has shown to be gone, are passed over.
    ///
    /// One query; a second when the start lies within a window of the end (then the rest of the window
    /// is at the beginning). Before it says [`Drawn::TooFew`], it reads the open orders and makes a pause, and queries
    /// once more.
    /// Nothing here grows with the size of the stock.
    pub async fn draw_candidates(
        &self,
        product_id: ProductId,
        quantity: usize,
        taken: &HashSet<LicenseKey>,
    ) -> Result<Drawn, StoreError> {
        let mut candidates = self.read_window(product_id, quantity, taken).await?;
        if candidates.len() < quantity {
            // Orders first, then the stock once more: what an order has left by then is in stock.
            let pause = async {
                tokio::time::sleep(SECOND_LOOK_AFTER).await;
                Ok(())
            };
            let (open_orders, ()) = tokio::try_join!(self.open_orders(product_id), pause)?;
            candidates = self.read_window(product_id, quantity, taken).await?;
            if candidates.len() < quantity {
                return Ok(Drawn::TooFew { available: candidates.len(), open_orders });
            }
        }
        Ok(self.enough(candidates, quantity))
    }

    /// Draws as [`Store::draw_candidates`] does, but looks once: `None` if it saw too few keys.
    pub async fn draw_at_first_look(
        &self,
        product_id: ProductId,
        quantity: usize,
    ) -> Result<Option<Drawn>, StoreError> {
        let candidates = self.read_window(product_id, quantity, &HashSet::new()).await?;
        Ok((candidates.len() >= quantity).then(|| self.enough(candidates, quantity)))
    }

    fn enough(&self, mut candidates: Vec<StockedKey>, quantity: usize) -> Drawn {
        let count = candidates.len();
        let candidates = pick(&mut candidates, count, self.randomness());
        Drawn::Enough { candidates, whole_stock: count < candidate_window(quantity) }
    }

    async fn read_window(
        &self,
        product_id: ProductId,
        quantity: usize,
        taken: &HashSet<LicenseKey>,
    ) -> Result<Vec<StockedKey>, StoreError> {
        let mut window = Window::new(candidate_window(quantity), taken);
        let start = Draw::random(self.randomness());
        self.read_stretch(product_id, &Stretch::From(start), &mut window).await?;
        if !window.is_full() && start > Draw::FIRST {
            self.read_stretch(product_id, &Stretch::Before(start), &mut window).await?;
        }
        Ok(window.keys)
    }

    /// Fills the window with the keys of a stretch, in the order of their places.
    async fn read_stretch(
        &self,
        product_id: ProductId,
        stretch: &Stretch,
        window: &mut Window<'_>,
    ) -> Result<(), StoreError> {
        let stock = Query::stock(product_id);
        let query = match stretch {
            Stretch::From(place) => stock.starting_at(*place),
            Stretch::Before(place) => stock.ending_before(*place),
        };
        let mut start = None;
        for _ in 0..PAGES_MAX {
            let page = self.query_page(&query.clone().limit(window.asks_for()), start.as_ref()).await?;
            for item in &page.items {
                window.add(read_license_key(item)?);
            }
            start = page.next;
            if start.is_none() || window.is_full() {
                break;
            }
        }
        Ok(())
    }
}
