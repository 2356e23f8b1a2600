use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use metrics::histogram;
use tokio::time::Instant;

/// The operations of AWS that functions call, and the metric of each one's latency. Metrics of one name with
/// a dimension for the operation would need a line each.
pub const LATENCIES: [(&str, &str); 11] = [
    ("BatchExecuteStatement", "BatchExecuteStatementLatency"),
    ("BatchGetItem", "BatchGetItemLatency"),
    ("ChangeMessageVisibility", "ChangeMessageVisibilityLatency"),
    ("DeleteItem", "DeleteItemLatency"),
    ("GetItem", "GetItemLatency"),
    ("PutItem", "PutItemLatency"),
    ("Query", "QueryLatency"),
    ("SendMessage", "SendMessageLatency"),
    ("Sign", "SignLatency"),
    ("TransactWriteItems", "TransactWriteItemsLatency"),
    ("UpdateItem", "UpdateItemLatency"),
];

/// The most latencies of one operation that an event records. A rush of retries makes many, while a line of a
/// metric holds 100 values; the collector logs an error for each further one. Ten are left for calls of
/// another event that end while this event's metrics are written.
const LATENCIES_MAX: usize = 90;

/// Latencies recorded since metrics were last written, by operation.
static RECORDED: [AtomicUsize; LATENCIES.len()] = [const { AtomicUsize::new(0) }; LATENCIES.len()];

/// Measures each call of an SDK client from its beginning to its end, retries included. A call that its
/// caller dropped has no end and is not measured.
#[derive(Debug)]
pub(crate) struct MeasureLatency;

#[derive(Debug)]
struct Began(Instant);

impl Storable for Began {
    type Storer = StoreReplace<Self>;
}

/// No function asks for a public key: a call of this name only opens a connection.
const OPENS_CONNECTION: &str = "GetPublicKey";

impl Intercept for MeasureLatency {
    fn name(&self) -> &'static str {
        "MeasureLatency"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Began(Instant::now()));
        Ok(())
    }

    fn read_after_execution(
        &self,
        _: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().map(Metadata::name);
        if let (Some(Began(began)), Some(operation)) = (config.load::<Began>(), operation)
            && operation != OPENS_CONNECTION
        {
            record(operation, began.elapsed());
        }
        Ok(())
    }
}

/// Records the latency of a call, retries included, in whole microseconds: each digit is a byte of the log.
#[expect(clippy::cast_precision_loss, reason = "a call takes seconds, not centuries")]
fn record(operation: &str, latency: Duration) {
    let mut metrics = LATENCIES.iter().zip(&RECORDED);
    let Some(((_, name), recorded)) = metrics.find(|((called, _), _)| *called == operation) else { return };
    if recorded.fetch_add(1, Ordering::Relaxed) < LATENCIES_MAX {
        histogram!(*name).record(latency.as_micros() as f64 / 1_000.0);
    }
}

/// Resets the counts of latencies, after metrics were written.
pub fn restart_latencies() {
    for count in &RECORDED {
        count.store(0, Ordering::Relaxed);
    }
}
