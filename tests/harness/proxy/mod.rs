mod answer;
mod call;
mod fault;
mod forward;
mod memory;
mod pictures;

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
use self::memory::Memory;
use self::pictures::Pictures;
use crate::privileges::Privilege;
use crate::weather::{Deaths, Weather};

/// Stands between the SDK clients and an embedded service.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Shared,
    /// A runtime of its own: when it ends, so do the listener and all connections, at once.
    runtime: Mutex<Option<Runtime>>,
}

/// What a request to the proxy needs.
#[derive(Debug, Clone)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    inner: Arc<Mutex<Inner>>,
    deaths: Deaths,
    /// For stale reads of the index.
    pictures: Arc<Pictures>,
    /// For other stale reads.
    memory: Arc<Memory>,
    /// Tells of each call that has come in.
    arrivals: Arc<Notify>,
    /// How many connections were accepted.
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
    weather: Option<Arc<dyn Weather>>,
    /// How many calls each buyer's environments have made.
    by_buyer: HashMap<u32, u64>,
    /// How many calls of each operation each environment has made.
    by_operation: HashMap<(u32, String), u64>,
}

/// A call that was kept back.
#[derive(Debug)]
struct Postponed {
    request: Request,
    /// It is passed on when this buyer's environments have made that many calls.
    due: Option<(u32, u64)>,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Stands before the service at `upstream`; `deaths` tells of environments that are gone.
    pub(crate) fn start(upstream: String, deaths: Deaths) -> Self {
        let shared = Shared {
            upstream,
            client: reqwest::Client::new(),
            inner: Arc::default(),
            deaths,
            pictures: Arc::default(),
            memory: Arc::default(),
            arrivals: Arc::default(),
            connections: Arc::default(),
        };
        let (address, runtime) = serve(SocketAddr::from(([127, 0, 0, 1], 0)), &shared);
        Self { address, shared, runtime: Mutex::new(Some(runtime)) }
    }

    /// Where the clients find it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nobody listens at the service's port, and all connections are cut.
    pub fn hang_up(&self) {
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }

    /// Cuts all connections, as the other side does while an environment is frozen, and goes on listening.
    ///
    /// # Panics
    /// If the port is not to be had again.
    pub fn cut_connections(&self) {
        self.hang_up();
        let shared = Shared { client: reqwest::Client::new(), ..self.shared.clone() };
        let (_, runtime) = serve(self.address, &shared);
        *self.runtime.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime);
    }

    /// The calls since the last time they were taken, in the order they began.
    #[must_use]
    pub fn take_calls(&self) -> Vec<AwsCall> {
        std::mem::take(&mut self.shared.inner().calls)
    }

    /// How many connections were opened to it so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until a call of an operation is among the calls; `GET` is the opening of a connection.
    pub async fn has_come(&self, operation: &str) {
        self.shared.has_come(operation).await;
    }

    /// The names of the calls since the last time they were taken.
    #[must_use]
    pub fn take_operations(&self) -> Vec<String> {
        self.take_calls().into_iter().map(|call| call.operation).collect()
    }

    /// What the functions have needed of their roles so far.
    #[must_use]
    pub fn privileges_used(&self) -> Vec<Privilege> {
        self.shared.inner().privileges.iter().cloned().collect()
    }

    /// What happens to the next calls of an operation, one fault each; those after pass.
    pub fn disturb(&self, operation: &str, faults: impl IntoIterator<Item = Fault>) {
        self.shared.inner().faults.entry(operation.to_owned()).or_default().extend(faults);
    }

    /// From now on the weather decides what happens to the calls of environments that have a number; none: they pass.
    pub fn set_weather(&self, weather: Option<Arc<dyn Weather>>) {
        self.shared.inner().weather = weather;
    }

    /// Passes on what was postponed, in the order it came, and says how the service answered.
    pub async fn deliver(&self) -> Vec<StatusCode> {
        let postponed = std::mem::take(&mut self.shared.inner().postponed);
        // Its own connections belong to another runtime.
        let shared = Shared { client: reqwest::Client::new(), ..self.shared.clone() };
        let mut answers = Vec::new();
        for Postponed { request, .. } in postponed {
            answers.push(send(&shared, request).await.0);
        }
        answers
    }

    /// Whether every fault that was asked for has happened.
    #[must_use]
    pub fn is_undisturbed(&self) -> bool {
        self.shared.inner().faults.values().all(VecDeque::is_empty)
    }

    /// Takes back all faults that were asked for and have not happened.
    pub fn calm(&self) {
        self.shared.inner().faults.clear();
    }

    /// From now on the service takes requests and does not answer.
    pub fn fall_silent(&self) {
        self.shared.inner().silent = true;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Listens, on a runtime of its own.
fn serve(address: SocketAddr, shared: &Shared) -> (SocketAddr, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let shared = shared.clone();
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
        let connections = Arc::clone(&shared.connections);
        let listener = listener.tap_io(move |_| {
            connections.fetch_add(1, Ordering::Relaxed);
        });
        axum::serve(listener, Router::new().fallback(forward).with_state(shared)).await.unwrap();
    });
    (wait.recv().unwrap(), runtime)
}
