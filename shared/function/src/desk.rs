use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use keypool_aws::{FailedCall, POOL_IDLE};
use keypool_domain::{
    ApiKeyHash, ApiKeyRecord, ApiKeySettings, Clock, Envelope, Generator, GeneratorId, OrderId, Product,
    ProductId, Randomness, SignablePayload, SigningKeyId, WebhookRules,
};
use keypool_queue::Queue;
use keypool_signing::Signer;
use keypool_store::{Found, Lookup, StockSize, Store};

use crate::cache::{Cache, Window, Windows};
use crate::limit::KnownCounts;
use crate::refusals::Refusals;
use crate::{FunctionError, measure};

/// The time for which API keys, products and generators are remembered. For that long after a key was
/// switched off, a warm environment may still let it in.
pub const CACHED_FOR: Duration = Duration::from_mins(1);

/// The margin for clocks that differ, and for calls under way when the time for an answer is over.
const LEASE_MARGIN: Duration = Duration::from_millis(2_600);

/// The longest time that an environment may take to open its connections before it asks for work.
const WARM_UP_WITHIN: Duration = Duration::from_secs(1);

/// The things that every function needs, made once for an environment: the table, the signer, the clock,
/// randomness, and recent reads.
pub struct Desk {
    store: Store,
    signer: Signer,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    api_keys: Cache<ApiKeyHash, ApiKeyRecord>,
    products: Cache<ProductId, Product>,
    generators: Cache<GeneratorId, Generator>,
    counts: Cache<ProductId, usize>,
    refusals: Refusals,
    known_counts: KnownCounts,
    windows: Windows,
    /// The queue of orders; `None` in functions that do not use it.
    queue: Option<Queue>,
    /// Set if callbacks may go to this machine.
    is_local: bool,
    /// The time of the last call of KMS, in Unix microseconds.
    kms_called_at: AtomicI64,
}

impl Desk {
    /// A desk that has read nothing yet.
    #[must_use]
    pub fn new(store: Store, signer: Signer, clock: Arc<dyn Clock>, randomness: Arc<dyn Randomness>) -> Self {
        // An environment calls KMS when it starts.
        let kms_called_at = AtomicI64::new(clock.now().unix_microseconds());
        Self {
            store,
            signer,
            clock,
            randomness,
            kms_called_at,
            api_keys: Cache::new(CACHED_FOR),
            products: Cache::new(CACHED_FOR),
            generators: Cache::new(CACHED_FOR),
            counts: Cache::new(CACHED_FOR),
            refusals: Refusals::default(),
            known_counts: KnownCounts::default(),
            windows: Windows::new(),
            queue: None,
            is_local: false,
        }
    }

    /// The same desk, with the queue of orders.
    #[must_use]
    pub fn with_queue(self, queue: Queue) -> Self {
        Self { queue: Some(queue), ..self }
    }

    /// The same desk, for the local stack: callbacks may go to this machine.
    #[must_use]
    pub fn with_local_webhooks(self) -> Self {
        Self { is_local: true, ..self }
    }

    /// Decides where the callbacks of an API key may go.
    #[must_use]
    pub fn webhook_rules(&self, settings: &ApiKeySettings) -> WebhookRules {
        let hosts = settings.webhook_hosts.clone();
        if self.is_local { WebhookRules::local(hosts) } else { WebhookRules::deployed(hosts) }
    }

    /// Sends the message that makes a worker process an order, after a wait of 15 minutes at most. One
    /// request of SQS.
    pub async fn wake(&self, order: &OrderId, after: Duration) -> Result<(), FunctionError> {
        Ok(self.queue()?.wake(&order.to_string(), after).await?)
    }

    /// Hides a message for a while, at most [`HIDE_MAX`](keypool_queue::HIDE_MAX). One request of SQS.
    pub async fn hide(&self, receipt_handle: &str, during: Duration) -> Result<(), FunctionError> {
        Ok(self.queue()?.hide(receipt_handle, during).await?)
    }

    fn queue(&self) -> Result<&Queue, FunctionError> {
        self.queue.as_ref().ok_or(FunctionError::Bug("the function has no queue"))
    }

    /// The longest time for a request.
    #[must_use]
    pub fn answer_within(&self) -> Duration {
        self.store.timeouts().answer_within
    }

    /// The time for which an attempt holds its request record, and a large order its keys. By then it is
    /// answered or dead. Only the wait of others depends on this time.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.answer_within() + LEASE_MARGIN
    }

    /// The table.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The signer.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The refusals that were signed this second.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The counts of API keys with a limit.
    pub(crate) fn known_counts(&self) -> &KnownCounts {
        &self.known_counts
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The source of randomness.
    #[must_use]
    pub fn randomness(&self) -> &dyn Randomness {
        &*self.randomness
    }

    /// Opens the connections to DynamoDB and KMS side by side, while the environment starts and has a full
    /// CPU. The first request then finds them open. Leaves any failure or delay to that request.
    pub(crate) async fn warm_up(&self) {
        let both = async { tokio::join!(self.store.warm_up(), self.signer.warm_up()) };
        match tokio::time::timeout(WARM_UP_WITHIN, both).await {
            Ok((Ok(()), Ok(()))) => {}
            Ok((dynamodb, kms)) => tracing::debug!(?dynamodb, ?kms, "not warmed up"),
            Err(_) => tracing::debug!("warming up took too long"),
        }
    }

    /// Opens a connection to KMS, beside the reads that come before the signature, if the last one was closed
    /// for its idle time. Does so at most once in that time, for all callers.
    pub(crate) fn connect_ahead(self: &Arc<Self>) {
        let now = self.clock.now().unix_microseconds();
        let idle_us = i64::try_from(POOL_IDLE.as_micros()).unwrap_or(i64::MAX);
        let called_at = self.kms_called_at.load(Ordering::Relaxed);
        if now.saturating_sub(called_at) < idle_us || self.signer.key_for(None).is_none() {
            return;
        }
        self.kms_called_at.store(now, Ordering::Relaxed);
        let desk = Arc::clone(self);
        tokio::spawn(async move { desk.signer.open_connection().await });
    }

    /// Signs a payload with the product's key, else the global key.
    pub(crate) async fn sign(
        &self,
        payload: SignablePayload,
        product_key: Option<&SigningKeyId>,
    ) -> Result<Envelope, FailedCall> {
        self.kms_called_at.store(self.clock.now().unix_microseconds(), Ordering::Relaxed);
        self.signer.sign_reply(payload, product_key).await
    }

    /// Takes keys of a product that an earlier draw read and did not use: at least `quantity`, if there are
    /// any.
    #[must_use]
    pub fn take_window(&self, product_id: ProductId, quantity: usize) -> Option<Window> {
        self.windows.take(product_id, quantity, self.clock.now())
    }

    /// Measures a stock after a draw saw this much of it.
    pub fn measure_stock(&self, product_id: ProductId, seen: StockSize) {
        measure::stock_estimate(product_id, self.windows.stock_size(product_id, seen));
    }

    /// Keeps the unused keys of a draw for the next sale, if the stock is large.
    pub fn keep_window(&self, product_id: ProductId, window: Window) {
        self.windows.keep(product_id, window);
    }

    /// Counts the keys in stock of a product. The count is remembered like other reads.
    pub async fn count_stock(&self, product_id: ProductId) -> Result<usize, FunctionError> {
        let now = self.clock.now();
        if let Some(count) = self.counts.value(&product_id, now) {
            return Ok(count);
        }
        let count = self.store.count_stock(product_id).await?;
        self.counts.remember(product_id, count, now);
        Ok(count)
    }

    /// Returns true if a product was read lately.
    #[must_use]
    pub fn remembers_product(&self, id: ProductId) -> bool {
        self.products.value(&id, self.clock.now()).is_some()
    }

    /// An API key that was read lately.
    pub(crate) fn known_api_key(&self, hash: ApiKeyHash) -> Option<ApiKeyRecord> {
        self.api_keys.value(&hash, self.clock.now())
    }

    /// Finds records in the caches, and reads all that are missing there in one call.
    pub async fn look_up(&self, lookup: Lookup) -> Result<Found, FunctionError> {
        self.look_up_for(&ApiKeySettings::default(), lookup).await
    }

    /// Finds the records that exist for an API key, like [`Desk::look_up`]. A product that the API key does
    /// not list, and a generator of such a product, take the same calls as a missing one.
    pub(crate) async fn look_up_for(
        &self,
        settings: &ApiKeySettings,
        lookup: Lookup,
    ) -> Result<Found, FunctionError> {
        let now = self.clock.now();
        let product_id = lookup.product.filter(|id| settings.opens(*id));
        let generator = lookup.generator.and_then(|id| self.generators.value(&id, now));
        let mut found = Found {
            api_key: lookup.api_key.and_then(|hash| self.api_keys.value(&hash, now)),
            product: product_id.and_then(|id| self.products.value(&id, now)),
            // A missing generator is read each time. So is a hidden one.
            generator: generator.filter(|generator| settings.opens(generator.product_id)),
        };
        let missing = Lookup {
            api_key: lookup.api_key.filter(|_| found.api_key.is_none()),
            product: product_id.filter(|_| found.product.is_none()),
            generator: lookup.generator.filter(|_| found.generator.is_none()),
        };
        let read = self.store.look_up(missing).await?;
        if let Some(api_key) = read.api_key {
            self.api_keys.remember(api_key.hash, api_key.clone(), now);
            found.api_key = Some(api_key);
        }
        if let Some(product) = read.product {
            self.products.remember(product.id, product.clone(), now);
            found.product = Some(product);
        }
        if let Some(generator) = read.generator {
            self.generators.remember(generator.id, generator.clone(), now);
            found.generator = Some(generator);
        }
        Ok(visible_to(settings, found))
    }
}

/// Leaves out the records that do not exist for an API key with these settings.
pub(crate) fn visible_to(settings: &ApiKeySettings, found: Found) -> Found {
    Found {
        product: found.product.filter(|product| settings.opens(product.id)),
        generator: found.generator.filter(|generator| settings.opens(generator.product_id)),
        ..found
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("store", &self.store).finish_non_exhaustive()
    }
}
