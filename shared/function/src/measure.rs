//! Metrics, through the crate `metrics`. In Lambda they go to the log in CloudWatch's embedded metric format;
//! elsewhere they are dropped and cost nothing.
//!
//! An event writes one line for all metrics without a dimension, and one more for each product whose stock
//! was seen.
//!
//! | metric | unit | dimension |
//! |---|---|---|
//! | `KeysAssigned` | count | |
//! | `KeysGenerated` | count | |
//! | `KeysCreated`, `DuplicateKeys` | count | |
//! | `OutOfStock` | count | |
//! | `ContentionRetries` | count | |
//! | `RepeatedRequests` | count | |
//! | `LateRequests` | count | |
//! | `LimitedRequests` | count | |
//! | `OrdersFinished`, `OrdersUndone` | count | |
//! | `OrdersQueued`, `OrdersDelivered`, `CallbackFailures`, `CallbacksDead` | count | |
//! | `OldestWaitingOrder`, `OldestUndelivered` | seconds | |
//! | `Failures` | count | |
//! | `DynamoDbThrottles`, `KmsThrottles`, `SqsThrottles` | count | |
//! | `QueryLatency`, `SignLatency` and so on: [`LATENCIES`] | milliseconds | |
//! | `StockEstimate` | count | `Product` |

use std::io::{self, Write};
use std::time::Duration;

use keypool_aws::{LATENCIES, Service, restart_latencies};
use keypool_domain::ProductId;
use keypool_store::DeliveryResult;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use metrics_cloudwatch_embedded::{Builder, Collector, Error};

const KEYS_ASSIGNED: &str = "KeysAssigned";
const KEYS_GENERATED: &str = "KeysGenerated";
const KEYS_CREATED: &str = "KeysCreated";
const DUPLICATE_KEYS: &str = "DuplicateKeys";
const OUT_OF_STOCK: &str = "OutOfStock";
const CONTENTION_RETRIES: &str = "ContentionRetries";
const REPEATED_REQUESTS: &str = "RepeatedRequests";
const LATE_REQUESTS: &str = "LateRequests";
const LIMITED_REQUESTS: &str = "LimitedRequests";
const ORDERS_FINISHED: &str = "OrdersFinished";
const ORDERS_UNDONE: &str = "OrdersUndone";
const ORDERS_QUEUED: &str = "OrdersQueued";
const ORDERS_DELIVERED: &str = "OrdersDelivered";
const CALLBACK_FAILURES: &str = "CallbackFailures";
const CALLBACKS_DEAD: &str = "CallbacksDead";
const OLDEST_WAITING_ORDER: &str = "OldestWaitingOrder";
const OLDEST_UNDELIVERED: &str = "OldestUndelivered";
const FAILURES: &str = "Failures";
const DYNAMODB_THROTTLES: &str = "DynamoDbThrottles";
const KMS_THROTTLES: &str = "KmsThrottles";
const SQS_THROTTLES: &str = "SqsThrottles";
const STOCK_ESTIMATE: &str = "StockEstimate";

/// The names of all counters.
pub const COUNTERS: [&str; 19] = [
    KEYS_ASSIGNED,
    KEYS_GENERATED,
    KEYS_CREATED,
    DUPLICATE_KEYS,
    OUT_OF_STOCK,
    CONTENTION_RETRIES,
    REPEATED_REQUESTS,
    LATE_REQUESTS,
    LIMITED_REQUESTS,
    ORDERS_FINISHED,
    ORDERS_UNDONE,
    ORDERS_QUEUED,
    ORDERS_DELIVERED,
    CALLBACK_FAILURES,
    CALLBACKS_DEAD,
    FAILURES,
    DYNAMODB_THROTTLES,
    KMS_THROTTLES,
    SQS_THROTTLES,
];

/// The names of all distributions, and their units.
pub fn distributions() -> impl Iterator<Item = (&'static str, Unit)> {
    let latencies = LATENCIES.into_iter().map(|(_, name)| (name, Unit::Milliseconds));
    let ages = [OLDEST_WAITING_ORDER, OLDEST_UNDELIVERED].map(|name| (name, Unit::Seconds));
    latencies.chain([(STOCK_ESTIMATE, Unit::Count)]).chain(ages)
}

/// Counts keys that were assigned to an owner.
pub fn keys_assigned(count: usize) {
    counter!(KEYS_ASSIGNED).increment(as_u64(count));
}

/// Counts keys that a generator made.
pub fn keys_generated(count: usize) {
    counter!(KEYS_GENERATED).increment(as_u64(count));
}

/// Counts keys that were put into stock, and those that existed.
pub fn keys_created(created: usize, duplicate: usize) {
    counter!(KEYS_CREATED).increment(as_u64(created));
    counter!(DUPLICATE_KEYS).increment(as_u64(duplicate));
}

/// Counts a refusal for too little stock.
pub fn out_of_stock() {
    counter!(OUT_OF_STOCK).increment(1);
}

/// Counts a retry after another buyer was quicker.
pub fn contention_retry() {
    counter!(CONTENTION_RETRIES).increment(1);
}

/// Counts a request that got the same response as before, by its `Idempotency-Key`.
pub(crate) fn repeated() {
    counter!(REPEATED_REQUESTS).increment(1);
}

/// Counts a request that reached the function with too little time left to sell keys: it was queued, the
/// environment started slowly, or its clock is ahead of API Gateway's.
pub(crate) fn late_request() {
    counter!(LATE_REQUESTS).increment(1);
}

/// Counts a refusal with code 104: the request would have exceeded a limit of its API key.
pub(crate) fn limit_reached() {
    counter!(LIMITED_REQUESTS).increment(1);
}

/// Counts the orders that the sweep finished or undid.
pub fn orders_swept(finished: usize, undone: usize) {
    counter!(ORDERS_FINISHED).increment(as_u64(finished));
    counter!(ORDERS_UNDONE).increment(as_u64(undone));
}

/// Counts an order that was accepted, to be filled later.
pub fn order_queued() {
    counter!(ORDERS_QUEUED).increment(1);
}

/// Counts the end of an attempt to deliver a callback.
pub fn callback(result: &DeliveryResult) {
    let name = match result {
        DeliveryResult::Delivered => ORDERS_DELIVERED,
        DeliveryResult::Again(_) => CALLBACK_FAILURES,
        DeliveryResult::Dead => CALLBACKS_DEAD,
    };
    counter!(name).increment(1);
}

/// Records the age of the oldest order that waits for stock, and that of the oldest undelivered one. Zero if
/// there is none.
pub fn oldest_orders(waiting: Duration, undelivered: Duration) {
    histogram!(OLDEST_WAITING_ORDER).record(waiting.as_secs_f64());
    histogram!(OLDEST_UNDELIVERED).record(undelivered.as_secs_f64());
}

/// Records the size of a product's stock that a draw saw: exact if it saw all of it, else an estimate. It is
/// a distribution and not a gauge, because a gauge would be repeated with every event, long after the product
/// was restocked.
pub(crate) fn stock_estimate(product_id: ProductId, keys: f64) {
    histogram!(STOCK_ESTIMATE, "Product" => product_id.to_string()).record(keys.round());
}

/// Counts a request that was answered by a problem with a status of 500 or more.
pub(crate) fn failure() {
    counter!(FAILURES).increment(1);
}

/// Counts a request that failed because a service throttled it.
pub(crate) fn throttle(service: Service) {
    let name = match service {
        Service::DynamoDb => DYNAMODB_THROTTLES,
        Service::Kms => KMS_THROTTLES,
        Service::Sqs => SQS_THROTTLES,
    };
    counter!(name).increment(1);
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Starts to gather metrics under a CloudWatch namespace, once for a process.
pub(crate) fn init(namespace: String) -> Result<&'static Collector, Error> {
    let collector = Builder::new().cloudwatch_namespace(namespace).init()?;
    for name in COUNTERS {
        describe_counter!(name, Unit::Count, "");
    }
    for (name, unit) in distributions() {
        describe_histogram!(name, unit, "");
    }
    Ok(collector)
}

/// Writes the metrics gathered since the last time.
pub(crate) fn flush(collector: &Collector) -> io::Result<()> {
    // Written in one piece, because the collector writes a document bit by bit.
    let mut document = Vec::new();
    collector.flush(&mut document)?;
    restart_latencies();
    let mut stdout = io::stdout().lock();
    stdout.write_all(&document)?;
    stdout.flush()
}
