use std::fmt;

use anyhow::{Context as _, anyhow};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_types::service_config::ServiceConfigKey;
use keypool_aws::{AwsError, AwsErrorKind, AwsSettings, classify};
use keypool_domain::Principal;

use crate::advice::on_credentials;

const NO_CREDENTIALS: &str =
    "no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/// An operator's access to AWS.
#[derive(Clone)]
pub(crate) struct Aws {
    config: SdkConfig,
    credentials: SharedCredentialsProvider,
    region: String,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Aws {
    /// Loads the configuration from the AWS profile or the environment.
    pub(super) async fn load(region: Option<&str>) -> anyhow::Result<Self> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let config = loader.load().await;
        let credentials = config.credentials_provider().context(NO_CREDENTIALS)?;
        // Fetched now, so that the error names missing credentials.
        credentials.provide_credentials().await.context(NO_CREDENTIALS)?;
        let region = config.region().map(ToString::to_string);
        let region = region.context("no region: give --region, or set AWS_REGION")?;
        Ok(Self { config, credentials, region })
    }

    /// The region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The URL of DynamoDB: `named` if the operator gives one, else the configured one, else the region's.
    pub(super) fn dynamodb_url(&self, named: Option<&str>) -> String {
        if let Some(url) = named.map(str::to_owned).or_else(|| self.endpoint("DynamoDB")) {
            return url;
        }
        let top = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://dynamodb.{}.{top}", self.region)
    }

    /// The settings for clients of DynamoDB and KMS.
    pub(super) fn settings(&self, dynamodb_endpoint: Option<String>) -> AwsSettings {
        AwsSettings {
            region: self.region.clone(),
            credentials: self.credentials.clone(),
            dynamodb_endpoint: dynamodb_endpoint.or_else(|| self.endpoint("DynamoDB")),
            kms_endpoint: self.endpoint("KMS"),
        }
    }

    /// The endpoint URL of a service, if the environment or the profile sets one. A setting for the service
    /// takes precedence over the one for all services. The clients of STS and `CloudFormation` apply the same
    /// rule.
    fn endpoint(&self, service_id: &str) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id(service_id);
        let key = key.env("AWS_ENDPOINT_URL").profile("endpoint_url").build().ok()?;
        let of_service = self.config.service_config().and_then(|settings| settings.load_config(key));
        of_service.or_else(|| self.config.endpoint_url().map(str::to_owned))
    }

    /// Asks STS whose credentials these are.
    pub(super) async fn principal(&self) -> anyhow::Result<Principal> {
        let identity = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        let identity = identity.map_err(|error| in_words("sts:GetCallerIdentity", &error))?;
        Ok(Principal::new(identity.arn().context("STS returned no ARN")?))
    }

    /// The loaded configuration, for clients of other services.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }
}

/// Describes in one sentence an error of a service that no other crate of keypool calls.
pub(crate) fn in_words<E, R>(operation: &str, error: &SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata,
{
    let AwsError { kind, code } = classify(error);
    let SdkError::ServiceError(refused) = error else {
        let (service, _) = operation.split_once(':').unwrap_or((operation, ""));
        return match kind {
            AwsErrorKind::Rejected => anyhow!("{operation}: the request could not be built"),
            _ => {
                anyhow!(
                    "{service} does not respond ({code}): check the network and the region, and try again"
                )
            }
        };
    };
    if let Some(remedy) = on_credentials(&code) {
        return anyhow!(remedy);
    }
    match (kind, code.as_str()) {
        (_, "AccessDenied" | "AccessDeniedException") => anyhow!(
            "these credentials lack the permission {operation}: have it granted, or set AWS_PROFILE to others"
        ),
        (AwsErrorKind::Throttled, _) => {
            anyhow!("{operation}: AWS throttles requests: run the command again in a minute")
        }
        (_, code) => anyhow!("{operation}: {} ({code})", refused.err().message().unwrap_or("refused")),
    }
}
