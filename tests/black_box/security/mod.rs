//! What docs/SECURITY.md claims.

mod keys;
mod limits;
mod page;
mod probing;
mod responses;
mod surroundings;

use std::collections::BTreeSet;

use keypool_domain::{Activity, ApiKey, ApiKeyRecord, ApiKeySettings, Endpoint};

/// An API key that opens everything.
pub(crate) fn record(key: &str) -> ApiKeyRecord {
    ApiKeyRecord {
        hash: key.parse::<ApiKey>().unwrap().hash(),
        name: "a test's".parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from(Endpoint::ALL),
        networks: vec![],
        valid_until: None,
        settings: ApiKeySettings::default(),
    }
}

/// A file of the project.
fn file(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
