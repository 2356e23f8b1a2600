//! Importing against the embedded DynamoDB: throttles, lost answers, keys that exist.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use keypool_aws::{AdaptiveLimit, AwsErrorKind};
use keypool_domain::{
    Assignment, Clock as _, CreationId, ImportId, LicenseKeyRecord, NewKey, OperatingSystemRandomness, Owner,
    ProductId, Status, SystemClock,
};
use keypool_local::{Services, TABLE};
use keypool_store::{ImportOutcome, SaleOutcome, Store, StoreError};
use serde_json::{Value, json};

use crate::fixture;
use crate::selling::sell;

/// Falsifies the responses to `left` batches: reports an error for every second statement, although it
/// succeeded. Reports the others truthfully: stored the first time, existing later.
#[derive(Debug)]
struct Throttles {
    left: Arc<AtomicUsize>,
    /// The code of the error, in place of `ThrottlingError`.
    code: Arc<Mutex<&'static str>>,
    /// The number of statements in the last call.
    statements: AtomicUsize,
}

impl Intercept for Throttles {
    fn name(&self) -> &'static str {
        "throttles"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request().body().bytes().unwrap_or_default();
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        self.statements.store(request["Statements"].as_array().map_or(0, Vec::len), Ordering::SeqCst);
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let statements = self.statements.load(Ordering::SeqCst);
        if statements == 0 {
            return Ok(());
        }
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            let error = |code: &str| json!({ "Error": { "Code": code, "Message": "no" } });
            let answers = (0..statements).map(|at| match at % 2 {
                0 => error(&self.code.lock().unwrap()),
                _ if statements == Store::IMPORT_KEYS_MAX => json!({ "TableName": TABLE }),
                _ => error("DuplicateItem"),
            });
            let body = json!({ "Responses": answers.collect::<Vec<_>>() }).to_string();
            let response = context.response_mut();
            response.headers_mut().remove("x-amz-crc32");
            *response.body_mut() = body.into();
        }
        Ok(())
    }
}

struct Table {
    store: Store,
    throttles: Arc<AtomicUsize>,
    code: Arc<Mutex<&'static str>>,
    _services: Services,
}

impl Table {
    async fn new() -> Self {
        let (client, services) = fixture::database().await;
        let throttles = Arc::new(AtomicUsize::new(0));
        let config = client.config().to_builder();
        let code = Arc::new(Mutex::new("ThrottlingError"));
        let (left, statements) = (Arc::clone(&throttles), AtomicUsize::new(0));
        let config = config.interceptor(Throttles { left, code: Arc::clone(&code), statements });
        let client = aws_sdk_dynamodb::Client::from_conf(config.build());
        let store = Store::new(client, TABLE, Arc::new(OperatingSystemRandomness));
        Self { store, throttles, code, _services: services }
    }

    async fn import(&self, keys: &[LicenseKeyRecord]) -> Vec<ImportOutcome> {
        self.store.import(keys, &AdaptiveLimit::default()).await.unwrap()
    }
}

fn keys(import: ImportId, names: &[&str]) -> Vec<LicenseKeyRecord> {
    let key = |line: u64, name: &str| NewKey {
        license_key: name.parse().unwrap(),
        product_id: ProductId::MIN,
        activation_limit: "1".parse().unwrap(),
        validity: "365".parse().unwrap(),
        status: Status::Available,
        owner: Owner::default(),
        assigned_at: None,
        order: None,
        assignment_id: None,
        creation_id: Some(CreationId::of_line(import, line)),
    };
    let stocked = |(line, name): (u64, &&str)| {
        let id = (1_000 + line).try_into().unwrap();
        key(line, name).into_record(id, SystemClock.now(), &OperatingSystemRandomness)
    };
    (1..).zip(names).map(stocked).collect()
}

fn import_id() -> ImportId {
    ImportId::random(&OperatingSystemRandomness)
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_keys_are_resent_and_stored_ones_recognized() {
    let table = Table::new().await;
    let names: Vec<String> = (0..25).map(|n| format!("KEY-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let keys = keys(import_id(), &names);
    table.throttles.store(3, Ordering::SeqCst);
    assert_eq!(table.import(&keys).await, [ImportOutcome::Created; 25]);
    assert_eq!(table.throttles.load(Ordering::SeqCst), 0, "all of them were met");
    for key in &keys {
        assert_eq!(table.store.license_key(&key.license_key).await.unwrap().as_ref(), Some(key));
    }
    let counts = table.store.import(&keys, &AdaptiveLimit::default()).await.unwrap();
    assert_eq!(counts, [ImportOutcome::Created; 25], "the same lines of the same import");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_key_reports_its_status_and_stays_as_it_was() {
    let table = Table::new().await;
    let first = keys(import_id(), &["A", "B"]);
    table.import(&first).await;
    let assignment = Assignment::new(Owner::default(), SystemClock.now(), &OperatingSystemRandomness);
    assert_eq!(sell(&table.store, &first[..1], &assignment).await, SaleOutcome::Done);
    let sold = table.store.license_key(&first[0].license_key).await.unwrap();

    let other = keys(import_id(), &["A", "B", "C'; \"D"]);
    let (sold_one, in_stock) = (Status::Assigned, Status::Available);
    assert_eq!(
        table.import(&other).await,
        [ImportOutcome::Duplicate(sold_one), ImportOutcome::Duplicate(in_stock), ImportOutcome::Created]
    );
    assert_eq!(table.store.license_key(&first[0].license_key).await.unwrap(), sold);
    assert_eq!(
        table.import(&first).await,
        [ImportOutcome::Created; 2],
        "sold since, but created by that line"
    );

    let rehearsed: Vec<_> = [&first[..], &keys(import_id(), &["D"])].concat();
    let rehearsed: Vec<_> = rehearsed.iter().map(|key| key.license_key.clone()).collect();
    let found = table.store.rehearse_import(&rehearsed, &AdaptiveLimit::default()).await.unwrap();
    assert_eq!(found, [Some(sold_one), Some(in_stock), None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_statement_ends_the_import_or_passes() {
    let operation = "BatchExecuteStatement";
    let misconfigured = |code: &str| StoreError::aws(AwsErrorKind::Misconfigured, operation, code);
    let table = Table::new().await;
    for (code, error) in [
        ("ProvisionedThroughputExceeded", None),
        ("TransactionConflict", None),
        ("InternalServerError", None),
        ("AccessDenied", Some(misconfigured("AccessDeniedException"))),
        ("ResourceNotFound", Some(misconfigured("ResourceNotFoundException"))),
        ("ValidationError", Some(StoreError::aws(AwsErrorKind::Rejected, operation, "ValidationError"))),
    ] {
        *table.code.lock().unwrap() = code;
        table.throttles.store(1, Ordering::SeqCst);
        let outcome = table.store.import(&keys(import_id(), &[code]), &AdaptiveLimit::default()).await;
        assert_eq!(outcome, error.map_or(Ok(vec![ImportOutcome::Created]), Err), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_line_of_the_same_import_is_named() {
    let table = Table::new().await;
    let import = import_id();
    table.import(&keys(import, &["A"])).await;
    let second = keys(import, &["X", "A"]);
    assert_eq!(table.import(&second).await, [ImportOutcome::Created, ImportOutcome::DuplicateOfLine(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_that_race_create_each_key_once() {
    let table = Table::new().await;
    let names: Vec<String> = (0..25).map(|n| format!("RACE-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let imports: Vec<_> = (0..4).map(|_| keys(import_id(), &names)).collect();
    let limit = AdaptiveLimit::default();
    let running = imports.iter().map(|keys| table.store.import(keys, &limit));
    let outcomes: Vec<_> =
        futures_util::future::join_all(running).await.into_iter().map(Result::unwrap).collect();
    for at in 0..25 {
        let created = outcomes.iter().filter(|outcomes| outcomes[at] == ImportOutcome::Created).count();
        assert_eq!(created, 1, "{}", names[at]);
    }
}
