//! Tests of the claims in docs/SECURITY.md.

mod keys;
mod limits;
mod page;
mod probing;
mod responses;
mod surroundings;

use std::collections::BTreeSet;

use keypool_domain::{Activity, ApiKey, ApiKeyRecord, ApiKeySettings, Endpoint};

/// Makes an API key with every capability.
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

/// Reads a file of the project.
fn file(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
