//! A table of the first version goes on being served: its claims and its open large orders are honoured, finished or undone.

use keypool_domain::{Clock as _, Status, Timestamp};
use keypool_tests::{FormerState, Shop};

const RANDOM: &str = "random-assign-license-keys";
const ONE: [(&str, &str); 2] = [("product_id", "1"), ("quantity", "1")];

#[tokio::test(flavor = "multi_thread")]
async fn a_former_order_that_was_sold_is_handed_over() {
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
        "nothing is left of it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_order_that_was_not_sold_is_undone() {
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
        "nothing is left of it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_claim_with_a_response_is_repeated() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    let first = shop.post_once(RANDOM, "a", &ONE).await;
    shop.make_claim_of_the_only_record(None).await;
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.text, first.text);
    assert_eq!(shop.in_stock(1).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_claim_without_a_response_is_waited_for_and_then_replaced() {
    let shop = Shop::open().await;
    shop.stock(1, 5).await;
    shop.post_once(RANDOM, "a", &ONE).await;
    let lease_until = now(&shop).unix_microseconds() + 60_000_000;
    shop.make_claim_of_the_only_record(Some(lease_until)).await;
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.status, 409, "its attempt may be alive");
    shop.clock.advance_seconds(61);
    assert_eq!(shop.post_once(RANDOM, "a", &ONE).await.code(), 803);
    assert_eq!(shop.in_stock(1).await, 3);
}

/// A creation is taken up where the first version left it: its claim has the mark of the keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_claim_of_a_creation_is_taken_over() {
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
