//! How fast, and in how much memory, `keypool keys import` puts keys into the embedded stack; beside it, in the same run, a
//! loop that puts them one after the other.
//!
//! `cargo bench -p keypool --bench import -- --keys 1000000` prints a table in Markdown. With `--profile dev` before the
//! `--` nothing is built anew; stack and command are slower then.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails has nothing to say")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use keypool_domain::{
    Clock as _, CreationId, ImportId, NewKey, OperatingSystemRandomness, Owner, ProductId, Status,
    SystemClock,
};
use keypool_http::Patience;
use keypool_local::{DataFolder, Services, TABLE};
use keypool_store::Store;

/// How many keys the loop puts: it is slow, and its rate does not change.
const ONE_BY_ONE: usize = 5_000;

#[derive(Debug, Parser)]
struct Arguments {
    /// How many keys to import
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// The stack keeps its data in memory, so that no write waits for the disk
    #[arg(long)]
    memory: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// A stack that ends with the measurement, however that ends.
struct Stack(Child);

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a run of the command took.
struct Run {
    seconds: f64,
    peak_kib: u64,
}

fn main() {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir().unwrap();
    let mut local = keypool(folder.path());
    local.args(["local", "--port", "0"]).args(arguments.memory.then_some("--memory"));
    let mut stack = Stack(local.stdout(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(stack.0.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().starts_with("ready ")));

    let mut file = BufWriter::new(File::create(folder.path().join("keys.csv")).unwrap());
    writeln!(file, "license_key;validity;status").unwrap();
    for n in 0..arguments.keys {
        writeln!(file, "BENCH-{n:08}-ABCD-EFGH-JKLM;365;available").unwrap();
    }
    file.into_inner().unwrap();

    let one_by_one = one_by_one(folder.path());
    let rehearsal = measure(folder.path(), &["--dry-run"]);
    let import = measure(folder.path(), &[]);
    let receipt = fs::read_to_string(folder.path().join("keys.csv.receipt.jsonl")).unwrap();
    let last = receipt.lines().last().unwrap();
    assert!(last.contains(&format!("\"created\":{}", arguments.keys)), "{last}");

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let keys = arguments.keys as f64;
    println!("| {} keys | seconds | keys a second | of one by one | peak memory |", arguments.keys);
    println!("|---|---|---|---|---|");
    println!("| one by one ({ONE_BY_ONE}) | | {one_by_one:.0} | 1.0 | |");
    for (name, run) in [("import", import), ("--dry-run", rehearsal)] {
        let (rate, mib) = (keys / run.seconds, run.peak_kib / 1_024);
        println!("| {name} | {:.1} | {rate:.0} | {:.1} | {mib} MB |", run.seconds, rate / one_by_one);
    }
}

fn keypool(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
    command.current_dir(folder).env_remove("KEYPOOL_STACK").env_remove("KEYPOOL_TABLE");
    command
}

fn measure(folder: &Path, options: &[&str]) -> Run {
    let begun = Instant::now();
    let mut command = keypool(folder);
    command.args(["keys", "import", "keys.csv", "--product", "1", "--json"]).args(options);
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    loop {
        // The mark only rises, so the last look before the end is near enough.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark = mark.and_then(|mark| mark.trim().trim_end_matches(" kB").parse().ok());
        peak_kib = peak_kib.max(mark.unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success());
            return Run { seconds: begun.elapsed().as_secs_f64(), peak_kib };
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Keys a second by conditional puts, one after the other.
#[tokio::main]
async fn one_by_one(folder: &Path) -> f64 {
    let endpoints = DataFolder::endpoints_at(&folder.join(".keypool")).unwrap();
    let clients = Services::settings(endpoints.dynamodb, endpoints.kms).clients(Patience::Operator);
    let store = Store::new(clients.dynamodb, TABLE, Arc::new(OperatingSystemRandomness));
    let import = ImportId::random(&OperatingSystemRandomness);
    let ids = store.take_row_ids(ONE_BY_ONE).await.unwrap();
    let begun = Instant::now();
    for (line, id) in (1..).zip(ids) {
        let key = NewKey {
            license_key: format!("ONE-BY-ONE-{line:08}").parse().unwrap(),
            product_id: ProductId::MIN,
            activation_limit: "1".parse().unwrap(),
            validity: "365".parse().unwrap(),
            status: Status::Available,
            owner: Owner::default(),
            assigned_at: None,
            assignment_id: None,
            creation_id: Some(CreationId::of_line(import, line)),
        };
        let key = key.into_stocked(id, SystemClock.now(), &OperatingSystemRandomness);
        assert_eq!(store.insert(vec![key]).await.unwrap().created, 1);
    }
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let keys = ONE_BY_ONE as f64;
    keys / begun.elapsed().as_secs_f64()
}
