use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use ipnet::IpNet;
use keypool_domain::{ApiKeyHash, ApiKeyRecord, ApiKeySettings, Endpoint};

use super::{Catalogued, Item, Key, Kind, Reader, Writer};
use crate::StoreError;

impl Catalogued for ApiKeyRecord {
    const KIND: &'static str = Kind::ApiKey.name();
    type Id = ApiKeyHash;

    fn id(&self) -> ApiKeyHash {
        self.hash
    }

    fn position(&self) -> impl Ord {
        (self.name.as_str().to_owned(), self.hash)
    }

    fn item(&self) -> Item {
        Writer::at(Key::api_key(self.hash))
            .text("name", self.name.as_str())
            .text("status", self.activity)
            .text("capabilities", joined(&self.capabilities))
            .text("networks", joined(&self.networks))
            .optional_text("valid_until", self.valid_until)
            .optional_number("wait_for_stock", self.settings.wait_for_stock.map(|wait| wait.as_secs()))
            .optional_text("webhook_hosts", joined_or_none(self.settings.webhook_hosts.iter()))
            .optional_number("remember", self.settings.remember.map(|time| time.as_secs()))
            .optional_text("once_per", self.settings.once_per_identifier.then_some("identifier"))
            .0
    }

    fn read(item: &Item) -> Result<Self, StoreError> {
        let reader = Reader { item, record: "API key" };
        Ok(Self {
            hash: reader.id()?,
            name: reader.required("name")?,
            activity: reader.required("status")?,
            capabilities: reader.list::<Endpoint, BTreeSet<_>>("capabilities")?,
            networks: reader.list::<IpNet, Vec<_>>("networks")?,
            valid_until: reader.optional_time("valid_until")?,
            settings: ApiKeySettings {
                wait_for_stock: reader.optional("wait_for_stock")?.map(Duration::from_secs),
                webhook_hosts: reader.list("webhook_hosts")?,
                remember: reader.optional("remember")?.map(Duration::from_secs),
                once_per_identifier: reader.optional_raw("once_per")?.is_some(),
            },
        })
    }
}

/// An empty list is no attribute, as before there were lists.
fn joined_or_none<T: Display>(values: impl IntoIterator<Item = T>) -> Option<String> {
    Some(joined(values)).filter(|joined| !joined.is_empty())
}

fn joined<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use keypool_domain::{Activity, ApiKey, Timestamp};

    use super::*;

    #[test]
    fn an_api_key_reads_back() {
        let api_key = ApiKeyRecord {
            hash: "secret".parse::<ApiKey>().unwrap().hash(),
            name: "shop".parse().unwrap(),
            activity: Activity::Active,
            capabilities: BTreeSet::from(Endpoint::ALL),
            networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            valid_until: Timestamp::from_unix_microseconds(1_732_388_528_829_115),
            settings: ApiKeySettings::default(),
        };
        assert_eq!(ApiKeyRecord::read(&api_key.item()), Ok(api_key.clone()));
        let settings = ApiKeySettings {
            wait_for_stock: Some(Duration::ZERO),
            webhook_hosts: ["shop.example", "[2001:db8::1]:8443"]
                .iter()
                .map(|host| host.parse().unwrap())
                .collect(),
            remember: Some(Duration::from_hours(48)),
            once_per_identifier: true,
        };
        let api_key = ApiKeyRecord { settings, ..api_key };
        assert_eq!(ApiKeyRecord::read(&api_key.item()), Ok(api_key));
    }
}
