//! Sends the largest requests to the release binary of each endpoint, under the CPU quota that Lambda gives
//! for an amount of memory. The embedded services are behind TLS. Every response must arrive before a shop
//! gives up.
//!
//! `cargo bench -p keypool-tests --bench cpu` builds the binaries (some minutes) and prints tables in
//! Markdown. It exits with 1 if a response is late with the template's memory, and with 3 if it cannot set a
//! quota.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a measurement")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use keypool_domain::Endpoint;
use keypool_tests::lambda::{LambdaFunction, answered, form_event, release_binary};
use keypool_tests::{API_KEY, Certificate, CpuQuota, Shop, TlsFront, template};

/// The time after which a shop gives up (WordPress's default).
const SHOP_WAITS: Duration = Duration::from_secs(5);

/// The number of times each request is sent, to a cold environment each time. Odd, so that there is a median.
const RUNS: usize = 3;

/// The largest number of keys in one request.
const KEYS: usize = 1_000;

/// The number of sales of one key. Odd, so that there is a median.
const SALES: usize = 15;

/// The embedded services behind TLS.
struct Aws {
    shop: Shop,
    certificate: Certificate,
    dynamodb: TlsFront,
    kms: TlsFront,
}

impl Aws {
    async fn start() -> Self {
        let shop = Shop::open().await;
        let certificate = Certificate::of_this_machine();
        let [dynamodb, kms] = shop.services();
        let dynamodb = TlsFront::before(&dynamodb, &certificate).await;
        let kms = TlsFront::before(&kms, &certificate).await;
        Self { shop, certificate, dynamodb, kms }
    }

    /// Starts an environment. As on Lambda, it has a whole CPU until it polls for its first event.
    async fn environment(&self, binary: &Path) -> LambdaFunction {
        let file = self.certificate.file();
        let variables = [
            ("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.url()),
            ("AWS_ENDPOINT_URL_KMS", self.kms.url()),
            ("SSL_CERT_FILE", file.to_str().unwrap()),
        ];
        let function = LambdaFunction::start_with(binary, &self.shop, &variables).await;
        function.first_poll().await;
        function
    }

    fn handshakes(&self) -> usize {
        self.dynamodb.handshakes() + self.kms.handshakes()
    }
}

/// The time and handshakes of one request.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
    handshakes: usize,
}

/// A request of [`KEYS`] keys.
#[derive(Clone, Copy)]
struct Request {
    name: &'static str,
    endpoint: Endpoint,
    parameters: &'static [(&'static str, &'static str)],
    code: u64,
}

const REQUESTS: [Request; 4] = [
    Request {
        name: "create-license-keys",
        endpoint: Endpoint::CreateLicenseKeys,
        parameters: &[
            ("product_id", "3"),
            ("activation_limit", "1"),
            ("validity", "365"),
            ("status", "available"),
        ],
        code: 900,
    },
    Request {
        name: "generate",
        endpoint: Endpoint::Generate,
        parameters: &[("generator_id", "1"), ("quantity", "1000")],
        code: 815,
    },
    Request {
        name: "random-assign-license-keys, from stock",
        endpoint: Endpoint::RandomAssignLicenseKeys,
        parameters: &[("product_id", "1"), ("quantity", "1000")],
        code: 803,
    },
    Request {
        name: "random-assign-license-keys, made for it",
        endpoint: Endpoint::RandomAssignLicenseKeys,
        parameters: &[("product_id", "2"), ("quantity", "1000"), ("generate", "1")],
        code: 803,
    },
];

#[tokio::main]
async fn main() -> ExitCode {
    let default_mb = template()["Parameters"]["MemorySize"]["Default"].as_u64().unwrap();
    let memories: Vec<u64> = [128, 256, default_mb, 1_769].into_iter().collect();
    for memory_mb in &memories {
        if let Err(error) = CpuQuota::of_memory(*memory_mb) {
            eprintln!(
                "a CPU quota cannot be set here ({error}): run as root on a machine with control groups"
            );
            return ExitCode::from(3);
        }
    }
    let binary = |endpoint: Endpoint| release_binary(endpoint.name());
    let binaries: Vec<PathBuf> = REQUESTS.iter().map(|request| binary(request.endpoint)).collect();
    let aws = Aws::start().await;
    // Three runs at four amounts of memory.
    aws.shop.stock_in_bulk("1".parse().unwrap(), 2 * KEYS * RUNS * memories.len()).await;

    println!(
        "| {KEYS} keys | {} |",
        memories.iter().map(|mb| format!("{mb} MB")).collect::<Vec<_>>().join(" | ")
    );
    println!("|---|{}", "---|".repeat(memories.len()));
    let mut in_time = true;
    for (request, binary) in REQUESTS.iter().zip(&binaries) {
        let mut cells = Vec::new();
        for memory_mb in &memories {
            let mut runs = Vec::new();
            for run in 0..RUNS {
                runs.push(of_thousand(&aws, binary, *request, *memory_mb, run).await);
            }
            let answered = runs.iter().flatten().filter(|took| took.wall < SHOP_WAITS).count();
            in_time &= answered == RUNS || *memory_mb != default_mb;
            cells.push(match median(runs.into_iter().flatten().collect()) {
                Some(took) if answered == RUNS => {
                    format!("{:.2} s, CPU {:.0} ms", took.wall.as_secs_f64(), ms(took.cpu))
                }
                _ => format!("{answered} of {RUNS} in time"),
            });
        }
        println!("| {} | {} |", request.name, cells.join(" | "));
    }
    of_one_key(&aws, &binaries[2], default_mb).await;
    if in_time { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Sends a request of a thousand keys to a cold environment. Returns `None` if the response has another code.
async fn of_thousand(aws: &Aws, binary: &Path, request: Request, memory_mb: u64, run: usize) -> Option<Took> {
    let function = aws.environment(binary).await;
    let quota = CpuQuota::of_memory(memory_mb).unwrap();
    quota.hold(function.process()).unwrap();
    let keys: Vec<String> = (0..KEYS).map(|n| format!("CPU-{memory_mb}-{run}-{n:04}-F3A9-77C1")).collect();
    let keys = serde_json::to_string(&keys).unwrap();
    let mut parameters =
        vec![("api_key", API_KEY), ("owner_name", "Test User"), ("owner_email", "test@example.com")];
    parameters.extend(request.parameters);
    if request.endpoint == Endpoint::CreateLicenseKeys {
        parameters.push(("license_keys", &keys));
    }
    let (code, took) = invoke(aws, &function, request.endpoint, &parameters).await;
    drop(function);
    (code == request.code).then_some(took)
}

async fn invoke(
    aws: &Aws,
    function: &LambdaFunction,
    endpoint: Endpoint,
    parameters: &[(&str, &str)],
) -> (u64, Took) {
    let (cpu, handshakes, began) = (function.cpu(), aws.handshakes(), Instant::now());
    let outcome = function.invoke(form_event(endpoint, parameters)).await;
    let took = Took {
        wall: began.elapsed(),
        cpu: function.cpu().saturating_sub(cpu),
        handshakes: aws.handshakes() - handshakes,
    };
    (answered(&outcome).1, took)
}

/// Measures a sale of one key, first with open connections, then after the services have closed them.
async fn of_one_key(aws: &Aws, binary: &Path, memory_mb: u64) {
    let function = aws.environment(binary).await;
    let quota = CpuQuota::of_memory(memory_mb).unwrap();
    quota.hold(function.process()).unwrap();
    let order = [("api_key", API_KEY), ("product_id", "1"), ("quantity", "1")];
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for n in 0..2 * SALES + 2 {
        let is_frozen = n % 2 == 1;
        if is_frozen {
            function.freeze();
            aws.dynamodb.close_connections();
            aws.kms.close_connections();
            function.thaw();
        }
        let (code, took) = invoke(aws, &function, Endpoint::RandomAssignLicenseKeys, &order).await;
        assert_eq!(code, 803);
        // The first two fill the caches.
        if n > 1 {
            if is_frozen { closed.push(took) } else { open.push(took) }
        }
    }
    drop(function);
    println!("\n| one key, {memory_mb} MB | wall | CPU | handshakes |\n|---|---|---|---|");
    for (name, took) in [("connections open", open), ("connections closed while it was frozen", closed)] {
        let took = median(took).unwrap();
        println!("| {name} | {:.1} ms | {:.1} ms | {} |", ms(took.wall), ms(took.cpu), took.handshakes);
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Returns the median by wall time.
fn median(mut took: Vec<Took>) -> Option<Took> {
    took.sort_by_key(|took| took.wall);
    took.get(took.len() / 2).copied()
}
