use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, Select};
use futures_util::stream::{self, Stream};
use keypool_aws::AwsErrorKind;
use keypool_domain::{OrderReference, ProductId, StockPosition};

use super::write::{named, names_in};
use super::{Backoff, unbuilt};
use crate::record::{
    DRAW, INDEX_AVAILABLE, INDEX_ORDERS, Item, Key, ORDER, PK, SK, STOCK, order_of, stock_of, text,
};
use crate::{Store, StoreError};

/// The most requests for the keys of a batch, some of which DynamoDB may leave unread.
const READS_MAX: usize = 6;
/// The most keys in one `BatchGetItem`.
const BATCH_KEYS_MAX: usize = 100;
/// The number of items that one page of a scan reads. A page has 1 MB at most, which is some 2,300 keys.
/// Without a limit, the embedded DynamoDB reads the whole rest of the table for each page.
const SCANNED_ITEMS_MAX: i32 = 2_000;

/// Items of one hash key: all, or a range of them.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    index: Option<&'static str>,
    hash: (&'static str, AttributeValue),
    range: Option<Range>,
    is_descending: bool,
    /// Set if only the number of items is wanted.
    only_counts: bool,
    limit: Option<usize>,
}

/// A range of items: the attribute, the condition, and the values that it compares with.
type Range = (&'static str, &'static str, Vec<(&'static str, AttributeValue)>);

/// The items of the whole table that pass a filter. In it, `#name` stands for the attribute `name`.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    pub(crate) filter: String,
    pub(crate) values: Item,
}

/// A page of a query or scan.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// The number of items that DynamoDB read for it.
    pub(crate) read: usize,
    /// The start of the next page, if there is one.
    pub(crate) next: Option<Item>,
}

impl Query {
    fn new(index: Option<&'static str>, hash: (&'static str, AttributeValue)) -> Self {
        Self { index, hash, range: None, is_descending: false, only_counts: false, limit: None }
    }

    /// All items of a hash key of the table, with every earlier write. 1 read unit for 4 KB.
    pub(crate) fn collection(pk: impl Into<String>) -> Self {
        Self::new(None, (PK, AttributeValue::S(pk.into())))
    }

    /// The items whose range key begins with `prefix`. DynamoDB refuses an empty one.
    pub(crate) fn beginning_with(self, prefix: impl Into<String>) -> Self {
        let prefix = AttributeValue::S(prefix.into());
        Self { range: Some((SK, "begins_with(#range, :prefix)", vec![(":prefix", prefix)])), ..self }
    }

    /// The items whose range key is at least `from`, the last one first.
    pub(crate) fn descending_to(self, from: impl Into<String>) -> Self {
        let from = AttributeValue::S(from.into());
        Self { range: Some((SK, "#range >= :from", vec![(":from", from)])), is_descending: true, ..self }
    }

    /// The keys of a product's stock. They lag behind the table by milliseconds. Half a read unit for 4 KB.
    pub(crate) fn stock(product_id: ProductId) -> Self {
        Self::new(Some(INDEX_AVAILABLE), (STOCK, text(stock_of(product_id))))
    }

    /// The keys of an order, sorted by their texts. They lag behind the table by milliseconds. Half a read
    /// unit for 4 KB.
    pub(crate) fn order(reference: &OrderReference) -> Self {
        Self::new(Some(INDEX_ORDERS), (ORDER[0], text(order_of(reference))))
    }

    /// The keys at `position` and after it.
    pub(crate) fn starting_at(self, position: StockPosition) -> Self {
        Self { range: Some((DRAW, "#range >= :from", vec![(":from", text(position))])), ..self }
    }

    /// The keys before `position`.
    pub(crate) fn ending_before(self, position: StockPosition) -> Self {
        Self { range: Some((DRAW, "#range < :end", vec![(":end", text(position))])), ..self }
    }

    /// The keys from one position to another, both included.
    pub(crate) fn between(self, from: StockPosition, to: StockPosition) -> Self {
        let values = vec![(":from", text(from)), (":to", text(to))];
        Self { range: Some((DRAW, "#range BETWEEN :from AND :to", values)), ..self }
    }

    /// Counts up to `limit` items a page instead of reading them. It costs the same.
    pub(crate) fn counting(self, limit: usize) -> Self {
        Self { only_counts: true, limit: Some(limit), ..self }
    }

    /// Limits a page to `limit` items.
    pub(crate) fn limit(self, limit: usize) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

impl Store {
    /// Reads one page of a query.
    pub(crate) async fn query_page(&self, query: &Query, start: Option<&Item>) -> Result<Page, StoreError> {
        let condition = match &query.range {
            None => "#hash = :hash".to_owned(),
            Some((_, condition, _)) => format!("#hash = :hash AND {condition}"),
        };
        let limit = query.limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX));
        let mut request = self
            .client
            .query()
            .table_name(&self.table)
            .set_index_name(query.index.map(str::to_owned))
            .key_condition_expression(condition)
            .expression_attribute_names("#hash", query.hash.0)
            .expression_attribute_values(":hash", query.hash.1.clone())
            .set_consistent_read(query.index.is_none().then_some(true))
            .set_scan_index_forward(query.is_descending.then_some(false))
            .set_select(query.only_counts.then_some(Select::Count))
            .set_limit(limit)
            .set_exclusive_start_key(start.cloned());
        if let Some((name, _, values)) = query.range.clone() {
            request = request.expression_attribute_names("#range", name);
            for (name, value) in values {
                request = request.expression_attribute_values(name, value);
            }
        }
        self.with_retries(|| async {
            let sent = request.clone().send().await;
            let page = sent.map_err(|error| StoreError::from_sdk("Query", &error))?;
            let read = usize::try_from(page.scanned_count).unwrap_or(0);
            Ok(Page { items: page.items.unwrap_or_default(), read, next: page.last_evaluated_key })
        })
        .await
    }

    /// Reads all pages of a query.
    pub(crate) async fn query(&self, query: Query) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let page = self.query_page(&query, start.as_ref()).await?;
            items.extend(page.items);
            start = page.next;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// Reads one page of the whole table, or of a segment of it.
    pub(crate) async fn scan_page(
        &self,
        scan: &Scan,
        segment: Option<i32>,
        start: Option<Item>,
    ) -> Result<Page, StoreError> {
        let request = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression(&scan.filter)
            .set_expression_attribute_names(named(names_in(&scan.filter)))
            .set_expression_attribute_values(Some(scan.values.clone()))
            .set_segment(segment)
            .set_total_segments(segment.map(|_| self.segments))
            .limit(SCANNED_ITEMS_MAX)
            .set_exclusive_start_key(start);
        self.with_retries(|| async {
            let sent = request.clone().send().await;
            let page = sent.map_err(|error| StoreError::from_sdk("Scan", &error))?;
            let read = usize::try_from(page.scanned_count).unwrap_or(0);
            Ok(Page { items: page.items.unwrap_or_default(), read, next: page.last_evaluated_key })
        })
        .await
    }

    /// Reads the whole table, page by page, in no order. Reads the segments side by side, unless the table is
    /// [`Store::unsegmented`].
    pub(crate) fn scan(&self, scan: Scan) -> impl Stream<Item = Result<Page, StoreError>> + '_ {
        let segments = (0..self.segments).map(move |segment| {
            let segment = (self.segments > 1).then_some(segment);
            Box::pin(stream::try_unfold((scan.clone(), Some(None)), move |(scan, start)| async move {
                let Some(start) = start else { return Ok(None) };
                let mut page = self.scan_page(&scan, segment, start).await?;
                let next = page.next.take().map(Some);
                Ok(Some((page, (scan, next))))
            }))
        });
        stream::select_all(segments)
    }

    /// Reads one item, with every earlier write. 1 read unit for 4 KB.
    pub(crate) async fn get(&self, key: Key) -> Result<Option<Item>, StoreError> {
        self.with_retries(|| self.get_once(key.clone())).await
    }

    /// Reads one item as [`Store::get`] does, but sends the call once.
    pub(crate) async fn get_once(&self, key: Key) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(key.into_item()));
        let sent = get.consistent_read(true).send().await;
        sent.map(|output| output.item).map_err(|error| StoreError::from_sdk("GetItem", &error))
    }

    /// Reads items by key, 100 to a call, and leaves out those that do not exist. A consistent read sees
    /// every earlier write and costs 1 read unit for 4 KB, else half of that.
    pub(crate) async fn get_many(
        &self,
        keys: Vec<Item>,
        is_consistent: bool,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        for batch in keys.chunks(BATCH_KEYS_MAX) {
            let mut pending = batch.to_vec();
            let mut backoff = Backoff::new();
            // DynamoDB may leave keys unread when it throttles.
            for _ in 0..READS_MAX {
                let keys = &pending;
                let (read, unread) =
                    self.with_retries(|| self.get_batch(keys.clone(), is_consistent)).await?;
                items.extend(read);
                pending = unread;
                if pending.is_empty() {
                    break;
                }
                backoff.wait(self.randomness()).await;
            }
            if !pending.is_empty() {
                return Err(StoreError::aws(AwsErrorKind::Throttled, "BatchGetItem", "UnprocessedKeys"));
            }
        }
        Ok(items)
    }

    async fn get_batch(
        &self,
        keys: Vec<Item>,
        is_consistent: bool,
    ) -> Result<(Vec<Item>, Vec<Item>), StoreError> {
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(is_consistent).build();
        let output = self
            .client
            .batch_get_item()
            .request_items(&self.table, keys.map_err(|_| unbuilt("BatchGetItem"))?)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("BatchGetItem", &error))?;
        let items = output.responses.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default();
        let unread = output.unprocessed_keys.and_then(|mut tables| tables.remove(&self.table));
        Ok((items, unread.map(|left| left.keys).unwrap_or_default()))
    }
}
