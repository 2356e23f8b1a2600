//! Which table a command works on, and who works on it.

mod aws;
mod stack;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use keypool_aws::{Clients, Timeouts};
use keypool_domain::{
    AuditEntry, AuditId, Clock as _, OperatingSystemRandomness, Principal, SigningKeyId, SystemClock,
};
use keypool_local::{DataFolder, Services, TABLE, demo};
use keypool_signing::Signer;
use keypool_store::Store;
use serde_json::Value;
use tokio::sync::OnceCell;

pub(crate) use self::aws::{Aws, in_words};

/// Where the embedded stack keeps its data, unless told otherwise.
pub(crate) const DATA_DIR: &str = ".keypool";

/// Which table a command works on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetOptions {
    // Their variables are read by `named`: what is said counts, whichever variable is set.
    /// The stack on AWS, as it was deployed; it knows its table, API and signing key [env: `KEYPOOL_STACK`]
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "table")]
    stack: Option<String>,
    /// The table on AWS; without it and --stack, the stack that runs on the data folder [env: `KEYPOOL_TABLE`]
    #[arg(long, global = true, value_name = "NAME")]
    table: Option<String>,
    /// The region; without it, that of the AWS profile or environment
    #[arg(long, global = true, env = "AWS_REGION", value_name = "NAME")]
    region: Option<String>,
    /// Another address of DynamoDB, and of no other service
    /// [env: `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL`]
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
    /// The global signing key, where --stack does not say it
    #[arg(long, global = true, env = "KEYPOOL_SIGNING_KEY", value_name = "KEY")]
    global_signing_key: Option<SigningKeyId>,
    /// The data folder of the embedded stack
    #[arg(long, global = true, value_name = "DIR", default_value = DATA_DIR)]
    pub(crate) data_dir: PathBuf,
}

impl fmt::Display for TargetOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.named() {
            Named::Stack(stack) => write!(f, "stack {stack}")?,
            Named::Table(table) => write!(f, "table {table}")?,
            Named::Nothing => return write!(f, "data folder {}", self.data_dir.display()),
        }
        match &self.region {
            Some(region) => write!(f, " in {region}"),
            None => Ok(()),
        }
    }
}

/// What a command works on.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) store: Store,
    pub(crate) signer: Signer,
    /// The name of the table.
    pub(crate) table: String,
    /// The stack on AWS, where it was named.
    pub(crate) stack: Option<String>,
    /// The global signing key, as far as it is known.
    pub(crate) global_signing_key: Option<SigningKeyId>,
    /// The API's base URL, as far as it is known.
    pub(crate) base_url: Option<String>,
    /// Where DynamoDB is.
    pub(crate) dynamodb_url: String,
    /// The value of the tag `keypool` that signing keys must carry, where functions may use only such keys.
    pub(crate) key_tag: Option<String>,
    pub(crate) place: Place,
    principal: OnceCell<Principal>,
}

/// Where a target is.
#[derive(Debug)]
pub(crate) enum Place {
    /// The embedded stack that runs on this data folder.
    Local(PathBuf),
    /// AWS.
    Aws(Box<Aws>),
}

/// What a target is named by.
enum Named {
    Stack(String),
    Table(String),
    Nothing,
}

impl TargetOptions {
    /// By what the options say, else by what the environment says; there the stack goes before the table.
    fn named(&self) -> Named {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (&self.stack, &self.table) {
            (Some(stack), _) => Named::Stack(stack.clone()),
            (None, Some(table)) => Named::Table(table.clone()),
            (None, None) => match (variable("KEYPOOL_STACK"), variable("KEYPOOL_TABLE")) {
                (Some(stack), _) => Named::Stack(stack),
                (None, Some(table)) => Named::Table(table),
                (None, None) => Named::Nothing,
            },
        }
    }

    /// Decides if the options name the stack on this machine. Makes no call.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.named(), Named::Nothing)
    }

    /// The table and KMS, ready for use.
    pub(crate) async fn open(&self) -> anyhow::Result<Target> {
        match self.named() {
            Named::Stack(stack) => {
                let aws = Aws::load(self.region.as_deref()).await?;
                let outputs = stack::outputs(&aws, &stack).await?;
                let global = self.global_signing_key.clone().or(outputs.signing_key);
                let target = self.on_aws(aws, outputs.table, global, outputs.base_url, outputs.key_tag);
                Ok(Target { stack: Some(stack), ..target })
            }
            Named::Table(table) => {
                let aws = Aws::load(self.region.as_deref()).await?;
                Ok(self.on_aws(aws, table, self.global_signing_key.clone(), None, None))
            }
            Named::Nothing => self.embedded(),
        }
    }

    fn on_aws(
        &self,
        aws: Aws,
        table: String,
        global_signing_key: Option<SigningKeyId>,
        base_url: Option<String>,
        key_tag: Option<String>,
    ) -> Target {
        let clients = aws.settings(self.endpoint_url.clone()).clients(Timeouts::OPERATOR);
        Target {
            store: store(&clients, &table),
            signer: Signer::new(clients.kms, global_signing_key.clone()),
            table,
            stack: None,
            global_signing_key,
            base_url,
            dynamodb_url: aws.dynamodb_url(self.endpoint_url.as_deref()),
            key_tag,
            place: Place::Aws(Box::new(aws)),
            principal: OnceCell::new(),
        }
    }

    fn embedded(&self) -> anyhow::Result<Target> {
        let Some(endpoints) = DataFolder::endpoints_at(&self.data_dir) else {
            bail!(
                "no stack runs on the data folder {}: start one with `keypool local`, or name one on AWS with \
                 --stack or --table",
                self.data_dir.display()
            );
        };
        let dynamodb_url = endpoints.dynamodb.clone();
        let clients = Services::settings(endpoints.dynamodb, endpoints.kms).clients(Timeouts::OPERATOR);
        let global = demo::global_signing_key()?;
        Ok(Target {
            store: store(&clients, TABLE).unsegmented(),
            signer: Signer::new(clients.kms, Some(global.clone())),
            table: TABLE.to_owned(),
            stack: None,
            global_signing_key: Some(global),
            base_url: Some(endpoints.base_url),
            dynamodb_url,
            key_tag: None,
            place: Place::Local(self.data_dir.clone()),
            principal: OnceCell::new(),
        })
    }
}

/// An operator has more time than a checkout.
fn store(clients: &Clients, table: &str) -> Store {
    Store::new(clients.dynamodb.clone(), table, Arc::new(OperatingSystemRandomness))
        .with_timeouts(Timeouts::OPERATOR)
}

impl Target {
    /// Who works on it, as the audit trail names them. Asks AWS once.
    pub(crate) async fn principal(&self) -> anyhow::Result<&Principal> {
        self.principal
            .get_or_try_init(|| async {
                match &self.place {
                    Place::Local(_) => {
                        let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
                        let name =
                            name.unwrap_or_else(|_| format!("uid-{}", rustix::process::getuid().as_raw()));
                        Ok(Principal::new(&format!("local:{name}")))
                    }
                    Place::Aws(aws) => {
                        aws.principal().await.context("AWS does not say whose credentials these are")
                    }
                }
            })
            .await
    }

    /// An entry of the audit trail about what is done now.
    pub(crate) async fn entry(
        &self,
        action: &str,
        subject: impl fmt::Display,
        before: Option<Value>,
        after: Option<Value>,
    ) -> anyhow::Result<AuditEntry> {
        Ok(AuditEntry {
            id: AuditId::random(&OperatingSystemRandomness),
            at: SystemClock.now(),
            principal: self.principal().await?.clone(),
            action: action.to_owned(),
            subject: subject.to_string(),
            before,
            after,
        })
    }
}
