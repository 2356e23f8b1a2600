mod answer;
mod call;
mod fault;
mod forward;
mod index_snapshots;
mod table_snapshots;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use axum::Router;
use axum::http::StatusCode;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

pub use self::call::AwsCall;
use self::call::Request;
pub use self::fault::Fault;
use self::forward::{forward, send};
use self::index_snapshots::IndexSnapshots;
use self::table_snapshots::TableSnapshots;
use crate::faults::{FaultPlan, KilledEnvironments};
use crate::privileges::Privilege;

/// A proxy between the SDK clients and an embedded service.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Shared,
    /// A runtime of its own, whose end closes the listener and all connections at once.
    runtime: Mutex<Option<Runtime>>,
}

/// The state for serving requests.
#[derive(Debug, Clone)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    inner: Arc<Mutex<Inner>>,
    deaths: KilledEnvironments,
    /// The source of stale reads of the index.
    index_snapshots: Arc<IndexSnapshots>,
    /// The source of other stale reads.
    table_snapshots: Arc<TableSnapshots>,
    /// Notifies waiters of each call that arrives.
    arrivals: Arc<Notify>,
    /// The number of accepted connections.
    connections: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<AwsCall>,
    privileges: BTreeSet<Privilege>,
    under_way: usize,
    silent: bool,
    faults: HashMap<String, VecDeque<Fault>>,
    postponed: Vec<Postponed>,
    fault_plan: Option<Arc<dyn FaultPlan>>,
    /// The number of calls of each buyer's environments.
    by_buyer: HashMap<u32, u64>,
    /// The number of calls by environment and operation.
    by_operation: HashMap<(u32, String), u64>,
}

/// A held call.
#[derive(Debug)]
struct Postponed {
    request: Request,
    /// The buyer, and the number of his calls after which the proxy forwards this one.
    due: Option<(u32, u64)>,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Starts a proxy for the service at `upstream`. `deaths` knows the dead environments.
    pub(crate) fn start(upstream: String, deaths: KilledEnvironments) -> Self {
        let shared = Shared {
            upstream,
            client: reqwest::Client::new(),
            inner: Arc::default(),
            deaths,
            index_snapshots: Arc::default(),
            table_snapshots: Arc::default(),
            arrivals: Arc::default(),
            connections: Arc::default(),
        };
        let (address, runtime) = serve(SocketAddr::from(([127, 0, 0, 1], 0)), &shared);
        Self { address, shared, runtime: Mutex::new(Some(runtime)) }
    }

    /// The URL for the clients.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes the service's port from now on, and cuts all connections.
    pub fn hang_up(&self) {
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }

    /// Cuts all connections, like a service while an environment is frozen, and keeps listening.
    ///
    /// # Panics
    /// If the port cannot be bound again.
    pub fn cut_connections(&self) {
        self.hang_up();
        let shared = Shared { client: reqwest::Client::new(), ..self.shared.clone() };
        let (_, runtime) = serve(self.address, &shared);
        *self.runtime.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime);
    }

    /// Takes the calls since the last time, in the order they began.
    #[must_use]
    pub fn take_calls(&self) -> Vec<AwsCall> {
        std::mem::take(&mut self.shared.inner().calls)
    }

    /// Returns the number of connections opened so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until a call of an operation is among the calls. `GET` stands for an opened connection.
    pub async fn has_come(&self, operation: &str) {
        self.shared.has_come(operation).await;
    }

    /// Takes the operations of the calls since the last time.
    #[must_use]
    pub fn take_operations(&self) -> Vec<String> {
        self.take_calls().into_iter().map(|call| call.operation).collect()
    }

    /// Returns the privileges that the functions used so far.
    #[must_use]
    pub fn privileges_used(&self) -> Vec<Privilege> {
        self.shared.inner().privileges.iter().cloned().collect()
    }

    /// Sets the faults of the next calls of an operation, one each. Later calls pass.
    pub fn disturb(&self, operation: &str, faults: impl IntoIterator<Item = Fault>) {
        self.shared.inner().faults.entry(operation.to_owned()).or_default().extend(faults);
    }

    /// Sets the plan of faults for the calls of numbered environments from now on. Without a plan they pass.
    pub fn set_fault_plan(&self, fault_plan: Option<Arc<dyn FaultPlan>>) {
        self.shared.inner().fault_plan = fault_plan;
    }

    /// Forwards the held calls in the order of arrival. Returns the service's statuses.
    pub async fn deliver(&self) -> Vec<StatusCode> {
        let postponed = std::mem::take(&mut self.shared.inner().postponed);
        // The proxy's own connections belong to another runtime.
        let shared = Shared { client: reqwest::Client::new(), ..self.shared.clone() };
        let mut answers = Vec::new();
        for Postponed { request, .. } in postponed {
            answers.push(send(&shared, request).await.0);
        }
        answers
    }

    /// True if every scripted fault has happened.
    #[must_use]
    pub fn is_undisturbed(&self) -> bool {
        self.shared.inner().faults.values().all(VecDeque::is_empty)
    }

    /// Removes all scripted faults that have not happened.
    pub fn calm(&self) {
        self.shared.inner().faults.clear();
    }

    /// Accepts requests from now on without responding.
    pub fn fall_silent(&self) {
        self.shared.inner().silent = true;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Listens on a runtime of its own.
fn serve(address: SocketAddr, shared: &Shared) -> (SocketAddr, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let shared = shared.clone();
    let (bound, wait) = mpsc::channel();
    runtime.spawn(async move {
        // The old connections may take a moment to close.
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
                Err(error) => panic!("cannot bind {address}: {error}"),
            }
        };
        bound.send(listener.local_addr().unwrap()).unwrap();
        let connections = Arc::clone(&shared.connections);
        let listener = listener.tap_io(move |_| {
            connections.fetch_add(1, Ordering::Relaxed);
        });
        axum::serve(listener, Router::new().fallback(forward).with_state(shared)).await.unwrap();
    });
    (wait.recv().unwrap(), runtime)
}
