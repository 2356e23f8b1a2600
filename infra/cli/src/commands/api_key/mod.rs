mod capability;
mod create;
mod rotate;
mod settings;
mod update;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use ipnet::IpNet;
use keypool_domain::{
    Activity, ApiKey as Secret, ApiKeyRecord, ApiKeySettings, Clock as _, Name, QueuedOrder, SystemClock,
    Timestamp,
};
use keypool_store::Store;
use serde_json::Value;

pub(super) use self::rotate::name_before;
use self::update::apply;
use crate::difference::NOTHING;
use crate::exit::Exit;
use crate::moment::length;
use crate::output::{Output, Table};
use crate::target::Target;
use crate::view;

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKey {
    /// Create an API key and show it once
    #[command(after_help = "Example of a key for a checkout that can only sell:\n  \
        keypool api-key create --name checkout --capability random-assign-license-keys \\\n    \
        --network 203.0.113.0/24 --expires 2027-12-31\n\n\
        A key for queued orders that wait up to two days for keys, with callbacks to one host only:\n  \
        keypool api-key create --name shop --capability random-assign-license-keys-queued \\\n    \
        --wait-for-stock 2d --webhook-host shop.example --once-per identifier --remember 30d\n\n\
        A key with limits, for a checkout that sells product 42:\n  \
        keypool api-key create --name checkout --capability random-assign-license-keys \\\n    \
        --product 42 --keys-per-order 5 --keys-per-hour 200\n\n\
        The key is the only line on standard output. Costs 6 write units.")]
    Create(create::Create),
    /// List all API keys, without the keys themselves, which are not stored
    #[command(after_help = "Examples:\n  \
        keypool api-key list\n  \
        keypool api-key list --json | jq -r '.[] | select(.networks == []) | .name'    # open to anywhere\n\n\
        Costs a read unit for each API key.")]
    List,
    /// Show the rights and settings of an API key
    #[command(after_help = "Examples:\n  \
        keypool api-key show checkout\n  \
        keypool api-key show 4ac1e9\n\n\
        Costs a read unit for each API key, and 2 more.")]
    Show(Which),
    /// Change the rights, expiry or settings of an API key; a new list replaces the old one
    #[command(after_help = "Examples:\n  \
        keypool api-key update checkout --network 203.0.113.7 --network 2001:db8::/48\n  \
        keypool api-key update checkout --capability random-assign-license-keys --no-expiry\n  \
        keypool api-key update shop --wait-for-stock 0 --any-webhook-host --no-once-per\n  \
        keypool api-key update shop --keys-per-hour 500 --no-keys-per-order --any-product\n\n\
        Warm functions may use the old data for up to 60 seconds.\n\
        Costs a read unit for each API key, 2 more, and 4 write units.")]
    Update(update::Update),
    /// Enable an API key again
    #[command(after_help = "Example:\n  \
        keypool api-key enable checkout\n\n\
        Warm functions may refuse it for up to 60 more seconds.\n\
        Costs a read unit for each API key, 2 more, and 4 write units.")]
    Enable(Which),
    /// Disable an API key: its requests get code 101
    #[command(after_help = "Example for a key that leaked:\n  \
        keypool api-key disable checkout\n\n\
        Functions that have not seen the key in the last 60 seconds refuse it at once; all of them refuse it after \
        60 seconds.\n\
        Costs a read unit for each API key, 2 more, and 4 write units.")]
    Disable(Which),
    /// Create a new API key with the same rights, show it once, and let the old one expire
    #[command(after_help = "Examples:\n  \
        keypool api-key rotate checkout                       # the old key stays valid for a day\n  \
        keypool api-key rotate checkout --old-good-for 0      # the old key leaked: end it at once\n  \
        keypool api-key rotate checkout --expires 2027-12-31\n\n\
        The new key takes over the name; the old key is renamed to `NAME (rotated DATE)`. Warm functions accept the \
        old key for up to 60 more seconds.\n\
        Costs a read unit for each API key, 2 more, and 8 write units.")]
    Rotate(rotate::Rotate),
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The name, or the first six or more digits of the SHA-256 (`keypool api-key list` shows both)
    #[arg(value_name = "NAME|SHA-256")]
    api_key: String,
}

impl ApiKey {
    pub(crate) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        match self {
            Self::Create(create) => create.run(target, output).await,
            Self::List => list(&target.store, output).await,
            Self::Show(which) => show(&which.find(&target.store).await?, output),
            Self::Update(update) => update.run(target, output).await,
            Self::Enable(which) => switch(which, Activity::Active, target, output).await,
            Self::Disable(which) => switch(which, Activity::Inactive, target, output).await,
            Self::Rotate(rotate) => rotate.run(target, output).await,
        }
    }
}

impl Which {
    /// Finds the API key and reads its current record. A name takes precedence over a hash.
    async fn find(&self, store: &Store) -> anyhow::Result<ApiKeyRecord> {
        let wanted = self.api_key.trim();
        let all = store.list::<ApiKeyRecord>().await?;
        let named: Vec<&ApiKeyRecord> = all.iter().filter(|key| key.name.as_str() == wanted).collect();
        let hash = wanted.to_ascii_lowercase();
        let found = match named.as_slice() {
            // Fewer digits could match another key by accident.
            [] if hash.len() < HASH_DIGITS_MIN => Vec::new(),
            [] => all.iter().filter(|key| key.hash.to_string().starts_with(&hash)).collect(),
            _ => named,
        };
        match found.as_slice() {
            [] => bail!("there is no API key {wanted}: `keypool api-key list` lists them"),
            [one] => {
                let read = store.find::<ApiKeyRecord>(one.hash).await?;
                read.with_context(|| format!("there is no API key {wanted} any more"))
            }
            several => {
                let hashes: Vec<String> = several.iter().map(|key| short_hash(key)).collect();
                bail!("{} API keys match {wanted}: give the SHA-256, {}", several.len(), hashes.join(" or "))
            }
        }
    }
}

/// The fewest digits of a hash that select an API key.
const HASH_DIGITS_MIN: usize = 6;

/// Enough digits of the hash to distinguish the API keys of a shop.
fn short_hash(api_key: &ApiKeyRecord) -> String {
    api_key.hash.to_string().chars().take(12).collect()
}

/// Checks that a name is free, because people and commands select keys by name.
async fn check_name(store: &Store, name: &Name) -> anyhow::Result<()> {
    if store.list::<ApiKeyRecord>().await?.iter().any(|other| other.name == *name) {
        bail!(
            "API key {} already exists: choose another name, or replace it with `keypool api-key rotate`",
            name.as_str()
        );
    }
    Ok(())
}

/// Parses a network, or an address as the network of that one address.
fn network(text: &str) -> Result<IpNet, &'static str> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "must be an address or a network, such as 203.0.113.7 or 203.0.113.0/24")
}

/// Prints a new key; for programs, prints its record with the key.
fn reveal(secret: &Secret, mut value: Value, output: Output) -> anyhow::Result<()> {
    value["api_key"] = secret.reveal().into();
    let shown = output.result(secret.reveal(), &value);
    shown.context(
        "the API key was created, but could not be shown: replace it with `keypool api-key rotate`",
    )?;
    output.note("This API key is shown only once: keypool stores its hash alone.");
    Ok(())
}

async fn switch(which: &Which, to: Activity, target: &Target, output: Output) -> anyhow::Result<Exit> {
    let before = which.find(&target.store).await?;
    let after = ApiKeyRecord { activity: to, ..before.clone() };
    let action = match to {
        Activity::Active => "api-key.enable",
        Activity::Inactive => "api-key.disable",
    };
    apply(action, [&before, &after], target, output).await
}

/// The status for people: `expired`, or the activity.
fn status(api_key: &ApiKeyRecord, now: Timestamp) -> String {
    if api_key.valid_until.is_some_and(|end| end <= now) {
        "expired".to_owned()
    } else {
        api_key.activity.to_string()
    }
}

fn good_until(api_key: &ApiKeyRecord) -> String {
    api_key.valid_until.map_or_else(|| "never".to_owned(), Timestamp::to_whole_seconds_text)
}

fn joined(texts: impl Iterator<Item = String>, none: &str) -> String {
    let texts: Vec<String> = texts.collect();
    if texts.is_empty() { none.to_owned() } else { texts.join(" ") }
}

fn networks(api_key: &ApiKeyRecord) -> String {
    joined(api_key.networks.iter().map(ToString::to_string), "any")
}

fn capabilities(api_key: &ApiKeyRecord) -> String {
    joined(api_key.capability_names().map(str::to_owned), "none")
}

fn webhook_hosts(api_key: &ApiKeyRecord) -> String {
    joined(api_key.settings.webhook_hosts.iter().map(ToString::to_string), "any")
}

fn products(api_key: &ApiKeyRecord) -> String {
    joined(api_key.settings.products.iter().map(ToString::to_string), "any")
}

/// A limit for people, or a dash if there is none.
fn or_none(limit: Option<impl ToString>) -> String {
    limit.map_or_else(|| NOTHING.to_owned(), |limit| limit.to_string())
}

fn once_per(api_key: &ApiKeyRecord) -> &'static str {
    if api_key.settings.once_per_identifier { "identifier" } else { NOTHING }
}

/// A duration that is set, or the default with a remark.
fn or_default(set: Option<Duration>, default: Duration) -> String {
    set.map_or_else(|| format!("{} (not set)", length(default)), length)
}

fn show(api_key: &ApiKeyRecord, output: Output) -> anyhow::Result<Exit> {
    let settings = &api_key.settings;
    let text = format!(
        "name           {}\nSHA-256        {}\nstatus         {}\ngood until     {}\nnetworks       {}\n\
         capabilities   {}\nproducts       {}\nkeys an order  {}\nkeys an hour   {}\nwait           {}\n\
         webhook hosts  {}\nonce per       {}\nremember       {}",
        api_key.name.as_str(),
        api_key.hash,
        status(api_key, SystemClock.now()),
        good_until(api_key),
        networks(api_key),
        capabilities(api_key),
        products(api_key),
        or_none(settings.keys_per_order),
        or_none(settings.keys_per_hour),
        or_default(settings.wait_for_stock, QueuedOrder::WAITS_FOR),
        webhook_hosts(api_key),
        once_per(api_key),
        or_default(settings.remember, ApiKeySettings::REMEMBERED_FOR),
    );
    output.result(&text, &view::api_key(api_key))?;
    Ok(Exit::Done)
}

async fn list(store: &Store, output: Output) -> anyhow::Result<Exit> {
    let now = SystemClock.now();
    let api_keys = store.list::<ApiKeyRecord>().await?;
    let mut table = Table::new([
        "NAME",
        "SHA-256",
        "STATUS",
        "GOOD UNTIL",
        "NETWORKS",
        "WAIT",
        "WEBHOOK HOSTS",
        "PRODUCTS",
        "PER ORDER",
        "PER HOUR",
        "CAPABILITIES",
    ]);
    for api_key in &api_keys {
        table.row([
            api_key.name.as_str().to_owned(),
            short_hash(api_key),
            status(api_key, now),
            good_until(api_key),
            networks(api_key),
            length(api_key.settings.wait_for_stock.unwrap_or(QueuedOrder::WAITS_FOR)),
            webhook_hosts(api_key),
            products(api_key),
            or_none(api_key.settings.keys_per_order),
            or_none(api_key.settings.keys_per_hour),
            capabilities(api_key),
        ]);
    }
    output.table(&table, api_keys.iter().map(view::api_key).collect())?;
    Ok(Exit::Done)
}
