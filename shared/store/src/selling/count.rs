use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use keypool_domain::{ProductId, StockPosition};

use crate::dynamo::Query;
use crate::record::{DRAW, Item, text_of};
use crate::{Store, StoreError};

/// The number of ranges of a stock that are counted side by side.
const RANGES_MAX: usize = 32;
/// The number of keys that one query counts. A page of 1 MB holds some 2,300.
const PAGE_KEYS_MAX: usize = 2_000;

impl Store {
    /// Counts the keys in stock of a product. The index lags behind the table by milliseconds.
    ///
    /// The first query counts up to 2,000 keys, and shows the size of the stock by their span. The rest is
    /// counted in up to 32 ranges of positions side by side. DynamoDB charges for all keys that it counts:
    /// half a read unit for 4 KB, some 3.5 units for 100 keys.
    pub async fn count_stock(&self, product_id: ProductId) -> Result<usize, StoreError> {
        let first = Query::stock(product_id).counting(PAGE_KEYS_MAX);
        let page = self.query_page(&first, None).await?;
        let Some(next) = page.next else { return Ok(page.read) };
        let reached: StockPosition = text_of(&next, DRAW)
            .and_then(|position| position.parse().ok())
            .ok_or(StoreError::Corrupt { record: "license key", attribute: DRAW })?;
        // The first range continues after the last key that was counted.
        let starts = std::iter::once(Some(next)).chain(std::iter::repeat(None));
        let ranges = reached.ranges_to_the_end(RANGES_MAX).into_iter().zip(starts);
        let counts = ranges.map(|((from, to), start)| {
            self.count(Query::stock(product_id).between(from, to).counting(PAGE_KEYS_MAX), start)
        });
        stream::iter(counts)
            .buffer_unordered(RANGES_MAX)
            .try_fold(page.read, |total, count| async move { Ok(total + count) })
            .await
    }

    /// Counts the items of a query from `start` on.
    async fn count(&self, query: Query, mut start: Option<Item>) -> Result<usize, StoreError> {
        let mut count = 0;
        loop {
            let page = self.query_page(&query, start.as_ref()).await?;
            count += page.read;
            start = page.next;
            if start.is_none() {
                return Ok(count);
            }
        }
    }
}
