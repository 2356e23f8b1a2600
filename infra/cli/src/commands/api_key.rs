use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::bail;
use clap::{Args, Subcommand};
use ipnet::IpNet;
use keypool_domain::{
    Activity, ApiKey as Secret, ApiKeyRecord, Clock as _, Endpoint, Name, OperatingSystemRandomness,
    SystemClock, Timestamp,
};
use keypool_store::{CreateOutcome, Store};

use crate::exit::Exit;
use crate::output::{Output, Table};
use crate::target::Target;
use crate::view;

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKey {
    /// Make an API key and show it, this once
    #[command(after_help = "Example, a key for a checkout that can only sell:\n  \
        keypool api-key create --name checkout --capability random-assign-license-keys \\\n    \
        --network 203.0.113.0/24 --expires 2027-12-31")]
    Create(Create),
    /// List all API keys; the keys themselves are not stored and cannot be shown
    #[command(after_help = "Example:\n  keypool api-key list")]
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What people call it
    #[arg(long)]
    name: Name,
    /// An endpoint it opens (may be repeated); without it, all four
    #[arg(long = "capability", value_name = "ENDPOINT")]
    capabilities: Vec<Endpoint>,
    /// An address or a network (CIDR) it may be used from (may be repeated); without it, from anywhere
    #[arg(long = "network", value_name = "CIDR", value_parser = network)]
    networks: Vec<IpNet>,
    /// The last day it is good for, in UTC; without it, it does not expire
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = end_of_day)]
    expires: Option<Timestamp>,
}

/// A network, or an address as the network of that one address.
fn network(text: &str) -> Result<IpNet, &'static str> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "must be an address or a network, like 203.0.113.7 or 203.0.113.0/24")
}

/// The first moment after a day.
fn end_of_day(text: &str) -> Result<Timestamp, &'static str> {
    const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
    Timestamp::from_date(text)
        .and_then(|day| Timestamp::from_unix_microseconds(day.unix_microseconds() + DAY_US))
        .ok_or("must be a date as YYYY-MM-DD")
}

impl ApiKey {
    pub(crate) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        match self {
            Self::Create(create) => create.run(target, output).await,
            Self::List => list(&target.store, output).await,
        }
    }
}

impl Create {
    async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let secret = Secret::random(&OperatingSystemRandomness);
        let record = ApiKeyRecord {
            hash: secret.hash(),
            name: self.name.clone(),
            activity: Activity::Active,
            capabilities: match self.capabilities.as_slice() {
                [] => BTreeSet::from(Endpoint::ALL),
                some => some.iter().copied().collect(),
            },
            networks: self.networks.clone(),
            valid_until: self.expires,
        };
        let after = view::api_key(&record);
        let entry = target.entry("api-key.create", record.name.as_str(), None, Some(after.clone())).await?;
        match target.store.create_api_key(&record, Some(&entry)).await? {
            CreateOutcome::Created => {
                let mut value = after;
                value["api_key"] = secret.reveal().into();
                output.result(secret.reveal(), &value)?;
                output.note("This API key is shown this once: only its hash is stored.");
                Ok(Exit::Done)
            }
            CreateOutcome::Exists => bail!("the same key was made before, which cannot be; try again"),
        }
    }
}

async fn list(store: &Store, output: Output) -> anyhow::Result<Exit> {
    let joined = |texts: Vec<String>, none: &str| {
        if texts.is_empty() { none.to_owned() } else { texts.join(" ") }
    };
    let now = SystemClock.now();
    let row = |api_key: &ApiKeyRecord| {
        let hash = api_key.hash.to_string();
        [
            api_key.name.as_str().to_owned(),
            hash.chars().take(12).collect(),
            if api_key.valid_until.is_some_and(|end| end <= now) {
                "expired".to_owned()
            } else {
                api_key.activity.to_string()
            },
            api_key.valid_until.map_or_else(|| "never".to_owned(), Timestamp::to_whole_seconds_text),
            joined(api_key.networks.iter().map(ToString::to_string).collect(), "any"),
            joined(api_key.capabilities.iter().map(ToString::to_string).collect(), "none"),
        ]
    };
    let api_keys = store.api_keys().await?;
    let mut table = Table::new(["NAME", "SHA-256", "STATUS", "GOOD UNTIL", "NETWORKS", "CAPABILITIES"]);
    api_keys.iter().for_each(|api_key| table.row(row(api_key)));
    output.table(&table, api_keys.iter().map(view::api_key).collect())?;
    Ok(Exit::Done)
}
