mod capability;
mod change;
mod rotate;
mod settings;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use ipnet::IpNet;
use keypool_domain::{
    Activity, ApiKey, ApiKeyRecord, ApiKeySettings, Clock as _, Name, QueuedOrder, SystemClock, Timestamp,
};
use keypool_store::Store;
use serde_json::{Value, json};

pub(super) use self::rotate::name_before;
use crate::commands::catalogue::{Resource, list, show, switch};
use crate::difference::or_nothing;
use crate::exit::Exit;
use crate::moment::length;
use crate::output::{Column, Output};
use crate::target::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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
    Create(change::Create),
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
    Update(change::Update),
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

impl Command {
    pub(crate) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        match self {
            Self::Create(create) => create.run(target, output).await,
            Self::List => list::<ApiKeyRecord>(target, output).await,
            Self::Show(which) => show(&which.find(target).await?, output),
            Self::Update(update) => update.run(target, output).await,
            Self::Enable(which) => switch(which.find(target).await?, Activity::Active, target, output).await,
            Self::Disable(which) => {
                switch(which.find(target).await?, Activity::Inactive, target, output).await
            }
            Self::Rotate(rotate) => rotate.run(target, output).await,
        }
    }
}

impl Which {
    /// Finds the API key and reads its current record. A name takes precedence over a hash.
    async fn find(&self, target: &Target) -> anyhow::Result<ApiKeyRecord> {
        let store = &target.store;
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
fn reveal(secret: &ApiKey, mut value: Value, output: &Output) -> anyhow::Result<()> {
    value["api_key"] = secret.reveal().into();
    let shown = output.result(secret.reveal(), &value);
    shown.context(
        "the API key was created, but could not be shown: replace it with `keypool api-key rotate`",
    )?;
    output.note("This API key is shown only once: keypool stores its hash alone.");
    Ok(())
}

impl Resource for ApiKeyRecord {
    const NOUN: &'static str = "API key";
    const ACTION: &'static str = "api-key";
    const COLUMNS: &'static [Column<Self>] = &[
        ("NAME", |api_key| api_key.name.as_str().to_owned()),
        ("SHA-256", short_hash),
        ("STATUS", status),
        ("GOOD UNTIL", good_until),
        ("NETWORKS", |api_key| joined(&api_key.networks, "any")),
        ("WAIT", |api_key| length(api_key.settings.wait_for_stock.unwrap_or(QueuedOrder::WAITS_FOR))),
        ("WEBHOOK HOSTS", |api_key| joined(api_key.settings.webhook_hosts.iter(), "any")),
        ("PRODUCTS", |api_key| joined(&api_key.settings.products, "any")),
        ("PER ORDER", |api_key| or_nothing(api_key.settings.keys_per_order)),
        ("PER HOUR", |api_key| or_nothing(api_key.settings.keys_per_hour)),
        ("CAPABILITIES", |api_key| joined(api_key.capability_names(), "none")),
    ];

    fn subject(&self) -> String {
        format!("API key {}", self.name.as_str())
    }

    fn audit_subject(&self) -> String {
        self.name.as_str().to_owned()
    }

    fn activity_mut(&mut self) -> &mut Activity {
        &mut self.activity
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let settings = &self.settings;
        vec![
            ("name", self.name.as_str().to_owned()),
            ("SHA-256", self.hash.to_string()),
            ("status", status(self)),
            ("good until", good_until(self)),
            ("networks", joined(&self.networks, "any")),
            ("capabilities", joined(self.capability_names(), "none")),
            ("products", joined(&settings.products, "any")),
            ("keys an order", or_nothing(settings.keys_per_order)),
            ("keys an hour", or_nothing(settings.keys_per_hour)),
            ("wait", or_default(settings.wait_for_stock, QueuedOrder::WAITS_FOR)),
            ("webhook hosts", joined(settings.webhook_hosts.iter(), "any")),
            ("once per", or_nothing(settings.once_per_identifier.then_some("identifier"))),
            ("remember", or_default(settings.remember, ApiKeySettings::REMEMBERED_FOR)),
        ]
    }

    /// All of the record, without the key. A setting that is not set is null.
    fn json(&self) -> Value {
        let settings = &self.settings;
        json!({
            "sha256": self.hash.to_string(),
            "name": self.name.as_str(),
            "status": self.activity.as_str(),
            "capabilities": self.capability_names().collect::<Vec<_>>(),
            "networks": self.networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "valid_until": self.valid_until.map(|end| end.to_string()),
            "wait_for_stock": settings.wait_for_stock.map(length),
            "webhook_hosts": settings.webhook_hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "once_per": settings.once_per_identifier.then_some("identifier"),
            "remember": settings.remember.map(length),
            "products": settings.products,
            "keys_per_order": settings.keys_per_order,
            "keys_per_hour": settings.keys_per_hour,
        })
    }
}

/// The status for people: `expired`, or the activity.
fn status(api_key: &ApiKeyRecord) -> String {
    if api_key.valid_until.is_some_and(|end| end <= SystemClock.now()) {
        "expired".to_owned()
    } else {
        api_key.activity.to_string()
    }
}

fn good_until(api_key: &ApiKeyRecord) -> String {
    api_key.valid_until.map_or_else(|| "never".to_owned(), Timestamp::to_whole_seconds_text)
}

fn joined(values: impl IntoIterator<Item = impl ToString>, none: &str) -> String {
    let texts: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    if texts.is_empty() { none.to_owned() } else { texts.join(" ") }
}

/// A duration that is set, or the default with a remark.
fn or_default(set: Option<Duration>, default: Duration) -> String {
    set.map_or_else(|| format!("{} (not set)", length(default)), length)
}
