//! Tests an operator's writes beside other writers.

use keypool_domain::{
    Activity, ApiKeyRecord, AuditEntry, AuditId, Clock as _, OperatingSystemRandomness, Principal,
};
use keypool_store::UpdateOutcome;
use keypool_tests::{Fault, Shop};

use crate::security::record;

/// An audit entry with the current time.
pub(crate) fn entry(shop: &Shop) -> AuditEntry {
    AuditEntry {
        id: AuditId::random(&OperatingSystemRandomness),
        at: shop.clock.now(),
        principal: Principal::new("local:ada"),
        action: "api-key.disable".to_owned(),
        subject: "an API key".to_owned(),
        before: None,
        after: None,
    }
}

/// DynamoDB recognizes the repetition by its token, even while the first attempt is in progress.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_meets_its_own_first_attempt_succeeds() {
    let shop = Shop::open().await;
    let before = record("an-api-key");
    shop.add_api_key(before.clone()).await;
    let after = ApiKeyRecord { activity: Activity::Inactive, ..before.clone() };
    let entry = entry(&shop);
    let in_progress = Fault::error("TransactionInProgressException");
    shop.dynamodb.disturb("TransactWriteItems", [Fault::LoseResponse, in_progress]);
    let updated = shop.operators_store().update(&before, &after, &entry).await.unwrap();
    assert_eq!(updated, UpdateOutcome::Updated);
    assert!(shop.dynamodb.is_undisturbed());
    assert_eq!(shop.store.find::<ApiKeyRecord>(before.hash).await.unwrap(), Some(after));
}
