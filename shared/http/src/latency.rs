use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use tokio::time::Instant;

use crate::measure;

/// Measures each call of an SDK client, from its beginning to its end, repetitions included. A call that nobody waited
/// for any longer has no end, and is not among them.
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
            measure::aws_call(operation, began.elapsed());
        }
        Ok(())
    }
}
