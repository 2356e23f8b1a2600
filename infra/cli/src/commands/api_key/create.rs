use std::collections::BTreeSet;

use anyhow::bail;
use clap::Args;
use ipnet::IpNet;
use keypool_domain::{
    Activity, ApiKey as Secret, ApiKeyRecord, ApiKeySettings, Endpoint, Name, OperatingSystemRandomness,
    Timestamp,
};
use keypool_store::CreateOutcome;

use super::capability::Capability;
use super::settings::Settings;
use super::{check_name, network, reveal};
use crate::exit::Exit;
use crate::moment::end_of_day;
use crate::output::Output;
use crate::target::Target;
use crate::view;

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

impl Create {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        check_name(&target.store, &self.name).await?;
        self.settings.check(&target.store).await?;
        let secret = Secret::random(&OperatingSystemRandomness);
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
        let after = view::api_key(&record);
        let entry = target.entry("api-key.create", record.name.as_str(), None, Some(after.clone())).await?;
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
