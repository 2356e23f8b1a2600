//! A function's binary, run as Lambda runs it: against a Lambda Runtime API (AWS Lambda Developer Guide, "Using the
//! Lambda runtime API for custom runtimes").

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::Path as FilePath;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keypool_domain::Endpoint;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::{API_KEY, Shop, function_resource};

/// Longer than any answer takes, on the slowest of machines.
const INVOCATION_WITHIN: Duration = Duration::from_mins(1);

/// What a function says to an event: its answer, or the error it reports.
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

impl LambdaFunction {
    /// Starts an environment for `shop`.
    ///
    /// # Panics
    /// If the binary does not start.
    pub async fn start(binary: &FilePath, shop: &Shop) -> Self {
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
                ("AWS_ENDPOINT_URL_DYNAMODB", &shop.dynamodb.url()),
                ("AWS_ENDPOINT_URL_KMS", &shop.kms.url()),
                ("KEYPOOL_METRICS_NAMESPACE", "a-tests"),
                ("KEYPOOL_TABLE", keypool_local::TABLE),
                ("KEYPOOL_SIGNING_KEY", keypool_local::demo::GLOBAL_SIGNING_KEY),
            ])
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

    /// How long it took from the start of the process until it first asked for an event.
    ///
    /// # Panics
    /// If it never does.
    pub async fn first_poll(&self) -> Duration {
        let polled = *self.first_poll.clone().wait_for(Option::is_some).await.unwrap();
        polled.unwrap().duration_since(self.started)
    }

    /// How much CPU its threads have used so far (`proc_pid_schedstat(5)`, in nanoseconds; `stat` counts ticks of 10 ms,
    /// which is longer than a start takes).
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

    /// The most memory it has had so far, in KiB (`proc_pid_status(5)`, `VmHWM`).
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Hands the function an event and waits for what it says.
    ///
    /// # Panics
    /// If it ends without a word.
    pub async fn invoke(&self, event: Value) -> Outcome {
        let (say, said) = oneshot::channel();
        self.events.send((event, say)).unwrap();
        let said = tokio::time::timeout(INVOCATION_WITHIN, said).await;
        said.expect("the function says something, unless its process has ended").unwrap()
    }

    /// Freezes the environment, as Lambda does between events.
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

    /// Ends the environment by SIGTERM, and gives all that it has logged.
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

/// An API Gateway HTTP API event (payload 2.0) for a function, with a body as it arrived there.
#[must_use]
pub fn event(
    endpoint: &str,
    method: &str,
    headers: &[(&str, &str)],
    body: &str,
    is_base64_encoded: bool,
) -> Value {
    let path = format!("/api/v1/{endpoint}");
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "version": "2.0",
        "routeKey": format!("POST {path}"),
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "api",
            "domainName": "api.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "api",
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7",
                "userAgent": "WordPress/6.4",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": format!("POST {path}"),
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": keypool_domain::Clock::now(&keypool_domain::SystemClock).unix_microseconds() / 1_000,
        },
        "body": body,
        "isBase64Encoded": is_base64_encoded,
    })
}

/// What a function's answer says: HTTP status and `response.code` (0 if there is none).
///
/// # Panics
/// If the function reported an error, or answered something that API Gateway would not take.
#[must_use]
pub fn answered(outcome: &Outcome) -> (u64, u64) {
    let answer = outcome.as_ref().unwrap();
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body["response"]["code"].as_u64().unwrap_or(0))
}

/// Where to look for binaries built otherwise, by `sam build` or `cargo lambda build`: in there, each function has a
/// folder of its name in the deployment template, with `bootstrap` in it.
const ENV_BINARIES: &str = "KEYPOOL_BINARIES";

/// What is true of every function's binary: `built` by cargo, unless the environment names others. It is sent the
/// sample's request, word for word, and must answer with one of `codes`; and it must write `metrics`.
///
/// # Panics
/// If it is not true.
pub async fn check_binary(built: &str, endpoint: Endpoint, codes: &[u64], metrics: &[&str]) {
    let binary = match std::env::var_os(ENV_BINARIES) {
        Some(folder) => FilePath::new(&folder).join(function_resource(endpoint)).join("bootstrap"),
        None => built.into(),
    };
    let shop = Shop::open().await;
    shop.stock(1, 99).await;
    let mut function = LambdaFunction::start(&binary, &shop).await;
    let parameters = sample_request(endpoint);
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let endpoint = endpoint.name();
    let base64 = STANDARD.encode(form(&parameters));
    let good =
        || event(endpoint, "POST", &[("content-type", "application/x-www-form-urlencoded")], &base64, true);
    let expect_good = async |function: &LambdaFunction, event: Value| {
        let (status, code) = answered(&function.invoke(event).await);
        assert!(status == 200 && codes.contains(&code), "{status} {code}");
    };

    // Every format, as API Gateway delivers it.
    expect_good(&function, good()).await;
    expect_good(&function, event(endpoint, "POST", &[], &base64, true)).await;
    let odd_case = [("Content-TYPE", "Application/JSON")];
    expect_good(&function, event(endpoint, "POST", &odd_case, &json(&parameters), false)).await;
    let multipart = [("content-type", "multipart/form-data; boundary=XX")];
    let body = STANDARD.encode(multipart_body(&parameters));
    expect_good(&function, event(endpoint, "POST", &multipart, &body, true)).await;

    // What cannot be served is answered, and the next event is served.
    let large = STANDARD.encode("x".repeat(1_048_577));
    assert_eq!(answered(&function.invoke(event(endpoint, "POST", &[], &large, true)).await), (413, 0));
    assert_eq!(answered(&function.invoke(event(endpoint, "GET", &[], "", false)).await), (405, 0));
    let unreadable = event(endpoint, "POST", &[("content-type", "application/json")], "{", false);
    assert_eq!(answered(&function.invoke(unreadable).await), (400, 0));
    assert_eq!(answered(&function.invoke(event(endpoint, "POST", &[], "", false)).await), (401, 100));

    // What is no event of API Gateway, or one with a body that is not base64, is an error of that event alone.
    for bad in [json!({}), json!({"records": []}), event(endpoint, "POST", &[], "not base64!", true)] {
        assert!(function.invoke(bad).await.is_err());
        expect_good(&function, good()).await;
    }

    // An environment is frozen between events; meanwhile the other side closes its connections.
    function.freeze();
    shop.dynamodb.cut_connections();
    shop.kms.cut_connections();
    function.thaw();
    expect_good(&function, good()).await;

    let (status, log) = function.terminate();
    assert!(!status.success(), "it has no say in its end");
    check_log(&log, metrics);
}

/// Logs are JSON and hold no API key; the metrics are there, in the embedded metric format (CloudWatch User Guide).
///
/// # Panics
/// If that is not so.
pub fn check_log(log: &str, expected: &[&str]) {
    assert!(!log.contains(API_KEY));
    let mut seen = BTreeSet::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        let Some(directives) = line["_aws"]["CloudWatchMetrics"].as_array() else { continue };
        assert!(line["_aws"]["Timestamp"].is_u64());
        for directive in directives {
            assert_eq!(directive["Namespace"], "a-tests");
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                assert!(!line[name].is_null() && !metric["Unit"].is_null(), "{line}");
                seen.insert(name.to_owned());
            }
            for dimension in directive["Dimensions"][0].as_array().unwrap() {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{line}");
            }
        }
    }
    for name in expected {
        assert!(seen.contains(*name), "{name} is not among {seen:?}");
    }
}

/// The event of an endpoint's sample, sent as a form.
#[must_use]
pub fn sample_event(endpoint: Endpoint) -> Value {
    let parameters = sample_request(endpoint);
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    form_event(endpoint, &parameters)
}

/// The event of a form.
#[must_use]
pub fn form_event(endpoint: Endpoint, parameters: &[(&str, &str)]) -> Value {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    event(endpoint.name(), "POST", &headers, &STANDARD.encode(form(parameters)), true)
}

/// The request of an endpoint's sample.
fn sample_request(endpoint: Endpoint) -> Vec<(String, String)> {
    let sample = match endpoint {
        Endpoint::CreateLicenseKeys => include_str!("../vectors/create-license-keys.json"),
        Endpoint::Generate => include_str!("../vectors/generate.json"),
        Endpoint::AssignLicenseKey => include_str!("../vectors/assign-license-key.json"),
        Endpoint::RandomAssignLicenseKeys => include_str!("../vectors/random-assign-license-keys.json"),
    };
    let sample: Value = serde_json::from_str(sample).unwrap();
    let members = sample["example_request"].as_object().unwrap().iter();
    members.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn form(parameters: &[(&str, &str)]) -> String {
    let escaped =
        |value: &str| value.replace('%', "%25").replace('+', "%2B").replace('&', "%26").replace(' ', "+");
    parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

fn json(parameters: &[(&str, &str)]) -> String {
    let members = parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    Value::from(members.collect::<serde_json::Map<_, _>>()).to_string()
}

fn multipart_body(parameters: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts: String = parameters.iter().map(part).collect();
    format!("{parts}--XX--\r\n")
}
