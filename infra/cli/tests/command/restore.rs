//! `keypool restore check`: the runbook of docs/restoring.md on the embedded stack, and bad inputs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keypool_aws::Timeouts;
use keypool_domain::{
    Assignment, Clock as _, LicenseKeyRecord, OperatingSystemRandomness, Owner, PrivateKeyUsed, Reply,
    SignablePayload, SystemClock,
};
use keypool_local::{DataFolder, Services, TABLE};
use keypool_store::{Sale, SaleOutcome, Store};
use serde_json::Value;

use crate::aws::{Account, serve, serve_operations};
use crate::harness::{Local, fails, json, ok, run, text};

fn now() -> String {
    SystemClock.now().to_string()
}

/// Log lines as the functions write them.
#[derive(Default)]
struct Log(String);

impl Log {
    fn sold(&mut self, endpoint: &str, ids: &[u64]) {
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        let (now, ids) = (now(), ids.join(","));
        writeln!(
            self.0,
            r#"{{"timestamp":"{now}","level":"INFO","endpoint":"{endpoint}","status":200,"code":803,"row_ids":"{ids}","duration_ms":9,"message":"answered"}}"#
        )
        .unwrap();
    }
}

async fn put_into_stock(local: &Local, keys: &[String]) {
    let keys = serde_json::to_string(keys).unwrap();
    let parameters = [
        ("license_keys", keys.as_str()),
        ("product_id", "3"),
        ("activation_limit", "1"),
        ("validity", "365"),
        ("status", "available"),
    ];
    assert_eq!(local.post("create-license-keys", &parameters).await["code"], 900);
}

/// Sells keys of product 3 at random. Returns the license keys.
async fn sell(local: &Local, quantity: usize) -> BTreeSet<String> {
    let quantity = quantity.to_string();
    let parameters = [("product_id", "3"), ("quantity", quantity.as_str()), ("owner_name", "Ada")];
    let response = local.post("random-assign-license-keys", &parameters).await;
    if response["code"] == 802 {
        return BTreeSet::new();
    }
    assert_eq!(response["code"], 803, "{response}");
    let rows = response["license_keys"].as_array().unwrap();
    rows.iter().map(|row| row["license_key"].as_str().unwrap().to_owned()).collect()
}

/// Sells one key after another until the stock is empty.
async fn sell_out(local: &Local) -> BTreeSet<String> {
    let mut sold = BTreeSet::new();
    loop {
        let next = sell(local, 1).await;
        if next.is_empty() {
            return sold;
        }
        sold.extend(next);
    }
}

fn key_of(path: &Path, key: &str) -> Value {
    json(ok(path, &["keys", "show", key, "--json"]).lines().next().unwrap())
}

fn database_files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.file_name().unwrap().to_string_lossy().starts_with("dynamodb")).collect()
}

fn copy_database(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in database_files(to) {
        std::fs::remove_file(file).unwrap();
    }
    let files = database_files(from);
    assert!(!files.is_empty(), "{}", from.display());
    for file in files {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

/// A stack whose table was restored to a point before most of its sales.
struct Restored {
    folder: tempfile::TempDir,
    local: Local,
    point: String,
    /// The keys that were sold before the restore point, and since.
    sold_before: BTreeSet<String>,
    sold_since: BTreeSet<String>,
}

const STOCK: usize = 40;

impl Restored {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let local = Local::start(path, &["--port", "0"]);
        let keys: Vec<String> = (1..=STOCK).map(|nth| format!("K-{nth:02}")).collect();
        put_into_stock(&local, &keys).await;
        let sold_before = sell(&local, 3).await;
        let (_, _, log_before) = local.stop();
        copy_database(&path.join(".keypool"), &path.join("backup"));
        let point = now();

        let local = Local::start(path, &["--port", "0"]);
        put_into_stock(&local, &["LATE-1".to_owned(), "LATE-2".to_owned()]).await;
        let mut sold_since = BTreeSet::new();
        for quantity in [1, 5, 12] {
            sold_since.extend(sell(&local, quantity).await);
        }
        for key in ["LATE-1", "K-40"] {
            let parameters = [("license_key", key), ("owner_name", "Grace")];
            if local.post("assign-license-key", &parameters).await["code"] == 800 {
                sold_since.insert(key.to_owned());
            }
        }
        let exported = ok(path, &["keys", "export", "--status", "assigned"]);
        assert_eq!(exported.lines().count(), 1 + sold_before.len() + sold_since.len());
        let (_, _, log_since) = local.stop();
        std::fs::write(path.join("sales.log"), log_before + &log_since).unwrap();

        copy_database(&path.join("backup"), &path.join(".keypool"));
        let local = Local::start(path, &["--port", "0"]);
        Self { folder, local, point, sold_before, sold_since }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the check. Returns its exit code and its report.
    fn check(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        check(self.path(), &self.point, arguments)
    }

    /// The number of keys that were sold since the restore point and are in the restored table.
    fn brought_back(&self) -> u64 {
        self.sold_since.iter().filter(|key| key.starts_with("K-")).count() as u64
    }
}

fn check(path: &Path, restored_to: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let all = [&["restore", "check", "--json", "--restored-to", restored_to][..], arguments].concat();
    let output = run(path, &all);
    let said = text(&output.stdout);
    let value = serde_json::from_str(&said).unwrap_or_else(|error| {
        panic!("{error}: {said}{}", text(&output.stderr));
    });
    (output.status.code(), value)
}

#[tokio::test]
async fn without_the_check_a_restored_table_sells_keys_twice() {
    let restored = Restored::new().await;
    let sold = sell_out(&restored.local).await;
    assert_eq!(sold.len(), STOCK - restored.sold_before.len());
    assert_eq!(sold.intersection(&restored.sold_since).count() as u64, restored.brought_back());
    // 18 keys were drawn. Up to two of them are not in the restored table.
    assert!(restored.brought_back() >= 16, "{:?}", restored.sold_since);
    restored.local.stop();
}

#[tokio::test]
async fn after_the_check_a_restored_table_sells_no_key_twice() {
    let restored = Restored::new().await;
    let path = restored.path();
    let late = restored.sold_since.len() as u64 - restored.brought_back();

    let file = ["--log-file", "sales.log"];
    let stock = ok(path, &["keys", "export"]);
    let (code, rehearsal) = restored.check(&[&file[..], &["--dry-run"]].concat());
    assert_eq!(code, Some(0), "{rehearsal}");
    assert_eq!(rehearsal["dry_run"], true);
    assert_eq!(ok(path, &["keys", "export"]), stock, "a dry run changes nothing");
    assert_eq!(ok(path, &["audit", "--action", "restore.", "--json"]), "");

    let (code, done) = restored.check(&file);
    assert_eq!(code, Some(0), "{done}");
    for (member, expected) in [
        ("blocked", restored.brought_back()),
        ("assigned", restored.sold_before.len() as u64),
        ("not_in_table", late),
        ("blocked_before", 0),
        ("held_by_orders", 0),
        ("not_blocked", 0),
        ("sold", (restored.sold_before.len() + restored.sold_since.len()) as u64),
    ] {
        assert_eq!(done[member], expected, "{member}: {done}");
        assert_eq!(rehearsal[member], expected, "{member}: {rehearsal}");
    }
    assert_eq!(done["last_id"], rehearsal["last_id"]);

    let trail = ok(path, &["audit", "--action", "restore.block", "--limit", "100", "--json"]);
    assert_eq!(trail.lines().count() as u64, restored.brought_back());
    let reason = json(trail.lines().next().unwrap())["after"]["reason"].clone();
    assert!(reason.as_str().unwrap().starts_with("sold after the restore point 20"), "{reason}");

    // A second run changes nothing.
    let before = ok(path, &["keys", "export"]);
    let (code, again) = restored.check(&file);
    assert_eq!((code, &again["blocked"]), (Some(0), &0.into()), "{again}");
    assert_eq!(again["blocked_before"], restored.brought_back());
    assert_eq!(again["last_id"]["before"], again["last_id"]["after"]);
    assert_eq!(ok(path, &["keys", "export"]), before);
    let arguments = ["restore", "check", "--restored-to", &restored.point, "--log-file", "sales.log"];
    let said = ok(path, &arguments);
    assert!(said.ends_with("\nNothing to change.\n"), "{said}");

    // An unblocked key returns to its buyer.
    let taken = restored.sold_since.iter().find(|key| key.starts_with("K-")).unwrap();
    assert_eq!(ok(path, &["keys", "unblock", taken]), format!("{taken}  blocked → assigned\n"));

    put_into_stock(&restored.local, &["NEW-1".to_owned()]).await;
    let id = key_of(path, "NEW-1")["id"].as_u64().unwrap();
    assert!(id > 1_000_000 + STOCK as u64, "{id} may have been used before");
    let sold = sell_out(&restored.local).await;
    let known: BTreeSet<String> = restored.sold_before.union(&restored.sold_since).cloned().collect();
    assert_eq!(sold.intersection(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "sold twice");
    let unsold = STOCK - restored.sold_before.len() - usize::try_from(restored.brought_back()).unwrap();
    assert_eq!(sold.len(), unsold + 1, "the rest of the stock is sold");
    restored.local.stop();
}

/// Opens the table of a stack, as the functions do.
fn store_of(path: &Path) -> Store {
    let endpoints = DataFolder::endpoints_at(&path.join(".keypool")).unwrap();
    let clients = Services::settings(endpoints.dynamodb, endpoints.kms).clients(Timeouts::OPERATOR);
    Store::new(clients.dynamodb, TABLE, Arc::new(OperatingSystemRandomness)).with_timeouts(Timeouts::OPERATOR)
}

/// Creates an order that holds the keys.
async fn order_of(store: &Store, keys: &[&str], lease: Duration, is_sold: bool) {
    let at = SystemClock.now();
    let mut held: Vec<LicenseKeyRecord> = Vec::new();
    for key in keys {
        held.push(store.license_key(&key.parse().unwrap()).await.unwrap().unwrap());
    }
    let owner = Owner { name: Some("Linus".parse().unwrap()), email: None };
    let assignment = Assignment::new(owner, at, &OperatingSystemRandomness);
    let product_id = "3".parse().unwrap();
    let mut sale = Sale::new(product_id, assignment, lease, None);
    assert_eq!(store.take(&mut sale, &held, at).await, Ok(SaleOutcome::Done));
    if is_sold {
        let payload = SignablePayload::new(&Reply::LicenseKeyAssigned, at);
        let response = payload.into_envelope(PrivateKeyUsed::Global, None);
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        assert_eq!(store.finish(&sale, &[], &response, at, deadline).await, Ok(SaleOutcome::Done));
    }
}

#[tokio::test]
async fn keys_held_by_open_orders_are_not_sold_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let keys = ["GIVEN-UP-1", "GIVEN-UP-2", "COMMITTED", "ALIVE", "SET-ASIDE", "FREE"].map(str::to_owned);
    put_into_stock(&local, &keys).await;
    ok(path, &["keys", "block", "SET-ASIDE"]);
    let ids: Vec<u64> = keys.iter().map(|key| key_of(path, key)["id"].as_u64().unwrap()).collect();
    let store = store_of(path);
    order_of(&store, &["GIVEN-UP-1", "GIVEN-UP-2"], Duration::ZERO, false).await;
    order_of(&store, &["COMMITTED"], Duration::ZERO, true).await;
    order_of(&store, &["ALIVE"], Duration::from_mins(10), false).await;
    let restored_to = now();
    let mut log = Log::default();
    // All keys but GIVEN-UP-2 and FREE were sold since.
    log.sold("random-assign-license-keys", &[ids[0], ids[2], ids[3], ids[4]]);
    std::fs::write(path.join("sales.log"), format!("{restored_to} START\n{}", log.0)).unwrap();

    let (code, done) = check(path, &restored_to, &["--log-file", "sales.log"]);
    assert_eq!(code, Some(3), "a live order holds one key: {done}");
    assert_eq!(done["held_by_orders"], 1);
    assert_eq!((&done["blocked"], &done["assigned"]), (&1.into(), &1.into()), "{done}");
    let status = |key: &str| key_of(path, key)["status"].as_str().unwrap().to_owned();
    for (key, expected) in [
        ("GIVEN-UP-1", "blocked"),
        ("GIVEN-UP-2", "available"),
        ("COMMITTED", "assigned"),
        ("ALIVE", "reserved"),
        ("SET-ASIDE", "blocked"),
        ("FREE", "available"),
    ] {
        assert_eq!(status(key), expected, "{key}");
    }
    let shown = ok(path, &["keys", "show", "COMMITTED"]);
    assert!(shown.contains("Linus"), "its owner is known: {shown}");
    local.stop();
}

#[tokio::test]
async fn logs_that_start_too_late_exit_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let restored_to = now();
    let mut log = Log::default();
    log.sold("assign-license-key", &[7]);
    std::fs::write(path.join("late.log"), &log.0).unwrap();
    std::fs::write(path.join("empty.log"), "").unwrap();
    std::fs::write(path.join("garbage.log"), "{]\nhello\n\n").unwrap();
    std::fs::write(path.join("whole.log"), format!("{restored_to} START\n{}", log.0)).unwrap();
    for (files, gaps) in [
        (&["--log-file", "late.log"][..], vec!["late.log begins at "]),
        (&["--log-file", "empty.log"], vec!["empty.log has no line with a time"]),
        (&["--log-file", "garbage.log"], vec!["garbage.log has no line with a time"]),
        (
            &["--log-file", "whole.log", "--log-file", "late.log", "--log-file", "empty.log"],
            vec!["late.log begins at ", "empty.log has no line with a time"],
        ),
        (&["--log-file", "whole.log"], vec![]),
    ] {
        let (code, value) = check(path, &restored_to, &[files, &["--dry-run"]].concat());
        assert_eq!(code, Some(if gaps.is_empty() { 0 } else { 4 }), "{files:?}: {value}");
        let said: Vec<&str> =
            value["gaps"].as_array().unwrap().iter().map(|gap| gap.as_str().unwrap()).collect();
        assert_eq!(said.len(), gaps.len(), "{said:?}");
        assert!(said.iter().zip(&gaps).all(|(said, gap)| said.starts_with(gap)), "{said:?}");
    }
    let arguments = ["restore", "check", "--restored-to", &restored_to, "--log-file", "late.log"];
    let note = text(&run(path, &arguments).stderr);
    assert!(note.starts_with("sales may be missing: late.log begins at "), "{note}");
    local.stop();
}

#[tokio::test]
async fn an_unreadable_line_is_named_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    put_into_stock(&local, &["A-1".to_owned(), "A-2".to_owned()]).await;
    let id = key_of(path, "A-1")["id"].as_u64().unwrap();
    let at = now();
    let sale = |ids: &str| format!(r#"{{"timestamp":"{at}","row_ids":{ids}}}"#);
    let good = sale(&format!("\"{id}\""));
    for (bytes, expected) in [
        (
            format!("{good}\n{}\n", sale("[1]")).into_bytes(),
            "bad.log, line 2: has row_ids that are not text: [1]",
        ),
        (
            format!("{good}\n\n{}", sale("\"1;2\"")).into_bytes(),
            "bad.log, line 3: has row_ids with \"1;2\", which is not an id",
        ),
        (
            format!("{good}\n{}\n", sale("\"18446744073709551615\"")).into_bytes(),
            "bad.log, line 2: has row_ids with \"18446744073709551615\", which is not an id",
        ),
        (
            format!("{good}\n{}", &good[..good.len() - 1]).into_bytes(),
            "bad.log, line 2: has row_ids, but is not a JSON object",
        ),
        (
            format!("{good}\r\nrow_ids\r\n").into_bytes(),
            "bad.log, line 2: has row_ids, but is not a JSON object",
        ),
        ([good.as_bytes(), b"\nM\xfcller\n"].concat(), "bad.log, line 2: not UTF-8 text"),
        (good.encode_utf16().flat_map(u16::to_le_bytes).collect(), "bad.log, line 1: not UTF-8 text"),
    ] {
        std::fs::write(path.join("bad.log"), bytes).unwrap();
        let said = fails(path, &["restore", "check", "--restored-to", &at, "--log-file", "bad.log"], 1);
        assert!(said.starts_with(&format!("error: {expected}")), "{said}");
    }
    for (arguments, code, expected) in [
        (
            &["--restored-to", &*at, "--log-file", "none.log"][..],
            1,
            "error: cannot read none.log: No such file",
        ),
        (&["--restored-to", &at], 1, "error: the local stack keeps no logs: give its log lines"),
        (&["--log-file", "bad.log"], 2, "--restored-to <TIME>"),
        (&["--restored-to", "9999-01-01T00:00:00Z", "--log-file", "x"], 2, "must not be in the future"),
        (&["--restored-to", "yesterday", "--log-file", "x"], 2, "must be a time as 2026-11-24T16:00:00Z"),
        (&["--restored-to", &at, "--log-file", "x", "--logs-of", "shop"], 2, "cannot be used with"),
    ] {
        let said = fails(path, &[&["restore", "check"], arguments].concat(), code);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert_eq!(key_of(path, "A-1")["status"], "available", "nothing was changed");
    assert_eq!(ok(path, &["audit", "--action", "restore.", "--json"]), "");

    // A byte order mark, Windows line breaks and repeated ids are allowed.
    std::fs::write(path.join("good.log"), format!("\u{feff}{good}\r\n\r\n{good}\r\n")).unwrap();
    let (code, value) = check(path, &at, &["--log-file", "good.log"]);
    assert_eq!((code, &value["sold"], &value["blocked"]), (Some(0), &1.into(), &1.into()), "{value}");
    assert_eq!((&value["log_lines"], &value["sale_lines"]), (&2.into(), &2.into()));
    assert_eq!(key_of(path, "A-1")["status"], "blocked");
    assert_eq!(key_of(path, "A-2")["status"], "available");
    local.stop();
}

#[tokio::test]
async fn lines_of_the_aws_command_and_of_stdin_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    put_into_stock(&local, &["A-1".to_owned(), "A-2".to_owned(), "A-3".to_owned()]).await;
    let at = now();
    let sale = |key: &str| format!(r#"{{"timestamp":"{at}","row_ids":"{}"}}"#, key_of(path, key)["id"]);
    let events = serde_json::json!({
        "events": [
            {"logStreamName": "2026/11/24/[$LATEST]1", "timestamp": 1, "message": "START RequestId: 1\n"},
            {"logStreamName": "2026/11/24/[$LATEST]1", "timestamp": 2, "message": format!("{}\n", sale("A-1"))},
        ],
        "searchedLogStreams": [],
    });
    let tail = format!("{at} 2026/11/24/[$LATEST]1 {}\n", sale("A-3"));
    std::fs::write(path.join("events.json"), serde_json::to_string_pretty(&events).unwrap()).unwrap();
    let mut child = crate::harness::keypool(path)
        .args(["restore", "check", "--restored-to", &at, "--log-file", "events.json", "--log-file", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), tail.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let status = |key: &str| key_of(path, key)["status"].as_str().unwrap().to_owned();
    assert_eq!(["A-1", "A-2", "A-3"].map(status), ["blocked", "available", "blocked"]);
    local.stop();
}

/// DynamoDB's description of a table that was restored to 2026-01-01T12:00:00Z.
fn restored_table(is_in_progress: bool) -> (u16, String, String) {
    let body = format!(
        r#"{{"Table": {{"TableName": "keypool", "RestoreSummary": {{"RestoreDateTime": 1767268800,
        "RestoreInProgress": {is_in_progress}}}}}}}"#
    );
    (200, "content-type: application/x-amz-json-1.0\r\n".to_owned(), body)
}

#[tokio::test]
async fn a_restore_point_that_is_not_the_tables_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let account = Account::of(&local, path);
    std::fs::write(path.join("sales.log"), "").unwrap();
    for (is_in_progress, restored_to, expected) in [
        (
            false,
            "2026-01-01T12:00:01Z",
            "keypool was restored to 2026-01-01T12:00:00.000000Z, which is earlier: give --restored-to 2026",
        ),
        (true, "2026-01-01T12:00:00Z", "DynamoDB is still restoring keypool"),
    ] {
        let dynamodb = serve(move |_| restored_table(is_in_progress));
        let account = Account { dynamodb, ..account.clone() };
        let arguments = ["restore", "check", "--table", "keypool", "--log-file", "sales.log"];
        let output =
            account.keypool(path).args(arguments).args(["--restored-to", restored_to]).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(&format!("error: {expected}")), "{said}");
    }
    local.stop();
}

/// Serves `CloudWatch` Logs with sales in three of four log groups. One group has several pages, the first
/// empty.
fn logs(lines: [String; 3], created_at_ms: i64, retention_days: u32) -> String {
    let [assigned, first, second] = lines;
    serve_operations(move |operation, body| {
        let asked: Value = serde_json::from_str(body).unwrap();
        let events = |lines: &[&String]| {
            let events = lines.iter().map(|line| {
                serde_json::json!({"logStreamName": "stream", "timestamp": 1_795_539_968_123_i64, "message": line})
            });
            events.collect::<Value>()
        };
        let answer = match (operation, asked["logGroupName"].as_str(), asked["nextToken"].as_str()) {
            ("DescribeLogGroups", ..) => {
                let name = asked["logGroupNamePrefix"].as_str().unwrap();
                let group = |name: String| {
                    serde_json::json!({
                        "logGroupName": name, "creationTime": created_at_ms, "retentionInDays": retention_days,
                    })
                };
                serde_json::json!({"logGroups": [group(format!("{name}-2")), group(name.to_owned())]})
            }
            ("FilterLogEvents", Some("shop-assign-log"), None) => {
                serde_json::json!({"events": events(&[&assigned])})
            }
            ("FilterLogEvents", Some("shop-random-log"), None) => {
                serde_json::json!({"events": [], "nextToken": "2"})
            }
            ("FilterLogEvents", Some("shop-random-log"), Some("2")) => {
                serde_json::json!({"events": events(&[&first]), "nextToken": "3"})
            }
            ("FilterLogEvents", Some("shop-orders-log"), None) => {
                serde_json::json!({"events": events(&[&second])})
            }
            ("FilterLogEvents", Some("shop-random-log"), Some("3"))
            | ("FilterLogEvents", Some("shop-replace-log"), None) => serde_json::json!({"events": []}),
            other => panic!("{other:?}"),
        };
        if operation == "FilterLogEvents" {
            assert_eq!(asked["filterPattern"], "\"row_ids\"", "only sales are read");
            assert!(asked["startTime"].as_i64().unwrap() > 1_700_000_000_000);
        }
        (200, "content-type: application/x-amz-json-1.1\r\n".to_owned(), answer.to_string().into_bytes())
    })
}

#[tokio::test]
async fn sales_are_read_from_the_log_groups_of_a_stack() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let keys = ["A-1", "A-2", "A-3", "A-4"].map(str::to_owned);
    put_into_stock(&local, &keys).await;
    let at = now();
    let sale =
        |key: &str| format!("{{\"timestamp\":\"{at}\",\"row_ids\":\"{}\"}}\n", key_of(path, key)["id"]);
    let lines = [sale("A-1"), sale("A-2"), sale("A-3")];
    let of_stack = |logs: String, target: &[&str]| {
        let account = Account { logs, ..Account::of(&local, path) };
        let output = account
            .keypool(path)
            .args(["restore", "check", "--json", "--restored-to", &at])
            .args(target)
            .output()
            .unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let long_ago = 1_600_000_000_000;
    let rehearsal = ["--stack", "shop", "--dry-run"];
    let (code, said, note) = of_stack(logs(lines.clone(), long_ago, 30), &rehearsal);
    assert_eq!((code, json(&said)["blocked"].as_u64()), (Some(0), Some(3)), "{said}{note}");
    // The log group is created a minute from now, so earlier lines are missing.
    let soon = (SystemClock.now().unix_seconds() + 60) * 1_000;
    let (code, said, note) = of_stack(logs(lines.clone(), soon, 30), &rehearsal);
    assert_eq!((code, json(&said)["gaps"].as_array().unwrap().len()), (Some(4), 4), "{said}");
    assert!(note.contains("sales may be missing: shop-assign-log was created at "), "{note}");
    let broken = [sale("A-1"), sale("A-2"), "row_ids".to_owned()];
    let (code, said, note) = of_stack(logs(broken, long_ago, 30), &["--stack", "shop"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(note.starts_with("error: shop-orders-log, stream at 20"), "{note}");

    let (code, said, note) =
        of_stack(logs(lines, long_ago, 30), &["--table", "keypool", "--logs-of", "shop"]);
    assert_eq!((code, json(&said)["blocked"].as_u64()), (Some(0), Some(3)), "{said}{note}");
    let status = |key: &str| key_of(path, key)["status"].as_str().unwrap().to_owned();
    assert_eq!(["A-1", "A-2", "A-3", "A-4"].map(status), ["blocked", "blocked", "blocked", "available"]);
    let nothing = of_stack("http://127.0.0.1:9".to_owned(), &["--table", "keypool"]);
    assert!(nothing.2.contains("give --logs-of or --log-file"), "{nothing:?}");
    local.stop();
}
