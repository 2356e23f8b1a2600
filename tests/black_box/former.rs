//! Serves a table of the first version. Its claims and open large orders are honored, finished or undone.

use keypool_domain::{Clock as _, Status, Timestamp};
use keypool_tests::{FormerState, Shop};

const RANDOM: &str = "random-assign-license-keys";
const ONE: [(&str, &str); 2] = [("product_id", "1"), ("quantity", "1")];

#[tokio::test(flavor = "multi_thread")]
async fn a_sold_order_of_the_first_version_is_handed_over() {
    let shop = Shop::open().await;
    shop.stock(1, 300).await;
    let keys = shop.draw(280).await.candidates;
    let keys = &keys[..280];
    shop.former_order(keys, FormerState::Committed).await;
    shop.sweep_orders().await;
    for (n, key) in keys.iter().enumerate() {
        let stored = shop.stored(key.license_key.as_str()).await;
        let (status, owner) = (stored.status, stored.owner.name.map(|name| name.as_str().to_owned()));
        if n == 0 {
            assert_eq!((status, owner), (Status::Available, None), "it was listed, but not reserved");
        } else {
            assert_eq!((status, owner.as_deref()), (Status::Assigned, Some("Former Buyer")));
        }
    }
    assert_eq!(shop.draw(300).await.candidates.len(), 21);
    assert_eq!(
        shop.store.sweep(now(&shop)).await,
        Ok(keypool_store::Swept::default()),
        "the order left no trace"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsold_order_of_the_first_version_is_undone() {
    let shop = Shop::open().await;
    shop.stock(1, 300).await;
    let keys = shop.draw(280).await.candidates;
    shop.former_order(&keys[..280], FormerState::Reserving).await;
    assert_eq!(shop.draw(300).await.candidates.len(), 21);
    shop.sweep_orders().await;
    assert_eq!(shop.draw(300).await.candidates.len(), 300);
    assert_eq!(
        shop.store.sweep(now(&shop)).await,
        Ok(keypool_store::Swept::default()),
        "the order left no trace"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_the_first_version_repeats_its_response() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    let first = shop.post_once(RANDOM, "a", &ONE).await;
    shop.make_claim_of_the_only_record(None).await;
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.text, first.text);
    assert_eq!(shop.in_stock(1).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_claim_of_the_first_version_expires_after_its_lease() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    shop.post_once(RANDOM, "a", &ONE).await;
    let lease_until = now(&shop).unix_microseconds() + 60_000_000;
    shop.make_claim_of_the_only_record(Some(lease_until)).await;
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.status, 409, "the first attempt may still run");
    shop.clock.advance_seconds(61);
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.code(), 803);
    assert_eq!(shop.in_stock(1).await, 3);
}

/// A request takes over a creation of the first version. Its keys carry another mark, so they count as
/// duplicates.
#[tokio::test(flavor = "multi_thread")]
async fn a_creation_claim_of_the_first_version_is_taken_over() {
    let shop = Shop::open().await;
    let create = [
        ("license_keys", r#"["NEW-1","NEW-2"]"#),
        ("product_id", "1"),
        ("activation_limit", "0"),
        ("validity", "0"),
        ("status", "available"),
    ];
    shop.post_once("create-license-keys", "a", &create).await;
    shop.make_claim_of_the_only_record(Some(0)).await;
    let again = shop.post_once("create-license-keys", "a", &create).await;
    assert_eq!(again.code(), 902, "the keys have another mark: {}", again.text);
}

fn now(shop: &Shop) -> Timestamp {
    shop.clock.now()
}
