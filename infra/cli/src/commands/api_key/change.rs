use std::collections::BTreeSet;

use anyhow::bail;
use clap::{ArgGroup, Args};
use ipnet::IpNet;
use keypool_domain::{
    Activity, ApiKey, ApiKeyRecord, ApiKeySettings, Endpoint, Name, OperatingSystemRandomness, Timestamp,
    WebhookHosts,
};
use keypool_store::CreateOutcome;

use super::capability::Capability;
use super::settings::Settings;
use super::{Which, check_name, network, reveal};
use crate::commands::catalogue::{self, Resource as _};
use crate::exit::Exit;
use crate::moment::end_of_day;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The name of the API key
    #[arg(long)]
    name: Name,
    /// An endpoint that the key opens, or get-all-license-keys to see the orders of all API keys (may be
    /// repeated) [default: all endpoints]
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<Capability>,
    /// An address or network (CIDR) that may use the key (may be repeated) [default: any]
    #[arg(long = "network", value_name = "CIDR", value_parser = network)]
    networks: Vec<IpNet>,
    /// The last day on which the key is valid, in UTC [default: it does not expire]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = end_of_day)]
    expires: Option<Timestamp>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "capabilities", "networks", "any_network", "expires", "no_expiry",
        "wait_for_stock", "webhook_hosts", "any_webhook_host", "once_per", "no_once_per", "remember",
        "products", "any_product", "keys_per_order", "no_keys_per_order", "keys_per_hour", "no_keys_per_hour"]))]
pub(crate) struct Update {
    #[command(flatten)]
    which: Which,
    /// The name of the API key
    #[arg(long)]
    name: Option<Name>,
    /// Allow only this endpoint, or get-all-license-keys (may be repeated)
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<Capability>,
    /// Allow only this address or network (CIDR) (may be repeated)
    #[arg(long = "network", value_name = "CIDR", value_parser = network, conflicts_with = "any_network")]
    networks: Vec<IpNet>,
    /// Allow any network
    #[arg(long)]
    any_network: bool,
    /// The last day on which the key is valid, in UTC
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = end_of_day, conflicts_with = "no_expiry")]
    expires: Option<Timestamp>,
    /// Let the key never expire
    #[arg(long)]
    no_expiry: bool,
    #[command(flatten)]
    settings: Settings,
    /// Allow callbacks to any public host
    #[arg(long, conflicts_with = "webhook_hosts")]
    any_webhook_host: bool,
    /// Treat every request as a new one, unless it has an Idempotency-Key
    #[arg(long, conflicts_with = "once_per")]
    no_once_per: bool,
    /// Allow all products
    #[arg(long, conflicts_with = "products")]
    any_product: bool,
    /// Remove the limit of keys per order
    #[arg(long, conflicts_with = "keys_per_order")]
    no_keys_per_order: bool,
    /// Remove the limit of keys per hour
    #[arg(long, conflicts_with = "keys_per_hour")]
    no_keys_per_hour: bool,
}

impl Create {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        check_name(&target.store, &self.name).await?;
        self.settings.check(&target.store).await?;
        let secret = ApiKey::random(&OperatingSystemRandomness);
        let mut settings = ApiKeySettings::default();
        self.settings.apply(&mut settings);
        let mut record = ApiKeyRecord {
            hash: secret.hash(),
            name: self.name.clone(),
            activity: Activity::Active,
            capabilities: BTreeSet::from(Endpoint::ALL),
            networks: self.networks.clone(),
            valid_until: self.expires,
            settings,
        };
        if !self.capabilities.is_empty() {
            Capability::grant(&self.capabilities, &mut record);
        }
        let after = record.json();
        let entry = target.entry("api-key.create", record.audit_subject(), None, Some(after.clone())).await?;
        match target.store.create(&record, Some(&entry)).await? {
            CreateOutcome::Created => {
                reveal(&secret, after, output)?;
                Ok(Exit::Done)
            }
            CreateOutcome::Exists => {
                bail!("a random key exists already, which should never happen; try again")
            }
        }
    }
}

impl Update {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let before = self.which.find(target).await?;
        if let Some(name) = self.name.as_ref().filter(|name| **name != before.name) {
            check_name(&target.store, name).await?;
        }
        self.settings.check(&target.store).await?;
        let after = self.changed(before.clone());
        catalogue::update("api-key.update", [&before, &after], target, output).await
    }

    fn changed(&self, mut api_key: ApiKeyRecord) -> ApiKeyRecord {
        if let Some(name) = &self.name {
            api_key.name = name.clone();
        }
        if !self.capabilities.is_empty() {
            Capability::grant(&self.capabilities, &mut api_key);
        }
        if !self.networks.is_empty() || self.any_network {
            api_key.networks.clone_from(&self.networks);
        }
        if self.expires.is_some() || self.no_expiry {
            api_key.valid_until = self.expires;
        }
        self.settings.apply(&mut api_key.settings);
        if self.any_webhook_host {
            api_key.settings.webhook_hosts = WebhookHosts::default();
        }
        if self.no_once_per {
            api_key.settings.once_per_identifier = false;
        }
        if self.any_product {
            api_key.settings.products.clear();
        }
        if self.no_keys_per_order {
            api_key.settings.keys_per_order = None;
        }
        if self.no_keys_per_hour {
            api_key.settings.keys_per_hour = None;
        }
        api_key
    }
}
