//! Keys are drawn at random.

use std::collections::{HashMap, HashSet};

use keypool_store::Drawn;
use keypool_tests::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_a_stock_of_twenty_is_drawn_equally_often() {
    const STOCK: usize = 20;
    const DRAWS: usize = 4_000;
    let shop = Shop::open().await;
    let stock = shop.stock(1, STOCK).await;
    let mut seen: HashMap<String, f64> = HashMap::new();
    for _ in 0..DRAWS {
        let product_id = "1".parse().unwrap();
        let drawn = shop.store.draw_candidates(product_id, 1, &HashSet::default()).await.unwrap();
        let Drawn::Enough(candidates) = drawn else { panic!("there are twenty") };
        *seen.entry(candidates[0].license_key.as_str().to_owned()).or_default() += 1.0;
    }
    let expected = 200.0;
    let chi_square: f64 =
        stock.iter().map(|key| (seen.get(key).copied().unwrap_or(0.0) - expected).powi(2) / expected).sum();
    // 19 degrees of freedom: beyond 70 once in 10^7 runs. A draw that favours one key by half fails by far.
    assert!(chi_square < 70.0, "chi-square {chi_square}: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_draw_in_different_orders() {
    let mut orders = Vec::new();
    for _ in 0..2 {
        let shop = Shop::open().await;
        shop.stock(1, 20).await;
        let mut order = Vec::new();
        for _ in 0..20 {
            let bought = [("product_id", "1"), ("quantity", "1")];
            order.extend(shop.post("random-assign-license-keys", &bought).await.license_keys());
        }
        orders.push(order);
    }
    assert_eq!(orders[0].len(), 20);
    assert_ne!(orders[0], orders[1], "the same order twice by chance: once in 20! runs");
    let mut sorted = orders[0].clone();
    sorted.sort();
    assert_ne!(orders[0], sorted);
}
