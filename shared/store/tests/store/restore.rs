//! Ids after a restore, against the embedded DynamoDB.

use std::collections::HashSet;

use keypool_domain::{AuditEntry, AuditId, Clock as _, OperatingSystemRandomness, Principal, SystemClock};
use keypool_store::Counter;

use crate::fixture::table;

fn entry() -> AuditEntry {
    AuditEntry {
        id: AuditId::random(&OperatingSystemRandomness),
        at: SystemClock.now(),
        principal: Principal::new("local:ada"),
        action: "restore.counter".to_owned(),
        subject: "license-key".to_owned(),
        before: None,
        after: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_is_raised_once_and_never_lowered() {
    let (store, _, _services) = table().await;
    let counter = Counter::LicenseKey;
    assert_eq!(store.last_id(counter).await, Ok(0), "nobody has asked for an id");
    assert_eq!(store.raise_counter(counter, 500, &entry()).await, Ok(true));
    assert_eq!(store.raise_counter(counter, 500, &entry()).await, Ok(false));
    assert_eq!(store.raise_counter(counter, 7, &entry()).await, Ok(false));
    assert_eq!(store.last_id(counter).await, Ok(500));
    let ids = store.take_row_ids(2).await.unwrap();
    assert_eq!(ids.iter().map(|id| id.get()).collect::<Vec<_>>(), [501, 502]);
    let since = keypool_domain::Timestamp::from_unix_microseconds(0).unwrap();
    let trail = store.audit_trail(since, SystemClock.now(), 10, |_| true).await.unwrap();
    assert_eq!(trail.len(), 1, "only what was done is in the trail");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_taken_while_a_counter_is_raised_are_given_once() {
    let (store, _, _services) = table().await;
    let takers = (0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.take_row_ids(5).await.unwrap() })
    });
    let takers: Vec<_> = takers.collect();
    let raised = [200, 40, 300, 1_000].map(|to| {
        let store = store.clone();
        tokio::spawn(async move { store.raise_counter(Counter::LicenseKey, to, &entry()).await.unwrap() })
    });
    let mut ids = HashSet::new();
    for taker in takers {
        for id in taker.await.unwrap() {
            assert!(ids.insert(id.get()), "{id} was given twice");
        }
    }
    for raise in raised {
        raise.await.unwrap();
    }
    assert_eq!(ids.len(), 100);
    let last = store.last_id(Counter::LicenseKey).await.unwrap();
    assert!(last >= 1_000 && ids.iter().all(|id| *id <= last), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_not_restored_has_no_restore_state() {
    let (store, _, _services) = table().await;
    assert_eq!(store.restore_state().await, Ok(None));
}
