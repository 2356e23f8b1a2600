use std::fmt;

use anyhow::Context as _;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata};
use keypool_domain::Principal;
use keypool_http::AwsSettings;

const NO_CREDENTIALS: &str =
    "no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/// An operator's access to AWS.
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
    /// Reads the profile or the environment.
    pub(super) async fn load(region: Option<&str>) -> anyhow::Result<Self> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let config = loader.load().await;
        let credentials = config.credentials_provider().context(NO_CREDENTIALS)?;
        // Asked for now, to be able to say that it is they that are missing.
        credentials.provide_credentials().await.context(NO_CREDENTIALS)?;
        let region = config.region().map(ToString::to_string);
        let region = region.context("no region: name one with --region, or set AWS_REGION")?;
        Ok(Self { config, credentials, region })
    }

    /// The region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// What clients of DynamoDB and KMS need.
    pub(super) fn settings(&self, dynamodb_endpoint: Option<String>) -> AwsSettings {
        AwsSettings {
            region: self.region.clone(),
            credentials: self.credentials.clone(),
            dynamodb_endpoint,
            kms_endpoint: std::env::var("AWS_ENDPOINT_URL_KMS").ok(),
        }
    }

    /// Whose credentials these are.
    pub(super) async fn principal(&self) -> anyhow::Result<Principal> {
        let identity = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        let identity = identity.map_err(|error| in_words("sts:GetCallerIdentity", &error))?;
        Ok(Principal::new(identity.arn().context("STS names no one")?))
    }

    /// The settings that were read, for other services.
    pub(super) fn config(&self) -> &SdkConfig {
        &self.config
    }
}

/// An error of a service that has no crate of its own here, in one sentence.
pub(super) fn in_words<E, R>(operation: &str, error: &aws_sdk_sts::error::SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: fmt::Debug,
{
    match error.as_service_error().map(|error| (error.code(), error.message())) {
        Some((Some("AccessDenied" | "AccessDeniedException"), _)) => {
            anyhow::anyhow!("these credentials lack the permission {operation}")
        }
        Some((Some("ExpiredToken" | "ExpiredTokenException"), _)) => {
            anyhow::anyhow!("the credentials have expired: sign in again (`aws sso login`), or renew them")
        }
        Some((Some("InvalidClientTokenId" | "SignatureDoesNotMatch"), _)) => {
            anyhow::anyhow!("AWS does not know these credentials: check AWS_PROFILE or the access key")
        }
        Some((code, message)) => {
            anyhow::anyhow!("{operation}: {} ({})", message.unwrap_or("refused"), code.unwrap_or("no code"))
        }
        None => anyhow::anyhow!("{operation}: no answer: {}", DisplayErrorContext(error)),
    }
}
