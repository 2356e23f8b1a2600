//! The table that a command works on, and the operator who runs it.

mod aws;
mod stack;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
use tokio::sync::{Mutex, OnceCell};

pub(crate) use self::aws::{Aws, in_words};
use self::stack::Outputs;

/// The default data folder of the embedded stack.
pub(crate) const DATA_DIR: &str = ".keypool";

/// The time for which an open target on AWS is used again. After it, the stack's outputs and the credentials
/// are loaded anew.
const OPEN_FOR: Duration = Duration::from_mins(1);

/// The options that select a table.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetOptions {
    // `named` reads the variables of both: an option takes precedence over either variable.
    /// The stack on AWS; its table, API and signing key come from its outputs [env: `KEYPOOL_STACK`]
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "table")]
    stack: Option<String>,
    /// The table on AWS; without it and --stack, the local stack of the data folder [env: `KEYPOOL_TABLE`]
    #[arg(long, global = true, value_name = "NAME")]
    table: Option<String>,
    /// The AWS region [default: that of the AWS profile or environment]
    #[arg(long, global = true, env = "AWS_REGION", value_name = "NAME")]
    region: Option<String>,
    /// The URL of DynamoDB (and of no other service) [env: `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL`]
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
    /// The global signing key [default: that of --stack]
    #[arg(long, global = true, env = "KEYPOOL_SIGNING_KEY", value_name = "KEY")]
    global_signing_key: Option<SigningKeyId>,
    /// The data folder of the local stack
    #[arg(long, global = true, value_name = "DIR", default_value = DATA_DIR)]
    pub(crate) data_dir: PathBuf,
    /// True if neither options nor environment variables may select a stack or table on AWS.
    #[arg(skip)]
    is_local: bool,
    /// The latest target on AWS, and the time when it was opened. A console uses it again.
    #[arg(skip)]
    opened: Arc<Mutex<Option<(Instant, Target)>>>,
}

impl fmt::Display for TargetOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.named() {
            Some(Named::Stack(stack)) => write!(f, "stack {stack}")?,
            Some(Named::Table(table)) => write!(f, "table {table}")?,
            None => return write!(f, "data folder {}", self.data_dir.display()),
        }
        match &self.region {
            Some(region) => write!(f, " in {region}"),
            None => Ok(()),
        }
    }
}

/// The stack or table that a command works on.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) store: Store,
    pub(crate) signer: Signer,
    /// The name of the table.
    pub(crate) table: String,
    /// The stack on AWS, if it was named.
    pub(crate) stack: Option<String>,
    /// The global signing key, if known.
    pub(crate) global_signing_key: Option<SigningKeyId>,
    /// The API's base URL, if known.
    pub(crate) base_url: Option<String>,
    /// The URL of DynamoDB.
    pub(crate) dynamodb_url: String,
    /// The value of the tag `keypool` that signing keys need, if the functions may use only tagged keys.
    pub(crate) key_tag: Option<String>,
    pub(crate) place: Place,
    principal: Arc<OnceCell<Principal>>,
}

/// The place of a target.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The embedded stack that runs on this data folder.
    Local(PathBuf),
    /// AWS.
    Aws(Box<Aws>),
}

/// The name that selects a target.
enum Named {
    Stack(String),
    Table(String),
}

impl TargetOptions {
    /// The name from the options, else from the environment, where the stack takes precedence over the table;
    /// `None` for the local stack.
    fn named(&self) -> Option<Named> {
        if self.is_local {
            return None;
        }
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let either = |stack: Option<String>, table: Option<String>| {
            stack.map(Named::Stack).or_else(|| table.map(Named::Table))
        };
        either(self.stack.clone(), self.table.clone())
            .or_else(|| either(variable("KEYPOOL_STACK"), variable("KEYPOOL_TABLE")))
    }

    /// Returns true if the options or the environment name the region.
    pub(crate) fn has_region(&self) -> bool {
        self.region.is_some()
    }

    /// The same data folder, whatever else the options and the environment select.
    pub(crate) fn local(&self) -> Self {
        Self { is_local: true, ..self.clone() }
    }

    /// Returns true if the options select the stack on this machine. Makes no call.
    pub(crate) fn is_local(&self) -> bool {
        self.named().is_none()
    }

    /// Opens the table and KMS.
    pub(crate) async fn open(&self) -> anyhow::Result<Target> {
        let Some(named) = self.named() else { return self.embedded() };
        let mut opened = self.opened.lock().await;
        if let Some((at, target)) = &*opened
            && at.elapsed() < OPEN_FOR
        {
            return Ok(target.clone());
        }
        let aws = Aws::load(self.region.as_deref()).await?;
        let target = match named {
            Named::Stack(stack) => {
                let outputs = Outputs::of(&aws, &stack).await?;
                Target { stack: Some(stack), ..self.on_aws(aws, outputs) }
            }
            Named::Table(table) => self.on_aws(aws, Outputs { table, ..Outputs::default() }),
        };
        if let Some((_, before)) = &*opened
            && before.table != target.table
        {
            bail!(
                "{self} uses the table {} now, and no longer {}: start the console again",
                target.table,
                before.table
            );
        }
        *opened = Some((Instant::now(), target.clone()));
        Ok(target)
    }

    fn on_aws(&self, aws: Aws, outputs: Outputs) -> Target {
        let Outputs { table, signing_key, base_url, key_tag } = outputs;
        let global_signing_key = self.global_signing_key.clone().or(signing_key);
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
            principal: Arc::default(),
        }
    }

    fn embedded(&self) -> anyhow::Result<Target> {
        let Some(endpoints) = DataFolder::endpoints_at(&self.data_dir) else {
            bail!(
                "no stack runs on the data folder {}: start one with `keypool local`, or select one on AWS with \
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
            principal: Arc::default(),
        })
    }
}

/// Opens the table with an operator's timeouts, which are longer than a checkout's.
fn store(clients: &Clients, table: &str) -> Store {
    Store::new(clients.dynamodb.clone(), table, Arc::new(OperatingSystemRandomness))
        .with_timeouts(Timeouts::OPERATOR)
}

impl Target {
    /// The operator's name for the audit trail. Calls AWS once at most.
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
                        aws.principal().await.context("cannot identify the owner of these credentials")
                    }
                }
            })
            .await
    }

    /// Builds an audit entry for an action at this moment.
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
