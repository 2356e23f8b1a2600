//! A table in the embedded DynamoDB, for all tests of the store.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use keypool_aws::Timeouts;
use keypool_domain::OperatingSystemRandomness;
use keypool_local::{Services, TABLE};
use keypool_store::Store;

/// A client of an embedded DynamoDB with an empty table. It lives as long as the services.
pub(crate) async fn database() -> (Client, Services) {
    let services = Services::start(None).await.unwrap();
    let settings = Services::settings(services.dynamodb_url(), services.kms_url());
    (settings.clients(Timeouts::OPERATOR).dynamodb, services)
}

/// The empty table.
pub(crate) async fn table() -> (Store, Client, Services) {
    let (client, services) = database().await;
    let store = Store::new(client.clone(), TABLE, Arc::new(OperatingSystemRandomness))
        .with_timeouts(Timeouts::OPERATOR);
    (store, client, services)
}
