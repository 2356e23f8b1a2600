use std::pin::Pin;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use keypool_aws::{AwsSettings, Timeouts};
use keypool_domain::{OperatingSystemRandomness, SigningKeyId, SystemClock};
use keypool_queue::{Queue, Received};
use keypool_signing::Signer;
use keypool_store::Store;
use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::{Body, Error, Request, Response, service_fn};
use metrics_cloudwatch_embedded::Collector;

use crate::{Desk, FunctionError, UnknownLogLevel, init_logs, log_level, measure};

/// The name of the table.
pub const ENV_TABLE: &str = "KEYPOOL_TABLE";
/// The id, ARN or alias of the global signing key. Without it, responses of products without a key of their
/// own are not signed.
pub const ENV_SIGNING_KEY: &str = "KEYPOOL_SIGNING_KEY";

/// The URL of the queue of orders, for the functions that send or process messages.
pub const ENV_QUEUE: &str = "KEYPOOL_QUEUE";

/// The CloudWatch namespace of the function's metrics; without it, `keypool`.
pub const ENV_METRICS_NAMESPACE: &str = "KEYPOOL_METRICS_NAMESPACE";

/// The reason why a function does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable that must be set is not, or is empty.
    #[error("the environment variable {0} must be set")]
    Missing(&'static str),
    /// The signing key is not a key id.
    #[error("the environment variable {ENV_SIGNING_KEY} must be the id, ARN or alias of a KMS key")]
    SigningKey,
    /// The log level is unknown.
    #[error(transparent)]
    LogLevel(#[from] UnknownLogLevel),
}

/// Runs a function in Lambda: sets up logs, metrics and clients from the environment, opens the connections,
/// then serves one event after the other with `handle`.
pub async fn run<H, F>(handle: H) -> Result<(), Error>
where
    H: Fn(Arc<Desk>, Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    let collector = init()?;
    serve(collector, desk_from_environment(&settings_from_environment()?)?, handle).await
}

/// Runs a function like [`run`], with the queue of orders to send messages to.
pub async fn run_with_queue<H, F>(handle: H) -> Result<(), Error>
where
    H: Fn(Arc<Desk>, Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    let collector = init()?;
    let settings = settings_from_environment()?;
    let queue = queue_from_environment(&settings, Timeouts::CHECKOUT)?;
    serve(collector, desk_from_environment(&settings)?.with_queue(queue), handle).await
}

async fn serve<H, F>(collector: &'static Collector, desk: Desk, handle: H) -> Result<(), Error>
where
    H: Fn(Arc<Desk>, Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    let desk = Arc::new(desk);
    desk.warm_up().await;
    let handle = &handle;
    lambda_http::run(service_fn(move |event: Request| {
        let response = handle(Arc::clone(&desk), event);
        async move {
            let response = response.await;
            if let Err(error) = measure::flush(collector) {
                tracing::warn!(%error, "metrics could not be written");
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    }))
    .await
}

/// Runs a function in Lambda that a schedule calls. No client waits for it, so it has an operator's
/// time-outs. A failure fails the event: the runtime logs it, and Lambda counts it. Its error type is
/// [`FunctionError::error_type`].
pub async fn run_on_schedule<H, F>(handle: H) -> Result<(), Error>
where
    H: Fn(Arc<Desk>) -> F,
    F: Future<Output = Result<(), FunctionError>> + Send + 'static,
{
    let collector = init()?;
    let settings = settings_from_environment()?;
    let queue = queue_from_environment(&settings, Timeouts::OPERATOR)?;
    let clients = settings.clients(Timeouts::OPERATOR);
    let store = Store::new(clients.dynamodb, required(ENV_TABLE)?, Arc::new(OperatingSystemRandomness));
    let store = store.with_timeouts(Timeouts::OPERATOR);
    let signer = Signer::new(clients.kms, None);
    let desk = Desk::new(store, signer, Arc::new(SystemClock), Arc::new(OperatingSystemRandomness));
    let desk = Arc::new(desk.with_queue(queue));
    let handle = &handle;
    lambda_runtime::run(service_fn(move |_: LambdaEvent<serde_json::Value>| {
        let done: Pin<Box<dyn Future<Output = Result<(), FunctionError>> + Send>> =
            Box::pin(handle(Arc::clone(&desk)));
        async move {
            let done = done.await;
            if let Err(error) = measure::flush(collector) {
                tracing::warn!(%error, "metrics could not be written");
            }
            done
        }
    }))
    .await
}

/// Runs a function in Lambda that a queue of orders calls, with a batch of messages at a time. `handle`
/// returns the ids of the messages that must come back.
pub async fn run_on_queue<H, F>(handle: H) -> Result<(), Error>
where
    H: Fn(Arc<Desk>, Vec<Received>) -> F,
    F: Future<Output = Vec<String>> + Send + 'static,
{
    let collector = init()?;
    let settings = settings_from_environment()?;
    let queue = queue_from_environment(&settings, Timeouts::CHECKOUT)?;
    let desk = Arc::new(desk_from_environment(&settings)?.with_queue(queue));
    desk.warm_up().await;
    let handle = &handle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| {
        let processed: Pin<Box<dyn Future<Output = Vec<String>> + Send>> =
            Box::pin(handle(Arc::clone(&desk), received(event.payload)));
        async move {
            let failed = processed.await.into_iter();
            if let Err(error) = measure::flush(collector) {
                tracing::warn!(%error, "metrics could not be written");
            }
            let mut response = SqsBatchResponse::default();
            response.batch_item_failures = failed
                .map(|id| {
                    let mut failure = BatchItemFailure::default();
                    failure.item_identifier = id;
                    failure
                })
                .collect();
            Ok::<_, std::convert::Infallible>(response)
        }
    }))
    .await
}

/// The messages of an event.
fn received(event: SqsEvent) -> Vec<Received> {
    let received = event.records.into_iter().map(|message| Received {
        id: message.body.unwrap_or_default(),
        receipt_handle: message.receipt_handle.unwrap_or_default(),
        message_id: message.message_id.unwrap_or_default(),
        receive_count: message
            .attributes
            .get("ApproximateReceiveCount")
            .and_then(|count| count.parse().ok())
            .unwrap_or(1),
    });
    received.collect()
}

/// Sets up logs and metrics.
fn init() -> Result<&'static Collector, Error> {
    init_logs(log_level()?, &[], std::io::stdout)?;
    let namespace = optional(ENV_METRICS_NAMESPACE).unwrap_or_else(|| "keypool".to_owned());
    measure::init(namespace)
}

fn queue_from_environment(settings: &AwsSettings, timeouts: Timeouts) -> Result<Queue, StartError> {
    Ok(Queue::new(settings.queue(timeouts, endpoint("AWS_ENDPOINT_URL_SQS")), required(ENV_QUEUE)?))
}

fn settings_from_environment() -> Result<AwsSettings, StartError> {
    Ok(AwsSettings {
        region: required("AWS_REGION")?,
        // Lambda keeps them in the environment, for as long as the environment lasts.
        credentials: SharedCredentialsProvider::new(Credentials::from_keys(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            optional("AWS_SESSION_TOKEN"),
        )),
        dynamodb_endpoint: endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
        kms_endpoint: endpoint("AWS_ENDPOINT_URL_KMS"),
    })
}

/// The address of a service. Its own variable takes precedence over that of all services, as in the AWS SDKs.
fn endpoint(of_service: &'static str) -> Option<String> {
    optional(of_service).or_else(|| optional("AWS_ENDPOINT_URL"))
}

fn desk_from_environment(settings: &AwsSettings) -> Result<Desk, StartError> {
    let signing_key = optional(ENV_SIGNING_KEY).map(|text| text.parse::<SigningKeyId>());
    let signing_key = signing_key.transpose().map_err(|_| StartError::SigningKey)?;
    let clients = settings.clients(Timeouts::CHECKOUT);
    let store = Store::new(clients.dynamodb, required(ENV_TABLE)?, Arc::new(OperatingSystemRandomness));
    let signer = Signer::new(clients.kms, signing_key);
    Ok(Desk::new(store, signer, Arc::new(SystemClock), Arc::new(OperatingSystemRandomness)))
}

fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &'static str) -> Result<String, StartError> {
    optional(name).ok_or(StartError::Missing(name))
}
