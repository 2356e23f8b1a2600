//! Checks that keys are drawn at random.

use std::collections::HashMap;

use keypool_tests::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_a_stock_of_twenty_is_drawn_equally_often() {
    const STOCK: usize = 20;
    const DRAWS: usize = 4_000;
    let shop = Shop::open().await;
    let stock = shop.stock(1, STOCK).await;
    let mut seen: HashMap<String, f64> = HashMap::new();
    for _ in 0..DRAWS {
        let candidates = shop.draw(1).await.candidates;
        *seen.entry(candidates[0].license_key.as_str().to_owned()).or_default() += 1.0;
    }
    let expected = 200.0;
    let chi_square: f64 =
        stock.iter().map(|key| (seen.get(key).copied().unwrap_or(0.0) - expected).powi(2) / expected).sum();
    // With 19 degrees of freedom, chance exceeds 70 once in 10^7 runs. A draw that favors one key by half
    // exceeds it by far.
    assert!(chi_square < 70.0, "chi-square {chi_square}: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_a_stock_larger_than_a_window_is_drawn() {
    const STOCK: usize = 100;
    const DRAWS: usize = 4_000;
    let shop = Shop::open().await;
    shop.stock(1, STOCK).await;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for _ in 0..DRAWS {
        let candidates = shop.draw(1).await.candidates;
        *seen.entry(candidates[0].license_key.as_str().to_owned()).or_default() += 1;
    }
    // The share of a key depends on its position and on those before it. A key is drawn 40 times on average,
    // give or take a fifth for the positions and a sixth for the draws.
    assert_eq!(seen.len(), STOCK);
    let most = seen.values().max().unwrap();
    assert!(*most < 120, "{most} of {DRAWS} draws went to one key of {STOCK}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_draw_in_different_orders() {
    let shop = Shop::open().await;
    shop.stock(1, 20).await;
    let draw = async || {
        let candidates = shop.draw(20).await.candidates;
        candidates.into_iter().map(|key| key.license_key).collect::<Vec<_>>()
    };
    let (mut one, mut two) = (draw().await, draw().await);
    assert_ne!(one, two, "chance repeats an order once in 20! runs");
    one.sort();
    two.sort();
    assert_eq!(one, two, "both draws have the same keys");
}
