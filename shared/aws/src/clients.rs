//! The one place where clients of AWS are set up.

use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

use crate::Timeouts;
use crate::latency::MeasureLatency;

/// The time for which an idle connection is kept. DynamoDB closes it after 60 seconds, as users of AWS's SDK
/// for Java found (aws-sdk-java#1365). With a shorter time, a shop with a sale every 30 seconds would pay for
/// two TLS handshakes a sale. If DynamoDB closes a connection earlier, the SDK sends the call again at once,
/// over a new one.
pub const POOL_IDLE: Duration = Duration::from_secs(55);

/// The region, the credentials and the endpoints of AWS.
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// The region.
    pub region: String,
    /// The source of credentials.
    pub credentials: SharedCredentialsProvider,
    /// DynamoDB's address, if it is not the region's own.
    pub dynamodb_endpoint: Option<String>,
    /// KMS's address, if it is not the region's own.
    pub kms_endpoint: Option<String>,
}

/// Clients of the two services, sharing one pool of connections.
#[derive(Debug, Clone)]
pub struct Clients {
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// KMS.
    pub kms: aws_sdk_kms::Client,
}

impl AwsSettings {
    /// Makes the clients.
    #[must_use]
    pub fn clients(&self, timeouts: Timeouts) -> Clients {
        let config = self.sdk_config(timeouts, &[&self.dynamodb_endpoint, &self.kms_endpoint]);
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&config);
        dynamodb.set_endpoint_url(self.dynamodb_endpoint.clone());
        dynamodb.push_interceptor(SharedInterceptor::new(MeasureLatency));
        let mut kms = aws_sdk_kms::config::Builder::from(&config);
        kms.set_endpoint_url(self.kms_endpoint.clone());
        kms.push_interceptor(SharedInterceptor::new(MeasureLatency));
        Clients {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            kms: aws_sdk_kms::Client::from_conf(kms.build()),
        }
    }

    /// Makes a client of SQS, with a pool of connections of its own. `endpoint` is SQS's address, if it is
    /// not the region's own. Opens no connection.
    ///
    /// Functions that never call this method do not link the SQS client.
    #[must_use]
    pub fn queue(&self, timeouts: Timeouts, endpoint: Option<String>) -> aws_sdk_sqs::Client {
        let mut sqs = aws_sdk_sqs::config::Builder::from(&self.sdk_config(timeouts, &[&endpoint]));
        sqs.set_endpoint_url(endpoint);
        sqs.push_interceptor(SharedInterceptor::new(MeasureLatency));
        aws_sdk_sqs::Client::from_conf(sqs.build())
    }

    fn sdk_config(&self, timeouts: Timeouts, endpoints: &[&Option<String>]) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.credentials.clone())
            .http_client(http_client(endpoints))
            .sleep_impl(TokioSleep::new())
            .timeout_config(timeouts.of_calls())
            .retry_config(timeouts.retries())
            // Bodies are small, and the attempt's time-out covers them.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build()
    }
}

/// A client of services at these addresses.
fn http_client(endpoints: &[&Option<String>]) -> SharedHttpClient {
    let builder = Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .pool_idle_timeout(POOL_IDLE);
    let is_plain = |url: &&Option<String>| url.as_deref().is_some_and(|url| url.starts_with("http://"));
    // Services on this machine need no certificates, and a small container has none.
    if endpoints.iter().all(is_plain)
        && let Ok(context) = tls::TlsContext::builder().with_trust_store(tls::TrustStore::empty()).build()
    {
        return builder.tls_context(context).build_https();
    }
    builder.build_https()
}
