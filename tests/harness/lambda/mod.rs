//! Runs a function's binary like Lambda, with a Lambda Runtime API (AWS Lambda Developer Guide, "Using the
//! Lambda runtime API for custom runtimes").

mod check;
mod event;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) use self::check::binary_of;
pub use self::check::{check_binary, check_log, check_queue_binary, check_scheduled_binary};
pub(crate) use self::event::request_event;
pub use self::event::{answered, form_event, sample_event};
use crate::{Shop, function_resource, functions};

/// The longest time of a response on the slowest machine.
const INVOCATION_WITHIN: Duration = Duration::from_mins(1);

/// The result of an event: the function's response, or the error it reports.
pub type Outcome = Result<Value, Value>;

/// A running environment of a function.
#[derive(Debug)]
pub struct LambdaFunction {
    child: Child,
    events: mpsc::UnboundedSender<(Value, oneshot::Sender<Outcome>)>,
    server: JoinHandle<()>,
    started: Instant,
    first_poll: watch::Receiver<Option<Instant>>,
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

struct RuntimeApi {
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<(Value, oneshot::Sender<Outcome>)>>,
    waiting: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    invocations: AtomicU64,
    first_poll: watch::Sender<Option<Instant>>,
}

/// Builds a package for deployment and returns the path of its binary.
///
/// # Panics
/// If the build fails.
#[must_use]
pub fn release_binary(name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let status =
        Command::new(cargo).args(["build", "--release", "--locked", "-p", name]).current_dir(root).status();
    assert!(status.unwrap().success(), "{name} does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("release").join(name)
}

impl LambdaFunction {
    /// Starts an environment for `shop`.
    ///
    /// # Panics
    /// If the binary does not start.
    pub async fn start(binary: &FilePath, shop: &Shop) -> Self {
        Self::start_with(binary, shop, &[]).await
    }

    /// Starts an environment for `shop`. `variables` add to the default ones or replace them.
    ///
    /// # Panics
    /// If the binary does not start.
    pub async fn start_with(binary: &FilePath, shop: &Shop, variables: &[(&str, &str)]) -> Self {
        let (events, queue) = mpsc::unbounded_channel();
        let (polled, first_poll) = watch::channel(None);
        let api = RuntimeApi {
            queue: tokio::sync::Mutex::new(queue),
            waiting: Mutex::default(),
            invocations: AtomicU64::new(0),
            first_poll: polled,
        };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(Arc::new(api));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        // The path tells the proxies which function calls, so that they can check its role.
        let function = functions().find(|name| {
            let folder = binary.parent().and_then(FilePath::file_name);
            [binary.file_name(), folder]
                .into_iter()
                .flatten()
                .any(|called| called == *name || called == function_resource(name).as_str())
        });
        let at = |url: String| format!("{url}/{}", function.unwrap_or_default());
        let started = Instant::now();
        let mut child = Command::new(binary)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "a-tests"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_REGION", "eu-central-1"),
                ("AWS_ACCESS_KEY_ID", "local"),
                ("AWS_SECRET_ACCESS_KEY", "local"),
                ("AWS_SESSION_TOKEN", "local"),
                ("AWS_ENDPOINT_URL_DYNAMODB", &at(shop.dynamodb.url())),
                // This endpoint is for KMS, which has no variable of its own here.
                ("AWS_ENDPOINT_URL", &at(shop.kms.url())),
                ("AWS_ENDPOINT_URL_SQS", &at(shop.sqs.url())),
                ("KEYPOOL_QUEUE", &shop.embedded_sqs().queue_url()),
                ("KEYPOOL_METRICS_NAMESPACE", "a-tests"),
                ("KEYPOOL_TABLE", keypool_local::TABLE),
                ("KEYPOOL_SIGNING_KEY", keypool_local::demo::GLOBAL_SIGNING_KEY),
            ])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stdout, gathered) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let mut log = gathered.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, events, server, started, first_poll, log, reader: Some(reader) }
    }

    /// The id of the process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Returns the time from the start of the process to its first poll for an event.
    ///
    /// # Panics
    /// If the function never polls.
    pub async fn first_poll(&self) -> Duration {
        let polled = *self.first_poll.clone().wait_for(Option::is_some).await.unwrap();
        polled.unwrap().duration_since(self.started)
    }

    /// Returns the CPU time of all threads so far (`proc_pid_schedstat(5)`, in nanoseconds). The ticks of
    /// `stat` are 10 ms, longer than a start.
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let on_cpu_ns = |task: std::io::Result<std::fs::DirEntry>| -> u64 {
            let statistics = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            statistics.split(' ').next().unwrap().parse().unwrap()
        };
        Duration::from_nanos(tasks.map(on_cpu_ns).sum())
    }

    /// Returns the peak memory so far, in KiB (`proc_pid_status(5)`, `VmHWM`).
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends an event to the function and waits for the result.
    ///
    /// # Panics
    /// If the process ends or takes too long.
    pub async fn invoke(&self, event: Value) -> Outcome {
        let (say, said) = oneshot::channel();
        self.events.send((event, say)).unwrap();
        let said = tokio::time::timeout(INVOCATION_WITHIN, said).await;
        said.expect("the function responds in time").unwrap()
    }

    /// Freezes the environment, like Lambda between events.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Thaws the environment.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends the environment with SIGTERM, and returns its log.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn terminate(&mut self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status, self.log.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for LambdaFunction {
    fn drop(&mut self) {
        self.server.abort();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> Response {
    api.first_poll.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert_with(Instant::now);
        is_first
    });
    let Some((event, say)) = api.queue.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let id = api.invocations.fetch_add(1, Ordering::Relaxed).to_string();
    api.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), say);
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", "4102444800000".to_owned()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:0:function:f".to_owned()),
        ("lambda-runtime-trace-id", "Root=1-0-0".to_owned()),
    ];
    (headers, event.to_string()).into_response()
}

async fn response(State(api): State<Arc<RuntimeApi>>, Path(id): Path<String>, body: String) -> StatusCode {
    settle(&api, &id, Ok(serde_json::from_str(&body).unwrap()))
}

async fn error(State(api): State<Arc<RuntimeApi>>, Path(id): Path<String>, body: String) -> StatusCode {
    settle(&api, &id, Err(serde_json::from_str(&body).unwrap()))
}

fn settle(api: &RuntimeApi, id: &str, outcome: Outcome) -> StatusCode {
    let say = api.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    let heard = say.is_some_and(|say| say.send(outcome).is_ok());
    if heard { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST }
}
