//! The table against the embedded DynamoDB: conditions, draws, repetitions.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use keypool_aws::{AwsErrorKind, Timeouts};
use keypool_domain::{
    Activity, ApiKey, ApiKeyRecord, Assignment, Clock as _, Endpoint, Generator, LicenseKey,
    LicenseKeyRecord, Method, NewKey, OperatingSystemRandomness, Owner, Product, ProductId, Randomness,
    RowId, Status, StockPosition, SystemClock,
};
use keypool_local::{Services, TABLE};
use keypool_store::{
    Counter, CreateOutcome, Drawn, InsertCounts, Look, Lookup, NewGeneratorOutcome, SaleOutcome, StockSize,
    Store, candidate_window,
};

use crate::fixture;
use crate::selling::{finish, sale, sell};

/// The operating system's randomness, but with a given start for draws.
struct StartAt(Mutex<Option<StockPosition>>);

impl Randomness for StartAt {
    fn fill(&self, bytes: &mut [u8]) {
        OperatingSystemRandomness.fill(bytes);
        if let (16, Some(start)) = (bytes.len(), *self.0.lock().unwrap()) {
            let digits = start.to_string();
            for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
                *byte = u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
            }
        }
    }
}

struct Table {
    store: Store,
    start: Arc<StartAt>,
    _services: Services,
}

impl Table {
    async fn new() -> Self {
        let (client, services) = fixture::database().await;
        let start = Arc::new(StartAt(Mutex::new(None)));
        let store = Store::new(client, TABLE, Arc::clone(&start) as _);
        Self { store, start, _services: services }
    }

    /// Stores keys of product 1 and returns their records.
    async fn stock(&self, names: &[String]) -> Vec<LicenseKeyRecord> {
        let ids = self.store.take_row_ids(names.len()).await.unwrap();
        let keys: Vec<LicenseKeyRecord> = names
            .iter()
            .zip(ids)
            .map(|(name, id)| {
                new_key(name, Status::Available).into_record(
                    id,
                    SystemClock.now(),
                    &OperatingSystemRandomness,
                )
            })
            .collect();
        assert_eq!(self.store.insert(&keys).await.unwrap().created, names.len());
        keys
    }

    async fn key(&self, key: &LicenseKeyRecord) -> LicenseKeyRecord {
        self.store.license_key(&key.license_key).await.unwrap().unwrap()
    }

    async fn draw(&self, quantity: usize) -> Drawn {
        self.store.draw(product_id(), quantity, &HashSet::new(), Look::Twice).await.unwrap()
    }
}

fn product_id() -> ProductId {
    ProductId::MIN
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("NAME-{n:04}")).collect()
}

fn new_key(name: &str, status: Status) -> NewKey {
    NewKey {
        license_key: name.parse().unwrap(),
        product_id: product_id(),
        activation_limit: "1".parse().unwrap(),
        validity: "365".parse().unwrap(),
        status,
        owner: Owner::default(),
        assigned_at: None,
        order: None,
        assignment_id: None,
        creation_id: None,
    }
}

fn assignment(name: &str) -> Assignment {
    let owner = Owner { name: Some(name.parse().unwrap()), email: None };
    Assignment::new(owner, SystemClock.now(), &OperatingSystemRandomness)
}

fn license_keys(keys: &[LicenseKeyRecord]) -> Vec<LicenseKey> {
    keys.iter().map(|key| key.license_key.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_sold_since_it_was_read_is_not_sold_again() {
    let table = Table::new().await;
    let keys = table.stock(&names(1)).await;
    let (first, second) = (assignment("First"), assignment("Second"));
    assert_eq!(sell(&table.store, &keys, &first).await, SaleOutcome::Done);
    let missed = SaleOutcome::Missed(license_keys(&keys));
    assert_eq!(sell(&table.store, &keys, &second).await, missed);
    let stored = table.key(&keys[0]).await;
    assert_eq!((stored.owner, stored.assignment_id), (first.owner, Some(first.id)));
    assert_eq!((stored.status, stored.draw, stored.version), (Status::Assigned, None, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_index_entry_sells_nothing() {
    // The index lags behind the table, so it still shows sold keys. Candidates that were read before a sale
    // stand for these.
    let table = Table::new().await;
    let keys = table.stock(&names(5)).await;
    let stale = table.draw(5).await.candidates;
    sell(&table.store, &keys[1..2], &assignment("First")).await;
    let outcome = sell(&table.store, &stale, &assignment("Second")).await;
    let missed = SaleOutcome::Missed(license_keys(&keys[1..2]));
    assert_eq!(outcome, missed, "all or none");
    for key in [&keys[0], &keys[2], &keys[3], &keys[4]] {
        assert_eq!(&table.key(key).await, key);
    }
    let taken = license_keys(&keys[1..2]).into_iter().collect();
    let drawn = table.store.draw(product_id(), 4, &taken, Look::Once).await.unwrap();
    assert_eq!(drawn.candidates.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changed_but_is_for_sale_may_be_tried_again() {
    let table = Table::new().await;
    let keys = table.stock(&names(3)).await;
    let mut seen_before_a_change = keys.clone();
    seen_before_a_change[1].version = 7;
    for some in [&seen_before_a_change[1..2], &seen_before_a_change[..]] {
        let outcome = sell(&table.store, some, &assignment("Buyer")).await;
        let missed = SaleOutcome::Missed(vec![]);
        assert_eq!(outcome, missed);
    }
    assert_eq!(table.key(&keys[0]).await, keys[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_there_cannot_be_assigned() {
    let table = Table::new().await;
    let mut keys = table.stock(&names(2)).await;
    keys[1].license_key = "NOT-THERE".parse().unwrap();
    for some in [&keys[1..], &keys[..]] {
        let outcome = sell(&table.store, some, &assignment("Buyer")).await;
        assert_eq!(outcome, SaleOutcome::Missed(license_keys(&keys[1..])));
    }
    assert_eq!(table.store.license_key(&keys[1].license_key).await, Ok(None), "no key is created");
    assert_eq!(table.key(&keys[0]).await, keys[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_that_is_sent_again_changes_nothing() {
    let table = Table::new().await;
    let keys = table.stock(&names(4)).await;
    for some in [&keys[..1], &keys[1..]] {
        let assignment = assignment("Buyer");
        assert_eq!(sell(&table.store, some, &assignment).await, SaleOutcome::Done);
        let once = table.key(&some[0]).await;
        // The SDK does the same when the response was lost.
        assert_eq!(sell(&table.store, some, &assignment).await, SaleOutcome::Done);
        assert_eq!(table.key(&some[0]).await, once, "nothing changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inserting_counts_new_keys_and_leaves_others_unchanged() {
    let table = Table::new().await;
    let old = table.stock(&names(2)).await;
    let ids = table.store.take_row_ids(3).await.unwrap();
    let new = names(3).into_iter().zip(ids).map(|(name, id)| {
        new_key(&name, Status::Blocked).into_record(id, SystemClock.now(), &OperatingSystemRandomness)
    });
    let new: Vec<LicenseKeyRecord> = new.collect();
    let mut counts = table.store.insert(&new).await.unwrap();
    counts.duplicates.sort();
    assert_eq!(counts, InsertCounts { created: 1, duplicates: license_keys(&old) });
    assert_eq!(table.key(&old[0]).await, old[0]);
    assert_eq!(table.key(&new[2]).await, new[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insertion_sent_again_recognizes_its_keys_after_a_sale() {
    let table = Table::new().await;
    let keys = table.stock(&names(3)).await;
    sell(&table.store, &keys[..1], &assignment("Buyer")).await;
    let counts = table.store.insert(&keys).await.unwrap();
    assert_eq!(counts, InsertCounts { created: 3, duplicates: vec![] });
    assert_eq!(table.key(&keys[0]).await.status, Status::Assigned, "the buyer keeps it");
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_keys_are_stored_all_or_none() {
    let table = Table::new().await;
    table.stock(&names(1)).await;
    let fresh = async |names: &[&str]| -> Vec<LicenseKeyRecord> {
        let ids = table.store.take_row_ids(names.len()).await.unwrap();
        let fresh = names.iter().zip(ids).map(|(name, id)| {
            let key = new_key(name, Status::Available);
            key.into_record(id, SystemClock.now(), &OperatingSystemRandomness).unstored()
        });
        fresh.collect()
    };
    let assignment = assignment("Buyer");
    let sale = sale(&assignment, None);
    let colliding = fresh(&["FRESH-1", "NAME-0000", "FRESH-2"]).await;
    let collided = SaleOutcome::Missed(vec![]);
    assert_eq!(finish(&table.store, &sale, &colliding).await, Ok(collided.clone()));
    assert_eq!(finish(&table.store, &sale, &colliding[1..2]).await, Ok(collided));
    assert_eq!(table.store.license_key(&colliding[0].license_key).await, Ok(None));

    for names in [&["FRESH-3"][..], &["FRESH-4", "FRESH-5"][..]] {
        let keys = fresh(names).await;
        assert_eq!(finish(&table.store, &sale, &keys).await, Ok(SaleOutcome::Done));
        assert_eq!(finish(&table.store, &sale, &keys).await, Ok(SaleOutcome::Done), "sent again");
        let stored = table.key(&keys[0]).await;
        assert_eq!(
            (stored.status, stored.owner, stored.draw),
            (Status::Assigned, assignment.owner.clone(), None)
        );
    }
    assert_eq!(table.draw(2).await.candidates.len(), 1, "fresh keys are not in stock");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_wraps_round_the_end_of_the_stock() {
    let table = Table::new().await;
    let mut keys = table.stock(&names(60)).await;
    keys.sort_by_key(|key| key.draw);
    let window = candidate_window(1);
    // The draw starts at place 50: ten keys to the end, the rest of the window from the beginning.
    *table.start.0.lock().unwrap() = keys[50].draw;
    let drawn = table.draw(1).await.candidates;
    let drawn: HashSet<LicenseKey> = license_keys(&drawn).into_iter().collect();
    let expected = [&keys[50..], &keys[..window - 10]].concat();
    assert_eq!(drawn, license_keys(&expected).into_iter().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_reads_one_window_from_its_start() {
    let table = Table::new().await;
    let mut keys = table.stock(&names(60)).await;
    keys.sort_by_key(|key| key.draw);
    *table.start.0.lock().unwrap() = keys[5].draw;
    let drawn = table.draw(3).await.candidates;
    let drawn: HashSet<LicenseKey> = license_keys(&drawn).into_iter().collect();
    assert_eq!(drawn, license_keys(&keys[5..5 + candidate_window(3)]).into_iter().collect());
}

/// The estimate of one draw of 24 keys has a standard deviation of 1 / √22, which is 21 %. The mean of 200
/// draws is off by less than 2 % for this reason, and by the unevenness of this stock's positions.
#[tokio::test(flavor = "multi_thread")]
async fn a_draw_estimates_the_size_of_the_stock() {
    const STOCK: usize = 2_000;
    const DRAWS: usize = 200;
    let table = Table::new().await;
    table.stock(&names(STOCK)).await;
    let mut ratios = Vec::new();
    for _ in 0..DRAWS {
        let StockSize::Estimate(keys) = table.draw(1).await.stock else { panic!("the window is full") };
        ratios.push(f64::from(u32::try_from(keys).unwrap()) / 2_000.0);
    }
    let mean = ratios.iter().sum::<f64>() / 200.0;
    let deviation = (ratios.iter().map(|ratio| (ratio - 1.0).powi(2)).sum::<f64>() / 200.0).sqrt();
    assert!((0.9..1.1).contains(&mean), "the mean of the estimates is {mean} times the stock");
    assert!((0.12..0.32).contains(&deviation), "the deviation is {deviation}");
    // A draw that sees every key counts them.
    assert_eq!(table.draw(STOCK).await.stock, StockSize::Exact(STOCK));
}

#[tokio::test(flavor = "multi_thread")]
async fn products_have_stocks_of_their_own() {
    let table = Table::new().await;
    table.stock(&names(3)).await;
    let other = "2".parse().unwrap();
    let drawn = table.store.draw(other, 1, &HashSet::new(), Look::Twice).await.unwrap();
    assert_eq!((drawn.candidates.len(), drawn.stock), (0, StockSize::Exact(0)));
    let drawn = table.draw(4).await;
    assert_eq!((drawn.candidates.len(), drawn.stock, drawn.open_requests), (3, StockSize::Exact(3), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_id_is_given_twice() {
    let table = Table::new().await;
    let blocks = futures_util::future::join_all((1..=20).map(|count| table.store.take_row_ids(count))).await;
    let ids: Vec<u64> = blocks.into_iter().flat_map(|block| block.unwrap()).map(RowId::get).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 210);
    // Small orders are served from blocks of 64.
    assert!(ids.iter().max() <= Some(&(20 * 64)), "{:?}", ids.iter().max());
    assert_eq!(table.store.advance(Counter::Product, 1).await, Ok(1), "each counter for itself");
}

fn product(id: &str) -> Product {
    Product {
        id: id.parse().unwrap(),
        name: "A test's".parse().unwrap(),
        activity: Activity::Active,
        generator_id: None,
        signing_key_id: None,
    }
}

fn generator(id: &str, product_id: &str) -> Generator {
    Generator {
        id: id.parse().unwrap(),
        product_id: product_id.parse().unwrap(),
        activity: Activity::Active,
        method: Method::Uuid,
        prefix: String::new(),
        suffix: String::new(),
        activation_limit: "1".parse().unwrap(),
        validity: "1".parse().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_operator_are_found_and_listed() {
    let Table { store, _services, .. } = Table::new().await;
    for id in ["10", "9"] {
        assert_eq!(store.create(&product(id), None).await, Ok(CreateOutcome::Created));
    }
    assert_eq!(store.create(&product("9"), None).await, Ok(CreateOutcome::Exists));
    let created = |is_default| Ok(NewGeneratorOutcome::Created { is_default });
    assert_eq!(store.create_generator(&generator("4", "9"), None).await, created(true));
    assert_eq!(store.create_generator(&generator("5", "9"), None).await, created(false));
    assert_eq!(store.create_generator(&generator("5", "10"), None).await, Ok(NewGeneratorOutcome::Exists));
    assert_eq!(
        store.create_generator(&generator("6", "77"), None).await,
        Ok(NewGeneratorOutcome::UnknownProduct)
    );
    let api_key = ApiKeyRecord {
        hash: "secret".parse::<ApiKey>().unwrap().hash(),
        name: "shop".parse().unwrap(),
        activity: Activity::Active,
        capabilities: BTreeSet::from([Endpoint::Generate]),
        networks: vec![],
        valid_until: None,
        settings: keypool_domain::ApiKeySettings::default(),
    };
    assert_eq!(store.create(&api_key, None).await, Ok(CreateOutcome::Created));

    let products = store.list::<Product>().await.unwrap();
    assert_eq!(products.iter().map(|product| product.id.get()).collect::<Vec<_>>(), [9, 10]);
    assert_eq!(products[0].generator_id, Some("4".parse().unwrap()));
    assert_eq!(products[1].generator_id, None, "a generator that was refused is nobody's");
    assert_eq!(store.list::<Generator>().await.unwrap(), [generator("4", "9"), generator("5", "9")]);
    assert_eq!(store.list::<ApiKeyRecord>().await.unwrap(), std::slice::from_ref(&api_key));

    let lookup = Lookup {
        api_key: Some(api_key.hash),
        product: Some("10".parse().unwrap()),
        generator: Some("5".parse().unwrap()),
    };
    let found = store.look_up(lookup).await.unwrap();
    assert_eq!(found.api_key, Some(api_key));
    assert_eq!(found.product, Some(product("10")));
    assert_eq!(found.generator, Some(generator("5", "9")));
    let unknown = Lookup { product: Some("77".parse().unwrap()), ..Lookup::default() };
    assert_eq!(store.look_up(unknown).await.unwrap().product, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_beyond_one_batch() {
    let Table { store, _services, .. } = Table::new().await;
    for id in 1..=101 {
        store.create(&product(&id.to_string()), None).await.unwrap();
    }
    assert_eq!(store.list::<Product>().await.unwrap().len(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_differs_from_an_unavailable_one() {
    let services = Services::start(None).await.unwrap();
    let settings = Services::settings(services.dynamodb_url(), services.kms_url());
    let clients = settings.clients(Timeouts::CHECKOUT);
    let store = Store::new(clients.dynamodb, "missing", Arc::new(OperatingSystemRandomness));
    let key = "A".parse().unwrap();
    let missing = store.license_key(&key).await.unwrap_err();
    assert_eq!(missing.kind(), Some(AwsErrorKind::Misconfigured), "{missing}");
    services.stop().await;
    let dead = store.license_key(&key).await.unwrap_err();
    assert_eq!(dead.kind(), Some(AwsErrorKind::Unavailable), "{dead}");
}
