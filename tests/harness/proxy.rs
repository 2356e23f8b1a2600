use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

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

/// Stands between the SDK clients and an embedded service.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    state: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<AwsCall>,
    under_way: usize,
    silent: bool,
}

impl Shared {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Shared {
            upstream,
            client: reqwest::Client::new(),
            inner: Mutex::new(Inner::default()),
        });
        let router = Router::new().fallback(forward).with_state(Arc::clone(&state));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state, task }
    }

    /// Where the clients find it.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// The calls since the last time they were taken, in the order they began.
    #[must_use]
    pub fn take_calls(&self) -> Vec<AwsCall> {
        std::mem::take(&mut self.state.inner().calls)
    }

    /// The names of the calls since the last time they were taken.
    #[must_use]
    pub fn take_operations(&self) -> Vec<String> {
        self.take_calls().into_iter().map(|call| call.operation).collect()
    }

    /// From now on the service takes requests and does not answer.
    pub fn fall_silent(&self) {
        self.state.inner().silent = true;
    }

    /// From now on nobody listens at the service's port.
    pub async fn hang_up(&self) {
        self.task.abort();
        // The port is free once the task is gone.
        while !self.task.is_finished() {
            tokio::task::yield_now().await;
        }
        // Connections outlive the listener.
        self.state.inner().silent = true;
    }
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let operation = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = operation.and_then(|target| target.split('.').nth(1)).unwrap_or("?").to_owned();
    let place = {
        let mut inner = shared.inner();
        let overlapping = inner.under_way;
        inner.under_way += 1;
        inner.calls.push(AwsCall { operation, table_units: 0.0, index_units: 0.0, overlapping });
        inner.calls.len() - 1
    };
    let silent = shared.inner().silent;
    if silent {
        std::future::pending::<()>().await;
    }
    let body = to_bytes(body, usize::MAX).await.unwrap();
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
    let mut answer = Response::new(Body::from(response.1));
    *answer.status_mut() = response.0;
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
) -> (StatusCode, bytes::Bytes, Option<(f64, f64)>) {
    headers.remove("host");
    headers.remove("content-length");
    let sent = shared.client.post(&shared.upstream).headers(headers).body(body).send().await;
    let Ok(response) = sent else { return (StatusCode::BAD_GATEWAY, bytes::Bytes::new(), None) };
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
