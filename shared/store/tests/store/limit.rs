//! The count of the keys that an API key has handed out, against the embedded DynamoDB.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use keypool_domain::{ApiKey, ApiKeyHash, HourlyCount, KeysPerHour, Tally, Timestamp};
use keypool_local::TABLE;
use keypool_store::{CountOutcome, Store};

use crate::fixture::table;

fn hash() -> ApiKeyHash {
    "secret".parse::<ApiKey>().unwrap().hash()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_microseconds((1_800_000_000 + seconds) * 1_000_000).unwrap()
}

fn limit(keys: u64) -> KeysPerHour {
    keys.try_into().unwrap()
}

/// Counts as an environment that has seen nothing yet.
async fn count(store: &Store, keys: u64, most: u64, seconds: i64) -> bool {
    let outcome = store.count_keys(hash(), keys, limit(most), None, at(seconds)).await.unwrap();
    matches!(outcome, CountOutcome::Counted(_))
}

async fn sum(store: &Store) -> u64 {
    store.hourly_count(hash()).await.unwrap().map_or(0, |count| count.sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_count_until_the_limit_and_again_when_they_have_aged() {
    let (store, _client, _services) = table().await;
    assert_eq!(store.hourly_count(hash()).await, Ok(None));
    assert!(!count(&store, 11, 10, 0).await, "never");
    assert_eq!(store.hourly_count(hash()).await, Ok(None), "a refusal writes nothing");
    for (keys, seconds, is_counted, expected) in [
        (4, 0, true, 4),
        (6, 59, true, 10),
        (1, 59, false, 10),
        (1, 60, false, 10),
        (1, 61 * 60, false, 10),
        // A clock that is behind counts in the latest minute.
        (1, 62 * 60, true, 1),
        (9, 61 * 60, true, 10),
        (1, 0, false, 10),
        (1, 62 * 60 + 59, false, 10),
    ] {
        assert_eq!(count(&store, keys, 10, seconds).await, is_counted, "{keys} at {seconds}");
        assert_eq!(sum(&store).await, expected, "{keys} at {seconds}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_count_can_only_refuse() {
    let (store, _client, _services) = table().await;
    assert!(count(&store, 8, 10, 0).await);
    // Known counts that are too small, too old, and ahead of the clock.
    let stale = HourlyCount { sum: 1, ..HourlyCount::none(at(0)) };
    for known in [stale.clone(), HourlyCount::none(at(-600)), HourlyCount::none(at(600))] {
        let outcome = store.count_keys(hash(), 3, limit(10), Some(known), at(0)).await.unwrap();
        let CountOutcome::Reached { count, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(count.sum, 8);
    }
    let counted = store.count_keys(hash(), 1, limit(10), Some(stale), at(60)).await.unwrap();
    let CountOutcome::Counted(Some(count)) = counted else { panic!("{counted:?}") };
    assert_eq!((count.sum, count.earlier), (9, vec![Tally { at: 1, keys: 8 }]));
    let full = HourlyCount { sum: 10, ..HourlyCount::none(at(60)) };
    let reached = store.count_keys(hash(), 1, limit(10), Some(full.clone()), at(60)).await.unwrap();
    let retry_after = Duration::from_mins(62);
    assert_eq!(reached, CountOutcome::Reached { count: full, retry_after }, "without a look");
}

/// Many environments count at once with different knowledge. They reach the limit and do not exceed it.
#[tokio::test(flavor = "multi_thread")]
async fn counts_that_race_reach_the_limit_and_do_not_exceed_it() {
    let (store, _client, _services) = table().await;
    let store = Arc::new(store);
    let mut known = None;
    for (round, most) in [(0, 50), (1, 100), (2, 150), (30, 200), (63, 150)] {
        let counts = (0..80).map(|n| {
            let (store, known) = (Arc::clone(&store), known.clone().filter(|_| n % 2 == 0));
            // Some clocks are a little ahead.
            let now = at(round * 60 + i64::from(n % 3) * 20);
            tokio::spawn(async move { store.count_keys(hash(), 1, limit(most), known, now).await.unwrap() })
        });
        let outcomes = join_all(counts).await.into_iter().map(Result::unwrap);
        let counted = outcomes.filter(|outcome| matches!(outcome, CountOutcome::Counted(_))).count();
        assert_eq!((counted, sum(&store).await), (50, most), "in minute {round}");
        known = store.hourly_count(hash()).await.unwrap();
    }
}

/// The item stays below 1 KB, so that a write costs one unit, and it expires.
#[tokio::test(flavor = "multi_thread")]
async fn the_item_is_small_and_expires() {
    let (store, client, _services) = table().await;
    let most = u64::from(KeysPerHour::MAX.get());
    // A week of busy minutes.
    for day in 0..7 {
        for minute in 0..70 {
            let known = store.hourly_count(hash()).await.unwrap();
            let now = at(day * 86_400 + minute * 60);
            store.count_keys(hash(), 16_000, limit(most), known, now).await.unwrap();
        }
    }
    let items = client.scan().table_name(TABLE).send().await.unwrap().items.unwrap();
    let [item] = items.as_slice() else { panic!("{items:?}") };
    let size: usize = item
        .iter()
        .map(|(name, value)| name.len() + value.as_s().or_else(|_| value.as_n()).unwrap().len())
        .sum();
    assert!(size < 1_024, "{size} bytes");
    let expires_at: i64 = item["expires_at"].as_n().unwrap().parse().unwrap();
    let last = 1_800_000_000 + 6 * 86_400 + 69 * 60;
    assert_eq!(expires_at, last + 8 * 86_400);
    let count = store.hourly_count(hash()).await.unwrap().unwrap();
    assert_eq!((count.earlier.len(), count.peaks.len()), (61, 7));
}

/// An item that was deleted or has expired starts a new count.
#[tokio::test(flavor = "multi_thread")]
async fn a_count_without_its_item_starts_again() {
    let (store, client, _services) = table().await;
    assert!(count(&store, 10, 10, 0).await);
    let known = store.hourly_count(hash()).await.unwrap();
    let item = client.scan().table_name(TABLE).send().await.unwrap().items.unwrap().remove(0);
    let [pk, sk] = ["pk", "sk"].map(|name| item[name].clone());
    client.delete_item().table_name(TABLE).key("pk", pk).key("sk", sk).send().await.unwrap();
    let outcome = store.count_keys(hash(), 1, limit(10), known, at(62 * 60)).await.unwrap();
    assert!(matches!(outcome, CountOutcome::Counted(Some(count)) if count.sum == 1));
    assert_eq!(sum(&store).await, 1);
}
