//! Measures the start of an environment: each function's release binary beside a Lambda that does nothing.
//! Both run on the same machine, in the same run, against the same Lambda Runtime API.
//!
//! `cargo bench -p keypool-tests --bench start` builds the binaries (some minutes) and prints a Markdown
//! table.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement may panic and prints its results"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use keypool_domain::Endpoint;
use keypool_tests::lambda::{LambdaFunction, release_binary, sample_event};
use keypool_tests::{Certificate, Shop, TlsFront};

/// The number of starts of each binary. Odd, so that there is a median.
const STARTS: usize = 15;

/// The time and the resources of one start.
#[derive(Clone, Copy)]
struct Start {
    first_poll: Duration,
    first_answer: Duration,
    tenth_answer: Duration,
    cpu: Duration,
    peak_kib: u64,
}

#[tokio::main]
async fn main() {
    let mut names = vec!["baseline"];
    names.extend(Endpoint::ALL.map(Endpoint::name));
    let binaries: Vec<PathBuf> = names.iter().map(|name| release_binary(name)).collect();
    let shop = Shop::open().await;
    let certificate = Certificate::of_this_machine();
    let [dynamodb, kms] = shop.services();
    let dynamodb = TlsFront::before(&dynamodb, &certificate).await;
    let kms = TlsFront::before(&kms, &certificate).await;
    let file = certificate.file();
    let variables = [
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url()),
        ("AWS_ENDPOINT_URL_KMS", kms.url()),
        ("SSL_CERT_FILE", file.to_str().unwrap()),
    ];
    // Enough for every order of the sample: 10 events a start, 7 keys each.
    shop.stock_in_bulk("1".parse().unwrap(), STARTS * 10 * 7).await;

    let mut starts: Vec<Vec<Start>> = vec![Vec::new(); names.len()];
    for _ in 0..STARTS {
        // The binaries take turns, so that other load on the machine affects all of them.
        for ((name, binary), starts) in names.iter().zip(&binaries).zip(&mut starts) {
            starts.push(start(name, binary, &shop, &variables).await);
        }
    }

    println!(
        "| binary | to first poll | first answer | tenth answer | CPU until then | peak memory | size | zipped |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let baseline = Row::of(&starts[0], &binaries[0]);
    for ((name, binary), starts) in names.iter().zip(&binaries).zip(&starts) {
        Row::of(starts, binary).print(name, &baseline);
    }
}

async fn start(name: &str, binary: &Path, shop: &Shop, variables: &[(&str, &str)]) -> Start {
    let function = LambdaFunction::start_with(binary, shop, variables).await;
    let first_poll = function.first_poll().await;
    let endpoint = name.parse::<Endpoint>().unwrap_or(Endpoint::Generate);
    let mut answers = Vec::new();
    for _ in 0..10 {
        let began = std::time::Instant::now();
        let outcome = function.invoke(sample_event(endpoint)).await;
        answers.push(began.elapsed());
        assert_eq!(outcome.unwrap()["statusCode"], 200);
    }
    Start {
        first_poll,
        first_answer: answers[0],
        tenth_answer: answers[9],
        cpu: function.cpu(),
        peak_kib: function.peak_kib(),
    }
}

/// Medians, in the units they are printed in.
struct Row {
    first_poll_ms: f64,
    first_answer_ms: f64,
    tenth_answer_ms: f64,
    cpu_ms: f64,
    peak_mib: f64,
    size_mib: f64,
    zipped_mib: f64,
}

#[expect(clippy::cast_precision_loss, reason = "sizes of some megabytes")]
fn mib(bytes: usize) -> f64 {
    bytes as f64 / 1_048_576.0
}

impl Row {
    fn of(starts: &[Start], binary: &Path) -> Self {
        let median = |value: &dyn Fn(&Start) -> f64| {
            let mut values: Vec<f64> = starts.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        let bytes = std::fs::read(binary).unwrap();
        let mut zipped = DeflateEncoder::new(Vec::new(), Compression::best());
        zipped.write_all(&bytes).unwrap();
        Self {
            first_poll_ms: median(&|start| ms(start.first_poll)),
            first_answer_ms: median(&|start| ms(start.first_answer)),
            tenth_answer_ms: median(&|start| ms(start.tenth_answer)),
            cpu_ms: median(&|start| ms(start.cpu)),
            peak_mib: median(&|start| mib(usize::try_from(start.peak_kib).unwrap() * 1_024)),
            size_mib: mib(bytes.len()),
            zipped_mib: mib(zipped.finish().unwrap().len()),
        }
    }

    fn print(&self, name: &str, baseline: &Self) {
        let cells = [
            (self.first_poll_ms, baseline.first_poll_ms, "ms"),
            (self.first_answer_ms, baseline.first_answer_ms, "ms"),
            (self.tenth_answer_ms, baseline.tenth_answer_ms, "ms"),
            (self.cpu_ms, baseline.cpu_ms, "ms"),
            (self.peak_mib, baseline.peak_mib, "MiB"),
            (self.size_mib, baseline.size_mib, "MiB"),
            (self.zipped_mib, baseline.zipped_mib, "MiB"),
        ];
        let cells = cells.map(|(value, of, unit)| format!("{:.1} × ({value:.1} {unit})", value / of));
        println!("| {name} | {} |", cells.join(" | "));
    }
}
