//! Simulates a thief with a leaked API key, who uses many environments at once for hours of simulated time.

use futures_util::future::join_all;
use keypool_tests::Environment;

use super::{KEY, RANDOM, shop_with_limit};

const LIMIT: u64 = 100;
const STOCK: usize = 390;
const STEP_SECONDS: i64 = 150;
const STEPS: i64 = 3 * 3_600 / STEP_SECONDS;

/// Sends 64 parallel requests to the environments. Returns the number of sold keys.
async fn rush(environments: &[Environment], quantity: &str) -> u64 {
    let form = [("api_key", KEY), ("product_id", "1"), ("quantity", quantity)];
    let requests = environments.iter().cycle().take(64);
    let responses = join_all(requests.map(|environment| environment.post(RANDOM, &form, None))).await;
    let sold = responses.into_iter().map(|response| {
        let response = response.unwrap();
        // Buyers who conflict too often get a 503, and nothing is sold.
        assert!([803, 104].contains(&response.code()) || response.status == 503, "{}", response.text);
        u64::try_from(response.license_keys().len()).unwrap()
    });
    sold.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_gets_no_more_than_the_limit_in_any_hour() {
    let shop = shop_with_limit(u32::try_from(LIMIT).unwrap(), STOCK).await;
    // The clocks of environments differ.
    let environments =
        [shop.environment(1, 1, 0).await, shop.environment(2, 2, 3).await, shop.environment(3, 3, -2).await];
    let mut sold: Vec<(i64, u64)> = Vec::new();
    for step in 0..STEPS {
        // Every third step buys single keys, the others buy seven at a time.
        let quantity = if step % 3 == 0 { "1" } else { "7" };
        sold.push((step * STEP_SECONDS, rush(&environments, quantity).await));
        for environment in &environments {
            environment.clock.advance_seconds(STEP_SECONDS);
        }
    }
    let total: u64 = sold.iter().map(|(_, keys)| keys).sum();
    for (start, _) in &sold {
        let hour = sold.iter().filter(|(second, _)| (*start..start + 3_600).contains(second));
        let keys: u64 = hour.map(|(_, keys)| keys).sum();
        assert!(keys <= LIMIT, "{keys} in the hour from {start}");
    }
    // The count covers up to two minutes more than an hour.
    assert!(total >= 3 * LIMIT - 10, "{total}");
    let total = usize::try_from(total).unwrap();
    assert_eq!(shop.in_stock(1).await, STOCK - total, "the sold keys left the stock");
}
