use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::privileges::Privilege;

/// One call of an AWS operation, as it passed a [`Proxy`].
#[derive(Debug, Clone, PartialEq)]
pub struct AwsCall {
    /// The operation, like `UpdateItem`.
    pub operation: String,
    /// The capacity units that DynamoDB says it took from the table.
    pub table_units: f64,
    /// The capacity units that DynamoDB says it took from the index.
    pub index_units: f64,
    /// How many other calls were under way when this one began.
    pub overlapping: usize,
}

/// What a [`Proxy`] does with a call instead of passing it on and the answer back.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing: passes this one on.
    Pass,
    /// Passes the call on, lets the service do it, and cuts the connection in the middle of the answer.
    LoseResponse,
    /// Keeps the call back, until [`Proxy::deliver`], and cuts the connection.
    Postpone,
    /// Answers with this error of the service, and does not pass the call on.
    Error(Value),
    /// Answers a `BatchGetItem` that none of the keys were read.
    LeaveUnread,
}

impl Fault {
    /// An error of DynamoDB or KMS by its name.
    #[must_use]
    pub fn error(name: &str) -> Self {
        Self::Error(json!({"__type": format!("com.amazonaws#{name}"), "message": "a test's"}))
    }

    /// A transaction that was cancelled for these reasons, one for each write.
    #[must_use]
    pub fn cancelled(reasons: &[&str]) -> Self {
        let reasons: Vec<Value> = reasons.iter().map(|code| json!({"Code": code})).collect();
        Self::Error(json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "a test's",
            "CancellationReasons": reasons,
        }))
    }
}

/// Stands between the SDK clients and an embedded service.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    upstream: String,
    inner: Arc<Mutex<Inner>>,
    /// A runtime of its own: when it ends, so do the listener and all connections, at once.
    runtime: Mutex<Option<Runtime>>,
}

/// What a request to the proxy needs.
#[derive(Debug, Clone)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<AwsCall>,
    privileges: BTreeSet<Privilege>,
    under_way: usize,
    silent: bool,
    faults: HashMap<String, VecDeque<Fault>>,
    postponed: Vec<(HeaderMap, Vec<u8>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Proxy {
    pub(crate) fn start(upstream: String) -> Self {
        let inner = Arc::new(Mutex::new(Inner::default()));
        let (address, runtime) = serve(SocketAddr::from(([127, 0, 0, 1], 0)), upstream.clone(), &inner);
        Self { address, upstream, inner, runtime: Mutex::new(Some(runtime)) }
    }

    /// Where the clients find it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nobody listens at the service's port, and all connections are cut.
    pub fn hang_up(&self) {
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }

    /// Cuts all connections, as the other side does while an environment is frozen, and goes on listening.
    ///
    /// # Panics
    /// If the port is not to be had again.
    pub fn cut_connections(&self) {
        self.hang_up();
        let (_, runtime) = serve(self.address, self.upstream.clone(), &self.inner);
        *lock(&self.runtime) = Some(runtime);
    }

    /// The calls since the last time they were taken, in the order they began.
    #[must_use]
    pub fn take_calls(&self) -> Vec<AwsCall> {
        std::mem::take(&mut lock(&self.inner).calls)
    }

    /// The names of the calls since the last time they were taken.
    #[must_use]
    pub fn take_operations(&self) -> Vec<String> {
        self.take_calls().into_iter().map(|call| call.operation).collect()
    }

    /// What the functions have needed of their roles so far.
    #[must_use]
    pub fn privileges_used(&self) -> Vec<Privilege> {
        lock(&self.inner).privileges.iter().cloned().collect()
    }

    /// What happens to the next calls of an operation, one fault each; those after pass.
    pub fn disturb(&self, operation: &str, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.inner).faults.entry(operation.to_owned()).or_default().extend(faults);
    }

    /// Passes on what was postponed, in the order it came, and says how the service answered.
    pub async fn deliver(&self) -> Vec<StatusCode> {
        let postponed = std::mem::take(&mut lock(&self.inner).postponed);
        let shared = Shared {
            upstream: self.upstream.clone(),
            client: reqwest::Client::new(),
            inner: Arc::clone(&self.inner),
        };
        let mut answers = Vec::new();
        for (headers, body) in postponed {
            answers.push(send(&shared, headers, body).await.0);
        }
        answers
    }

    /// Whether every fault that was asked for has happened.
    #[must_use]
    pub fn is_undisturbed(&self) -> bool {
        lock(&self.inner).faults.values().all(VecDeque::is_empty)
    }

    /// From now on the service takes requests and does not answer.
    pub fn fall_silent(&self) {
        lock(&self.inner).silent = true;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Listens, on a runtime of its own.
fn serve(address: SocketAddr, upstream: String, inner: &Arc<Mutex<Inner>>) -> (SocketAddr, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let shared = Shared { upstream, client: reqwest::Client::new(), inner: Arc::clone(inner) };
    let (bound, wait) = mpsc::channel();
    runtime.spawn(async move {
        // The connections of before may take a moment to be gone.
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
                Err(error) => panic!("{address} is not to be had: {error}"),
            }
        };
        bound.send(listener.local_addr().unwrap()).unwrap();
        axum::serve(listener, Router::new().fallback(forward).with_state(shared)).await.unwrap();
    });
    (wait.recv().unwrap(), runtime)
}

async fn forward(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let operation = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = operation.and_then(|target| target.split('.').nth(1)).unwrap_or("?").to_owned();
    let (place, fault) = {
        let mut inner = shared.inner();
        let fault = inner.faults.get_mut(&operation).and_then(VecDeque::pop_front).unwrap_or(Fault::Pass);
        let overlapping = inner.under_way;
        inner.under_way += 1;
        inner.calls.push(AwsCall {
            operation: operation.clone(),
            table_units: 0.0,
            index_units: 0.0,
            overlapping,
        });
        (inner.calls.len() - 1, fault)
    };
    let silent = shared.inner().silent;
    if silent {
        std::future::pending::<()>().await;
    }
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let function = parts.uri.path().trim_matches('/');
    if !function.is_empty() && function != "gateway" {
        let privileges = Privilege::of_call(function, &operation, &serde_json::from_slice(&body).unwrap());
        shared.inner().privileges.extend(privileges);
    }
    match &fault {
        Fault::Error(error) => {
            shared.inner().under_way -= 1;
            return answer(StatusCode::BAD_REQUEST, Body::from(error.to_string()));
        }
        Fault::LeaveUnread => {
            shared.inner().under_way -= 1;
            let request: Value = serde_json::from_slice(&body).unwrap();
            let unread = json!({"Responses": {}, "UnprocessedKeys": request["RequestItems"]});
            return answer(StatusCode::OK, Body::from(unread.to_string()));
        }
        Fault::Postpone => {
            let mut inner = shared.inner();
            inner.under_way -= 1;
            inner.postponed.push((parts.headers.clone(), body.to_vec()));
            return answer(StatusCode::OK, cut_off());
        }
        Fault::Pass | Fault::LoseResponse => {}
    }
    let is_dynamodb = parts.headers["x-amz-target"].to_str().unwrap().starts_with("DynamoDB");
    let body = if is_dynamodb { asking_for_units(&body) } else { body.to_vec() };
    let response = send(&shared, parts.headers, body).await;
    let mut inner = shared.inner();
    inner.under_way -= 1;
    if let Some((table_units, index_units)) = response.2
        && let Some(call) = inner.calls.get_mut(place)
    {
        (call.table_units, call.index_units) = (table_units, index_units);
    }
    drop(inner);
    if matches!(fault, Fault::LoseResponse) {
        return answer(response.0, cut_off());
    }
    answer(response.0, Body::from(response.1))
}

/// A body that does not come: the head goes out, then the connection is cut.
fn cut_off() -> Body {
    Body::from_stream(stream::once(async {
        Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset))
    }))
}

fn answer(status: StatusCode, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", "application/x-amz-json-1.0".parse().unwrap());
    answer
}

/// The request, and the units it shall say it took.
fn asking_for_units(body: &[u8]) -> Vec<u8> {
    let mut request: Value = serde_json::from_slice(body).unwrap();
    request["ReturnConsumedCapacity"] = json!("INDEXES");
    let administrative = request.get("AttributeDefinitions").is_some()
        || request.get("TimeToLiveSpecification").is_some()
        || request.as_object().unwrap().len() == 2 && request.get("TableName").is_some();
    if administrative { body.to_vec() } else { request.to_string().into_bytes() }
}

async fn send(
    shared: &Shared,
    mut headers: HeaderMap,
    body: Vec<u8>,
) -> (StatusCode, Bytes, Option<(f64, f64)>) {
    headers.remove("host");
    headers.remove("content-length");
    let sent = shared.client.post(&shared.upstream).headers(headers).body(body).send().await;
    let Ok(response) = sent else { return (StatusCode::BAD_GATEWAY, Bytes::new(), None) };
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let units =
        serde_json::from_slice::<Value>(&body).ok().map(|answer| consumed(&answer["ConsumedCapacity"]));
    (status, body, units)
}

/// Units of the table and of its indexes, added up over what one answer reports.
fn consumed(report: &Value) -> (f64, f64) {
    match report {
        Value::Array(reports) => reports.iter().map(consumed).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1)),
        Value::Object(_) => {
            let units = |value: &Value| value["CapacityUnits"].as_f64().unwrap_or(0.0);
            let indexes = report["GlobalSecondaryIndexes"].as_object();
            (units(&report["Table"]), indexes.into_iter().flatten().map(|(_, index)| units(index)).sum())
        }
        _ => (0.0, 0.0),
    }
}
