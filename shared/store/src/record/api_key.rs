use std::collections::BTreeSet;
use std::fmt::Display;

use ipnet::IpNet;
use keypool_domain::{ApiKeyRecord, Endpoint};

use super::{Item, Key, Reader, Writer};
use crate::StoreError;

pub(crate) fn api_key_item(api_key: &ApiKeyRecord) -> Item {
    Writer::at(Key::api_key(api_key.hash))
        .text("name", api_key.name.as_str())
        .text("status", api_key.activity)
        .text("capabilities", joined(&api_key.capabilities))
        .text("networks", joined(&api_key.networks))
        .optional_text("valid_until", api_key.valid_until)
        .0
}

pub(crate) fn read_api_key(item: &Item) -> Result<ApiKeyRecord, StoreError> {
    let reader = Reader { item, record: "API key" };
    Ok(ApiKeyRecord {
        hash: reader.id()?,
        name: reader.required("name")?,
        activity: reader.required("status")?,
        capabilities: reader.list::<Endpoint, BTreeSet<_>>("capabilities")?,
        networks: reader.list::<IpNet, Vec<_>>("networks")?,
        valid_until: reader.optional_time("valid_until")?,
    })
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
        };
        assert_eq!(read_api_key(&api_key_item(&api_key)), Ok(api_key));
    }
}
