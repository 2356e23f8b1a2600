//! Measures a long line: very many queued orders wait for a product, and one import brings keys for all of
//! them. Reports the time until every order is filled and every callback delivered, and the calls that this
//! costs.
//!
//! `cargo bench -p keypool-tests --bench queue -- --orders 10000` prints a table in Markdown. Times depend on
//! the machine, so the table shows ratios to the same number of direct sales in the same run.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]
#![expect(clippy::cast_precision_loss, reason = "ratios need a few digits")]
#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use keypool_domain::requests::RandomAssignLicenseKeys;
use keypool_domain::{
    ApiKey, Clock as _, Delivery, OperatingSystemRandomness, OrderId, OrderState, Owner, QueuedOrder,
};
use keypool_tests::{API_KEY, Receiver, Shop, log_quietly};

/// Fills a long line of queued orders after one import.
#[derive(Debug, Parser)]
#[command(name = "queue")]
struct Arguments {
    /// Number of orders that wait, and of keys in the import
    #[arg(long, default_value_t = 10_000)]
    orders: usize,
    /// Number of workers that serve the queue side by side
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Flag that `cargo bench` passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The time and the calls of one part of the run.
struct Cost {
    took: Duration,
    dynamodb: usize,
    kms: usize,
    sqs: usize,
}

/// The number of concurrent direct sales, and of concurrent writes that build the line.
const SIDE_BY_SIDE: usize = 16;

#[tokio::main]
async fn main() {
    let Arguments { orders, workers, .. } = Arguments::parse();
    log_quietly();
    let (shop, receiver) = (Shop::open().await, Receiver::start().await);
    shop.stock_named(1, "DIRECT-", orders).await;
    let direct = measured(&shop, sell_directly(&shop, orders)).await;
    line_up(&shop, &receiver, orders).await;
    let import = measured(&shop, shop.stock_named(1, "IMPORT-", orders)).await;
    let queued = measured(&shop, serve(&shop, workers)).await;

    assert_eq!((receiver.rows().len(), shop.in_stock(1).await), (orders, 0));
    let callbacks = receiver.callbacks().len();
    println!("| {orders} orders, {workers} workers | DynamoDB | KMS | SQS | callbacks | time |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (name, cost, callbacks) in
        [("direct sales", &direct, 0), ("import", &import, 0), ("queued orders", &queued, callbacks)]
    {
        let each = |calls: usize| calls as f64 / orders as f64;
        let time = cost.took.as_secs_f64() / direct.took.as_secs_f64();
        println!(
            "| {name}, calls for each order | {:.2} | {:.2} | {:.2} | {:.2} | {time:.2} |",
            each(cost.dynamodb),
            each(cost.kms),
            each(cost.sqs),
            each(callbacks),
        );
    }
    println!("\nThe direct sales took {:.1} s.", direct.took.as_secs_f64());
}

/// Measures the calls and the time of a part of the run.
async fn measured<T>(shop: &Shop, part: impl Future<Output = T>) -> Cost {
    let proxies = [&shop.dynamodb, &shop.kms, &shop.sqs];
    let _ = proxies.map(keypool_tests::Proxy::take_operations);
    let began = Instant::now();
    part.await;
    let took = began.elapsed();
    let [dynamodb, kms, sqs] = proxies.map(|proxy| proxy.take_operations().len());
    Cost { took, dynamodb, kms, sqs }
}

/// Sells one key to each buyer, some side by side.
async fn sell_directly(shop: &Shop, orders: usize) {
    let sales = (0..orders).map(|_| async {
        let order = [("product_id", "1"), ("quantity", "1")];
        let answer = shop.post("random-assign-license-keys", &order).await;
        assert_eq!(answer.code(), 803, "{}", answer.text);
    });
    stream::iter(sales).buffer_unordered(SIDE_BY_SIDE).collect::<()>().await;
}

/// Puts orders into the product's line, past the API.
async fn line_up(shop: &Shop, receiver: &Receiver, orders: usize) {
    let api_key = API_KEY.parse::<ApiKey>().unwrap().hash();
    let joins = (0..orders).map(|n| {
        shop.clock.advance_seconds(1);
        let now = shop.clock.now();
        let order = QueuedOrder {
            id: OrderId::new(now, &OperatingSystemRandomness),
            state: OrderState::Queued,
            request: RandomAssignLicenseKeys {
                product_id: "1".parse().unwrap(),
                quantity: "1".parse().unwrap(),
                generate: false,
                owner: Owner::default(),
                identifier: n.to_string().parse().ok(),
            },
            webhook_url: receiver.url.parse().unwrap(),
            api_key,
            accepted_at: now,
            waits_until: now.after(QueuedOrder::WAITS_FOR),
            is_cancelled: false,
            code: None,
            delivery: Delivery::default(),
        };
        async move {
            assert_eq!(shop.store.enqueue(&order, None, now).await, Ok(()));
            assert_eq!(shop.store.join_line(&order).await, Ok(true));
        }
    });
    stream::iter(joins).buffer_unordered(SIDE_BY_SIDE).collect::<()>().await;
}

/// Serves the queue until no order is left: the sweep runs, then the workers process every message.
async fn serve(shop: &Shop, workers: usize) {
    while !shop.store.queued_orders().await.unwrap().is_empty() {
        shop.sweep_orders().await;
        while join_all((0..workers).map(|_| shop.process_orders())).await.iter().sum::<usize>() > 0 {}
        shop.clock.advance_seconds(60);
    }
}
