use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use aws_config::BehaviorVersion;
use aws_credential_types::provider::ProvideCredentials as _;
use clap::Args;
use keypool_domain::OperatingSystemRandomness;
use keypool_http::{AwsSettings, Patience};
use keypool_local::{DataFolder, Services, TABLE};
use keypool_signing::Signer;
use keypool_store::Store;

const NO_CREDENTIALS: &str =
    "no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";

/// Where the embedded stack keeps its data, unless told otherwise.
pub(crate) const DATA_DIR: &str = ".keypool";

/// Which table a command works on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetOptions {
    /// The table on AWS; without it, the stack that runs on the data folder
    #[arg(long, global = true, env = "KEYPOOL_TABLE", value_name = "NAME")]
    table: Option<String>,
    /// The region of the table; without it, that of the AWS profile or environment
    #[arg(long, global = true, env = "AWS_REGION", value_name = "NAME")]
    region: Option<String>,
    /// Another address of DynamoDB
    #[arg(long, global = true, env = "AWS_ENDPOINT_URL_DYNAMODB", value_name = "URL")]
    endpoint_url: Option<String>,
    /// The data folder of the embedded stack
    #[arg(long, global = true, value_name = "DIR", default_value = DATA_DIR)]
    pub(crate) data_dir: PathBuf,
}

/// What a command works on.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) store: Store,
    pub(crate) signer: Signer,
}

impl TargetOptions {
    /// The table and KMS, ready for use.
    pub(crate) async fn open(&self) -> anyhow::Result<Target> {
        let (settings, table) = match &self.table {
            Some(table) => (self.aws().await?, table.as_str()),
            None => (self.embedded()?, TABLE),
        };
        let clients = settings.clients(Patience::Operator);
        Ok(Target {
            store: Store::new(clients.dynamodb, table, Arc::new(OperatingSystemRandomness)),
            signer: Signer::new(clients.kms, None),
        })
    }

    fn embedded(&self) -> anyhow::Result<AwsSettings> {
        let Some(endpoints) = DataFolder::endpoints_at(&self.data_dir) else {
            bail!(
                "no stack runs on the data folder {}: start one with `keypool local`, or name a table on AWS \
                 with --table",
                self.data_dir.display()
            );
        };
        Ok(Services::settings(endpoints.dynamodb, endpoints.kms))
    }

    async fn aws(&self) -> anyhow::Result<AwsSettings> {
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12()).load().await;
        let credentials = config.credentials_provider().context(NO_CREDENTIALS)?;
        // Asked for now, to be able to say that it is they that are missing.
        credentials.provide_credentials().await.context(NO_CREDENTIALS)?;
        let region = self.region.clone().or_else(|| config.region().map(ToString::to_string));
        Ok(AwsSettings {
            region: region.context("no region: name one with --region, or set AWS_REGION")?,
            credentials,
            dynamodb_endpoint: self.endpoint_url.clone(),
            kms_endpoint: None,
        })
    }
}
