use std::pin::Pin;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use keypool_aws::{AwsSettings, Timeouts};
use keypool_domain::{OperatingSystemRandomness, SigningKeyId, SystemClock};
use keypool_signing::Signer;
use keypool_store::Store;
use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::{Body, Error, Request, Response, service_fn};

use crate::{Desk, FunctionError, UnknownLogLevel, init_logs, log_level, measure};

/// The name of the table.
pub const ENV_TABLE: &str = "KEYPOOL_TABLE";
/// The id, ARN or alias of the global signing key. Without it, responses of products without a key of their
/// own are not signed.
pub const ENV_SIGNING_KEY: &str = "KEYPOOL_SIGNING_KEY";

/// The CloudWatch namespace of the function's metrics; without it, `keypool`.
pub const ENV_METRICS_NAMESPACE: &str = "KEYPOOL_METRICS_NAMESPACE";

/// Why a function does not start.
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
    init_logs(log_level()?, &[], std::io::stdout)?;
    let collector = measure::init(optional(ENV_METRICS_NAMESPACE).unwrap_or_else(|| "keypool".to_owned()))?;
    let settings = settings_from_environment()?;
    let desk = Arc::new(desk_from_environment(&settings)?);
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

/// Runs a function in Lambda that a schedule calls: nobody waits for it, so it has an operator's time-outs. A
/// failure makes the event a failed one, which the runtime logs and Lambda counts; its error type is
/// [`FunctionError::error_type`].
pub async fn run_on_schedule<H, F>(handle: H) -> Result<(), Error>
where
    H: Fn(Arc<Desk>) -> F,
    F: Future<Output = Result<(), FunctionError>> + Send + 'static,
{
    init_logs(log_level()?, &[], std::io::stdout)?;
    let collector = measure::init(optional(ENV_METRICS_NAMESPACE).unwrap_or_else(|| "keypool".to_owned()))?;
    let clients = settings_from_environment()?.clients(Timeouts::OPERATOR);
    let store = Store::new(clients.dynamodb, required(ENV_TABLE)?, Arc::new(OperatingSystemRandomness));
    let store = store.with_timeouts(Timeouts::OPERATOR);
    let signer = Signer::new(clients.kms, None);
    let desk = Arc::new(Desk::new(store, signer, Arc::new(SystemClock), Arc::new(OperatingSystemRandomness)));
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

/// The address of a service: its own variable goes before the one of all services, as in the AWS SDKs.
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
