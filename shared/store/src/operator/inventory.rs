//! License keys, for an operator to list and to count. The stock of a product has an index. All other
//! searches read the whole table, so that a sale writes as little as possible. They cost half a read unit for
//! 4 KB: some 4 units for a hundred keys, a few cents for ten million.

use std::collections::BTreeMap;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use keypool_domain::{LicenseKey, LicenseKeyRecord, OwnerField, ProductId, Status, StockPosition, Timestamp};

use crate::dynamo::{Page, Query, Scan};
use crate::record::{DRAW, Item, Key, Record as _, STOCK, kind, number, stock_of, text};
use crate::{Store, StoreError};

/// The keys to search for. An empty filter means all.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    /// Only keys of this product.
    pub product_id: Option<ProductId>,
    /// Only keys of this status.
    pub status: Option<Status>,
    /// Only keys whose owner's name or email contains this text, in this spelling.
    pub owner: Option<String>,
}

/// The place from which a list of keys continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The last key before it.
    pub license_key: LicenseKey,
    /// The position of that key in the stock, if the stock is listed.
    pub draw: Option<StockPosition>,
}

/// A page of keys, and the number of items that were read to find them.
#[derive(Debug, Clone, Default)]
pub struct KeyPage {
    /// The keys that the filter includes.
    pub keys: Vec<LicenseKeyRecord>,
    /// The number of items of the table that were read.
    pub read: usize,
    /// The place from which the list continues; `None` at the end.
    pub next: Option<Place>,
}

/// The keys of a product by status, and its recent sales.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inventory {
    /// In stock.
    pub available: u64,
    /// Assigned to owners.
    pub assigned: u64,
    /// Set aside, or held by orders at this moment.
    pub reserved: u64,
    /// Out of use.
    pub blocked: u64,
    /// Sold in each of the last 24 hours, the latest hour last.
    pub sold_by_hour: [u64; 24],
    /// Sold on each of the last 30 days of 24 hours, the latest day last.
    pub sold_by_day: [u64; 30],
}

const HOUR_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;

impl KeyFilter {
    /// Returns true if the filter includes a key.
    #[must_use]
    pub fn includes(&self, key: &LicenseKeyRecord) -> bool {
        let has = |field: &Option<OwnerField>, text: &str| {
            field.as_ref().is_some_and(|field| field.as_str().contains(text))
        };
        self.product_id.is_none_or(|id| id == key.product_id)
            && self.status.is_none_or(|status| status == key.status)
            && self
                .owner
                .as_deref()
                .is_none_or(|text| has(&key.owner.name, text) || has(&key.owner.email, text))
    }

    /// The scan that finds the keys.
    fn scan(&self) -> Scan {
        let mut filter = "#sk = :kind".to_owned();
        let mut values = Item::from([(":kind".to_owned(), text(kind::LICENSE_KEY))]);
        if let Some(product_id) = self.product_id {
            filter += " AND #product_id = :product_id";
            values.insert(":product_id".to_owned(), number(product_id));
        }
        if let Some(status) = self.status {
            filter += " AND #status = :status";
            values.insert(":status".to_owned(), text(status));
        }
        if let Some(owner) = &self.owner {
            filter += " AND (contains(#owner_name, :owner) OR contains(#owner_email, :owner))";
            values.insert(":owner".to_owned(), text(owner));
        }
        Scan { filter, values }
    }

    /// The product, if the index of its stock alone answers the filter.
    fn is_of_stock(&self) -> Option<ProductId> {
        self.product_id.filter(|_| self.status == Some(Status::Available) && self.owner.is_none())
    }
}

impl Place {
    fn into_start(self, product_id: Option<ProductId>) -> Item {
        let mut start = Key::license_key(&self.license_key).into_item();
        if let (Some(draw), Some(product_id)) = (self.draw, product_id) {
            start.insert(STOCK.to_owned(), text(stock_of(product_id)));
            start.insert(DRAW.to_owned(), text(draw));
        }
        start
    }
}

impl Store {
    /// Reads one page of keys after `from`, up to `limit` of them. The stock of one product is read from the
    /// index, at half a read unit for 4 KB. All other keys are searched in the whole table.
    pub async fn list_keys(
        &self,
        filter: &KeyFilter,
        from: Option<Place>,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        let stock = filter.is_of_stock();
        let mut page = KeyPage::default();
        let mut start = from.map(|place| place.into_start(stock));
        loop {
            let Page { items, read, next: last } = match stock {
                Some(product_id) => {
                    let query = Query::stock(product_id).limit(limit - page.keys.len());
                    self.query_page(&query, start.as_ref()).await?
                }
                None => self.scan_page(&filter.scan(), None, start).await?,
            };
            page.read += read;
            let room = limit - page.keys.len();
            for item in items.iter().take(room) {
                page.keys.push(LicenseKeyRecord::read(item)?);
            }
            if items.len() > room || page.keys.len() == limit && last.is_some() {
                page.next = page.keys.last().map(|key| Place {
                    license_key: key.license_key.clone(),
                    draw: key.draw.filter(|_| stock.is_some()),
                });
                return Ok(page);
            }
            start = last;
            if start.is_none() {
                return Ok(page);
            }
        }
    }

    /// Finds all keys that the filter includes, in no order. Parts of the table are read side by side, unless
    /// it is [`Store::unsegmented`].
    pub fn keys(&self, filter: &KeyFilter) -> impl Stream<Item = Result<KeyPage, StoreError>> + '_ {
        self.scan(filter.scan()).map(|page| {
            let Page { items, read, .. } = page?;
            let keys = items.iter().map(LicenseKeyRecord::read).collect::<Result<_, _>>()?;
            Ok(KeyPage { keys, read, next: None })
        })
    }

    /// Counts the keys of each product at `now`. Calls `on_read` with the number of items that were read.
    /// Reads the whole table.
    pub async fn inventory(
        &self,
        filter: KeyFilter,
        now: Timestamp,
        on_read: impl Fn(usize),
    ) -> Result<BTreeMap<ProductId, Inventory>, StoreError> {
        let mut products = BTreeMap::<ProductId, Inventory>::new();
        let mut pages = self.keys(&filter);
        while let Some(page) = pages.try_next().await? {
            on_read(page.read);
            for key in &page.keys {
                products.entry(key.product_id).or_default().count(key, now);
            }
        }
        Ok(products)
    }
}

impl Inventory {
    fn count(&mut self, key: &LicenseKeyRecord, now: Timestamp) {
        match key.status {
            Status::Available => self.available += 1,
            Status::Assigned => self.assigned += 1,
            Status::Reserved => self.reserved += 1,
            Status::Blocked => self.blocked += 1,
        }
        // A key without an assignment was stored with its owner, so it was not sold here.
        let is_sold = key.status == Status::Assigned && key.assignment_id.is_some();
        let age = key.assigned_at.map(|at| now.unix_seconds() - at.unix_seconds());
        if let Some(age) = age.filter(|_| is_sold) {
            count_sale(&mut self.sold_by_hour, age / HOUR_SECONDS);
            count_sale(&mut self.sold_by_day, age / DAY_SECONDS);
        }
    }

    /// The number of keys sold within the last hour.
    #[must_use]
    pub fn sold_last_hour(&self) -> u64 {
        self.sold_by_hour.last().copied().unwrap_or_default()
    }

    /// The number of keys sold within the last 24 hours.
    #[must_use]
    pub fn sold_last_day(&self) -> u64 {
        self.sold_by_hour.iter().sum()
    }

    /// The number of hours that the stock lasts if it sells as in the last 24 hours; `None` if nothing was
    /// sold.
    #[must_use]
    pub fn hours_left(&self) -> Option<u64> {
        (self.available * 24).checked_div(self.sold_last_day())
    }
}

/// Counts a sale in the period of its age. A sale in the future, by a clock that is ahead, is of the latest
/// period. An older sale is not counted.
fn count_sale(periods: &mut [u64], age: i64) {
    let age = usize::try_from(age.max(0)).unwrap_or(usize::MAX);
    if let Some(period) = periods.iter_mut().rev().nth(age) {
        *period += 1;
    }
}
