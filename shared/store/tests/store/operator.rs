//! An operator's changes of keys: conditions, races, repetitions, the audit trail.

use std::collections::HashSet;

use futures_util::TryStreamExt as _;
use keypool_domain::{
    Assignment, AuditEntry, AuditId, Clock as _, LicenseKeyRecord, NewKey, NotAllowedInStatus,
    OperatingSystemRandomness, Owner, Principal, ProductId, Status, SystemClock, Timestamp,
};
use keypool_store::{Inventory, KeyFilter, Look, Place, SaleOutcome, Store, UpdateOutcome};
use serde_json::json;

use crate::fixture::table;
use crate::selling::{sale, sell};

fn now() -> Timestamp {
    SystemClock.now()
}

async fn stock(store: &Store, product: u32, status: Status, count: usize) -> Vec<LicenseKeyRecord> {
    let ids = store.take_row_ids(count).await.unwrap();
    let keys: Vec<LicenseKeyRecord> = ids
        .into_iter()
        .map(|id| {
            let new = NewKey {
                license_key: format!("{product}-{status}-{id}").parse().unwrap(),
                product_id: product.to_string().parse().unwrap(),
                activation_limit: "0".parse().unwrap(),
                validity: "0".parse().unwrap(),
                status,
                owner: Owner::default(),
                assigned_at: None,
                order: None,
                assignment_id: None,
                creation_id: None,
            };
            new.into_record(id, now(), &OperatingSystemRandomness)
        })
        .collect();
    store.insert(&keys).await.unwrap();
    keys
}

fn entry(subject: &str, at: Timestamp) -> AuditEntry {
    AuditEntry {
        id: AuditId::random(&OperatingSystemRandomness),
        at,
        principal: Principal::new("local:ada"),
        action: "keys.block".to_owned(),
        subject: subject.to_owned(),
        before: Some(json!({"status": "available"})),
        after: Some(json!({"status": "blocked"})),
    }
}

fn assignment() -> Assignment {
    Assignment::new(Owner::default(), now(), &OperatingSystemRandomness)
}

async fn trail(store: &Store) -> Vec<AuditEntry> {
    let long_ago = Timestamp::from_unix_microseconds(0).unwrap();
    store.audit_trail(long_ago, now(), 1_000, |_| true).await.unwrap()
}

/// Either the sale or the block comes first, and the other one fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_and_a_block_of_the_same_key_do_not_both_happen() {
    let (store, _, _services) = table().await;
    let keys = stock(&store, 1, Status::Available, 40).await;
    let (mut sold, mut blocked) = (0, 0);
    for key in &keys {
        let sale = assignment();
        let next = key.blocked(now()).unwrap();
        let note = entry(key.license_key.as_str(), now());
        let (sale, block) =
            tokio::join!(sell(&store, std::slice::from_ref(key), &sale), store.change_key(key, &next, &note));
        let is = store.license_key(&key.license_key).await.unwrap().unwrap();
        match (sale, block.unwrap()) {
            (SaleOutcome::Done, UpdateOutcome::ChangedMeanwhile) => {
                assert_eq!((is.status, is.version), (Status::Assigned, 2));
                sold += 1;
            }
            (SaleOutcome::Missed(_), UpdateOutcome::Updated) => {
                assert_eq!((is.status, is.version, is.draw), (Status::Blocked, 2, None));
                blocked += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sold + blocked, keys.len());
    assert_eq!(trail(&store).await.len(), blocked, "what was not done is not noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_leaves_no_audit_entry() {
    let (store, _, _services) = table().await;
    let key = stock(&store, 1, Status::Available, 1).await.remove(0);
    let (next, note) = (key.blocked(now()).unwrap(), entry("a", now()));
    assert_eq!(store.change_key(&key, &next, &note).await, Ok(UpdateOutcome::Updated));
    let another = entry("a", now());
    assert_eq!(store.change_key(&key, &next, &another).await, Ok(UpdateOutcome::ChangedMeanwhile));
    assert_eq!(trail(&store).await, [note]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_key_is_in_stock_and_can_be_sold_again() {
    let (store, _, _services) = table().await;
    let key = stock(&store, 1, Status::Available, 1).await.remove(0);
    let sold = sell(&store, std::slice::from_ref(&key), &assignment()).await;
    assert_eq!(sold, SaleOutcome::Done);
    let seen = store.license_key(&key.license_key).await.unwrap().unwrap();
    let next = seen.released(now(), &OperatingSystemRandomness).unwrap();
    assert_eq!(store.change_key(&seen, &next, &entry("a", now())).await, Ok(UpdateOutcome::Updated));
    let late = sell(&store, std::slice::from_ref(&key), &assignment()).await;
    assert!(matches!(late, SaleOutcome::Missed(_)), "as it was seen before it was sold");
    let drawn = store.draw(ProductId::MIN, 1, &HashSet::new(), Look::Once).await.unwrap();
    assert_eq!(sell(&store, &drawn.candidates, &assignment()).await, SaleOutcome::Done);
}

/// A large order names its keys by their versions, so they must not change until it has ended.
#[tokio::test(flavor = "multi_thread")]
async fn keys_held_by_an_order_cannot_change_until_it_has_ended() {
    let (store, _, _services) = table().await;
    let keys = stock(&store, 1, Status::Available, 3).await;
    let mut order = sale(&assignment(), None);
    assert_eq!(store.take(&mut order, &keys, now()).await, Ok(SaleOutcome::Done));
    let held = store.license_key(&keys[0].license_key).await.unwrap().unwrap();
    assert_eq!(held.blocked(now()), Err(NotAllowedInStatus::BeingSold));
    // A change of the key as it was before the reservation is too late.
    let next = keys[0].blocked(now()).unwrap();
    let late = store.change_key(&keys[0], &next, &entry("a", now())).await;
    assert_eq!(late, Ok(UpdateOutcome::ChangedMeanwhile));

    store.sweep(now()).await.unwrap();
    let back = store.license_key(&keys[0].license_key).await.unwrap().unwrap();
    let next = back.blocked(now()).unwrap();
    assert_eq!(store.change_key(&back, &next, &entry("a", now())).await, Ok(UpdateOutcome::Updated));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_spans_months_latest_first() {
    let (store, _, _services) = table().await;
    let day = |day: i64| Timestamp::from_unix_microseconds((20_000 + day) * 86_400_000_000).unwrap();
    let entries: Vec<AuditEntry> = (0..70).map(|nth| entry(&format!("{nth}"), day(nth))).collect();
    for entry in &entries {
        store.note(entry).await.unwrap();
        store.note(entry).await.unwrap();
    }
    let subjects = async |since, limit| -> Vec<String> {
        let trail = store.audit_trail(day(since), day(70), limit, |_| true).await.unwrap();
        trail.into_iter().map(|entry| entry.subject).collect()
    };
    let all: Vec<String> = (0..70).rev().map(|nth| nth.to_string()).collect();
    assert_eq!(subjects(0, 1_000).await, all);
    assert_eq!(subjects(0, 45).await, all[..45]);
    assert_eq!(subjects(20, 1_000).await, all[..50]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_keys_hold_each_key_once() {
    let (store, _, _services) = table().await;
    for product in [1, 2] {
        for (status, count) in [(Status::Available, 23), (Status::Blocked, 11)] {
            stock(&store, product, status, count).await;
        }
    }
    let filter = |product: Option<u32>, status| KeyFilter {
        product_id: product.map(|product| product.to_string().parse().unwrap()),
        status,
        owner: None,
    };
    for (filter, expected) in [
        (filter(None, None), 68),
        (filter(Some(1), None), 34),
        (filter(None, Some(Status::Blocked)), 22),
        (filter(Some(2), Some(Status::Available)), 23),
        (filter(Some(3), Some(Status::Available)), 0),
    ] {
        for limit in [1, 5, 23, 34, 1_000] {
            let (mut found, mut from) = (Vec::new(), None::<Place>);
            loop {
                let page = store.list_keys(&filter, from, limit).await.unwrap();
                assert!(page.keys.len() <= limit);
                found.extend(page.keys.into_iter().map(|key| key.license_key));
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
            let distinct: HashSet<_> = found.iter().cloned().collect();
            assert_eq!((found.len(), distinct.len()), (expected, expected), "{filter:?} {limit}");
        }
        let pages: Vec<_> = store.keys(&filter).try_collect().await.unwrap();
        let distinct: HashSet<_> =
            pages.iter().flat_map(|page| &page.keys).map(|key| &key.license_key).collect();
        assert_eq!(distinct.len(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inventory_counts_each_key_once_and_sales_by_their_age() {
    let (store, _, _services) = table().await;
    let keys = stock(&store, 1, Status::Available, 30).await;
    stock(&store, 1, Status::Reserved, 2).await;
    stock(&store, 2, Status::Blocked, 3).await;
    let then = |minutes: i64| {
        Timestamp::from_unix_microseconds(now().unix_microseconds() - minutes * 60_000_000).unwrap()
    };
    for (key, minutes) in keys.iter().zip([-5, 30, 90, 23 * 60, 25 * 60, 31 * 24 * 60]) {
        let sale = Assignment { at: then(minutes), ..assignment() };
        assert_eq!(sell(&store, std::slice::from_ref(key), &sale).await, SaleOutcome::Done);
    }
    let inventory = store.inventory(KeyFilter::default(), now(), |_| {}).await.unwrap();
    let of = |product: u32| inventory[&product.to_string().parse::<ProductId>().unwrap()];
    let mut first = Inventory { available: 24, assigned: 6, reserved: 2, ..Inventory::default() };
    (first.sold_by_hour[23], first.sold_by_hour[22], first.sold_by_hour[0]) = (2, 1, 1);
    (first.sold_by_day[29], first.sold_by_day[28]) = (4, 1);
    assert_eq!(of(1), first);
    assert_eq!((of(1).sold_last_hour(), of(1).sold_last_day()), (2, 4));
    assert_eq!(of(1).hours_left(), Some(144));
    assert_eq!(of(2), Inventory { blocked: 3, ..Inventory::default() });
    assert_eq!(of(2).hours_left(), None);
}
