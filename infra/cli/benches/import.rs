//! Measures the speed and the memory of `keypool keys import` on the embedded stack. For comparison, the same
//! run measures a loop that puts keys one by one.
//!
//! `cargo bench -p keypool --bench import -- --keys 1000000` prints a Markdown table. `--profile dev` before
//! the `--` avoids a new build, but the stack and the command are then slower.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a failed measurement has no result")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use keypool_aws::Timeouts;
use keypool_domain::{
    Clock as _, CreationId, ImportId, NewKey, OperatingSystemRandomness, Owner, ProductId, Status,
    SystemClock,
};
use keypool_local::{DataFolder, Services, TABLE};
use keypool_store::Store;

/// The number of keys that the loop puts into the empty table, and again into the full one.
const ONE_BY_ONE: u32 = 5_000;

#[derive(Debug, Parser)]
struct Arguments {
    /// The number of keys to import
    #[arg(long, default_value_t = 100_000)]
    keys: u32,
    /// Keep the data of the stack in memory, so that no write waits for the disk
    #[arg(long)]
    memory: bool,
    /// The round-trip time to DynamoDB in milliseconds; some 5 within a region of AWS
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    latency_ms: u32,
    /// The argument that cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// A stack that ends with the measurement, even if that fails.
struct Stack(Child);

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The cost of a run of the command.
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
    if arguments.latency_ms > 0 {
        move_away(folder.path(), Duration::from_millis(arguments.latency_ms.into()) / 2);
    }

    let mut file = BufWriter::new(File::create(folder.path().join("keys.csv")).unwrap());
    writeln!(file, "license_key;validity;status").unwrap();
    for n in 0..arguments.keys {
        writeln!(file, "BENCH-{n:08}-ABCD-EFGH-JKLM;365;available").unwrap();
    }
    file.into_inner().unwrap();

    let into_empty = one_by_one(folder.path());
    let rehearsal = measure(folder.path(), &["--dry-run"]);
    let import = measure(folder.path(), &[]);
    let receipt = fs::read_to_string(folder.path().join("keys.csv.receipt.jsonl")).unwrap();
    let last = receipt.lines().last().unwrap();
    assert!(last.contains(&format!("\"created\":{}", arguments.keys)), "{last}");
    let into_full = one_by_one(folder.path());

    let keys = f64::from(arguments.keys);
    println!("| {} keys | seconds | keys a second | of one by one | peak memory |", arguments.keys);
    println!("|---|---|---|---|---|");
    let of_each = f64::from(ONE_BY_ONE);
    println!(
        "| one by one, {ONE_BY_ONE} into the empty table | {:.1} | {into_empty:.0} | | |",
        of_each / into_empty
    );
    println!(
        "| one by one, {ONE_BY_ONE} into the full table | {:.1} | {into_full:.0} | | |",
        of_each / into_full
    );
    // The speed of the loop for all keys, if it slows down evenly.
    let one_by_one = 2.0 / (1.0 / into_empty + 1.0 / into_full);
    println!("| one by one, {} | {:.1} | {one_by_one:.0} | 1.0 | |", arguments.keys, keys / one_by_one);
    for (name, run) in [("import", import), ("--dry-run", rehearsal)] {
        let (rate, mib) = (keys / run.seconds, run.peak_kib / 1_024);
        println!("| {name} | {:.1} | {rate:.0} | {:.1} | {mib} MB |", run.seconds, rate / one_by_one);
    }
}

/// Puts a delay between DynamoDB and every client that finds the stack by its data folder.
fn move_away(folder: &Path, one_way: Duration) {
    let path = folder.join(".keypool/endpoints.json");
    let mut endpoints = DataFolder::endpoints_at(&folder.join(".keypool")).unwrap();
    let dynamodb = endpoints.dynamodb.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    endpoints.dynamodb = format!("http://{}", listener.local_addr().unwrap());
    fs::write(path, serde_json::to_string(&endpoints).unwrap()).unwrap();
    thread::spawn(move || {
        for near in listener.incoming() {
            let (near, far) = (near.unwrap(), TcpStream::connect(&dynamodb).unwrap());
            let (back_from, back_to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            thread::spawn(move || carry(near, far, one_way));
            thread::spawn(move || carry(back_from, back_to, one_way));
        }
    });
}

/// Copies bytes from one side to the other, each piece after the delay.
fn carry(mut from: TcpStream, mut to: TcpStream, one_way: Duration) {
    to.set_nodelay(true).unwrap();
    let (pieces, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        for (at, piece) in due {
            thread::sleep((at + one_way).saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        // Close the other side for writing.
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if pieces.send((Instant::now(), buffer[..read].to_vec())).is_err() {
            break;
        }
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
        // The high-water mark only rises, so the last value before the end is close enough.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark = mark.and_then(|mark| mark.trim().trim_end_matches(" kB").parse().ok());
        peak_kib = peak_kib.max(mark.unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success());
            return Run { seconds: begun.elapsed().as_secs_f64(), peak_kib };
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Measures the keys per second of conditional puts, one by one.
#[tokio::main]
async fn one_by_one(folder: &Path) -> f64 {
    let endpoints = DataFolder::endpoints_at(&folder.join(".keypool")).unwrap();
    let clients = Services::settings(endpoints.dynamodb, endpoints.kms).clients(Timeouts::OPERATOR);
    let store = Store::new(clients.dynamodb, TABLE, Arc::new(OperatingSystemRandomness));
    let import = ImportId::random(&OperatingSystemRandomness);
    let ids = store.take_row_ids(ONE_BY_ONE as usize).await.unwrap();
    let begun = Instant::now();
    for (line, id) in (1..).zip(ids) {
        let key = NewKey {
            license_key: format!("ONE-BY-ONE-{import}-{line:08}").parse().unwrap(),
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
        let key = key.into_record(id, SystemClock.now(), &OperatingSystemRandomness);
        assert_eq!(store.insert(&[key]).await.unwrap().created, 1);
    }
    f64::from(ONE_BY_ONE) / begun.elapsed().as_secs_f64()
}
