//! What an operator writes, while others write, too.

use keypool_domain::{
    Activity, ApiKeyRecord, AuditEntry, AuditId, Clock as _, OperatingSystemRandomness, Principal,
};
use keypool_store::UpdateOutcome;
use keypool_tests::{Fault, Shop};

use crate::security::record;

/// An entry of the audit trail about what is done now.
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

/// The condition on the record fails because of what the first attempt wrote, whose entry is still being written.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_meets_its_own_first_attempt_is_not_somebody_elses() {
    let shop = Shop::open().await;
    let before = record("an-api-key");
    shop.add_api_key(before.clone()).await;
    let after = ApiKeyRecord { activity: Activity::Inactive, ..before.clone() };
    let entry = entry(&shop);
    let own = Fault::cancelled(&["ConditionalCheckFailed", "TransactionConflict"]);
    shop.dynamodb.disturb("TransactWriteItems", [Fault::LoseResponse, own]);
    let updated = shop.operators_store().update_api_key(&before, &after, &entry).await.unwrap();
    assert_eq!(updated, UpdateOutcome::Updated);
    assert!(shop.dynamodb.is_undisturbed());
    assert_eq!(shop.store.api_key(before.hash).await.unwrap(), Some(after));
}
