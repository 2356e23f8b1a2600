//! `keypool keys` and `keypool stock`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Local, fails, keypool, ok, run, text};

/// Puts keys into the stock of a product, through the API.
async fn stock(local: &Local, product: &str, keys: &[&str]) {
    let keys = serde_json::to_string(keys).unwrap();
    let parameters = [
        ("license_keys", keys.as_str()),
        ("product_id", product),
        ("activation_limit", "2"),
        ("validity", "365"),
        ("status", "available"),
    ];
    assert_eq!(local.post("create-license-keys", &parameters).await["code"], 900);
}

async fn sell(local: &Local, key: &str, name: &str) -> Value {
    let parameters = [("license_key", key), ("owner_name", name), ("email", "buyer@example.com")];
    local.post("assign-license-key", &parameters).await["code"].clone()
}

fn values(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    ok(folder, arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a command that succeeds only in part.
fn partly(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_key_is_blocked_unblocked_released_and_assigned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    stock(&local, "3", &["A-1", "A-2", "Ä 3"]).await;

    assert_eq!(ok(path, &["keys", "block", "A-1", "--reason", "charged back"]), "A-1  available → blocked\n");
    assert_eq!(sell(&local, "A-1", "Ada").await, 801);
    let (said, note) = partly(path, &["keys", "block", "A-1", "A-2"]);
    assert_eq!(said, "A-1  not changed: it is blocked\nA-2  available → blocked\n");
    assert_eq!(note, "1 of 2 changed, 1 not\n");
    assert_eq!(ok(path, &["keys", "unblock", "A-1", "A-2", "A-1"]).lines().count(), 2, "each once");

    assert_eq!(sell(&local, "A-1", "Ada").await, 800);
    let (said, _) = partly(path, &["keys", "release", "A-1"]);
    assert_eq!(said, "A-1  not changed: it has an owner; --take-from-owner takes it back\n");
    ok(path, &["keys", "block", "A-1"]);
    ok(path, &["keys", "unblock", "A-1"]);
    let shown = ok(path, &["keys", "show", "A-1"]);
    assert!(
        shown.contains("status            assigned\n  owner             Ada <buyer@example.com>"),
        "{shown}"
    );
    let taken = ok(path, &["keys", "release", "A-1", "--take-from-owner", "--reason", "refund"]);
    assert_eq!(taken, "A-1  assigned → available\n");
    let shown = &values(path, &["keys", "show", "A-1", "--json"])[0];
    assert_eq!((&shown["owner_name"], &shown["assigned_at"]), (&Value::Null, &Value::Null));
    assert_eq!(sell(&local, "A-1", "Grace").await, 800, "it is in stock again");

    let given = ["keys", "assign", "Ä 3", "--owner-name", "Ängström", "--json"];
    let given = &values(path, &given)[0];
    assert_eq!((&given["changed"], &given["before"]["status"]), (&json!(true), &json!("available")));
    assert_eq!(given["after"]["owner_name"], "Ängström");
    assert_eq!(sell(&local, "Ä 3", "Ada").await, 801);
    local.stop();
}

#[tokio::test]
async fn missing_keys_and_unusable_files_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    stock(&local, "1", &["A-1", "A-2"]).await;
    let (said, _) = partly(path, &["keys", "block", "NOPE"]);
    assert_eq!(said, "NOPE  not changed: there is no such license key\n");
    let (said, note) = partly(path, &["keys", "show", "A-1", "NOPE"]);
    assert!(said.starts_with("A-1\n") && note == "NOPE: there is no such license key\n", "{said}{note}");

    std::fs::write(path.join("keys.txt"), "\u{feff}A-1\r\n\r\n  A-2  \r\nA-1").unwrap();
    assert_eq!(ok(path, &["keys", "block", "--file", "keys.txt"]).lines().count(), 2);
    let mut command = keypool(path);
    let mut child = command
        .args(["keys", "unblock", "--file", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"A-2\n").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), "A-2  blocked → available\n");

    std::fs::write(path.join("latin.txt"), b"A-1\nM\xfcller\n").unwrap();
    let said = fails(path, &["keys", "block", "--file", "latin.txt"], 1);
    assert!(said.starts_with("error: latin.txt is not UTF-8"), "{said}");
    std::fs::write(path.join("long.txt"), format!("A-1\n{}\n", "x".repeat(256))).unwrap();
    let said = fails(path, &["keys", "block", "--file", "long.txt"], 1);
    assert_eq!(said, "error: long.txt, line 2: must not be longer than 255 characters\n");
    std::fs::write(path.join("empty.txt"), "\n").unwrap();
    assert_eq!(fails(path, &["keys", "block", "--file", "empty.txt"], 1), "error: no license key given\n");
    let said = fails(path, &["keys", "block", "--file", "none.txt"], 1);
    assert!(said.starts_with("error: cannot read none.txt: No such file"), "{said}");
    for arguments in [&["keys", "block"][..], &["keys", "block", "A", "--file", "x"], &["keys", "block", ""]]
    {
        fails(path, arguments, 2);
    }
    local.stop();
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let names: Vec<String> = (0..25).map(|nth| format!("L'{nth:02}~x")).collect();
    stock(&local, "1", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    stock(&local, "2", &["OTHER"]).await;
    sell(&local, "L'03~x", "Ada Lovelace").await;

    for wanted in [&["--product", "1", "--status", "available"][..], &["--product", "1"], &[]] {
        let (mut found, mut after) = (BTreeSet::new(), None::<String>);
        loop {
            let mut arguments = [&["keys", "list", "--json", "--limit", "7"], wanted].concat();
            arguments.extend(after.iter().flat_map(|after| ["--after", after]));
            let page = values(path, &arguments).remove(0);
            for key in page["keys"].as_array().unwrap() {
                assert!(found.insert(key["license_key"].as_str().unwrap().to_owned()), "twice");
            }
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
        let expected = match wanted.len() {
            4 => 24,
            2 => 25,
            _ => 26,
        };
        assert_eq!(found.len(), expected, "{wanted:?}");
    }
    let listed = ok(path, &["keys", "list", "--owner", "Lovelace"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.lines().nth(1).unwrap().contains("Ada Lovelace, buyer@example.com"), "{listed}");
    let output = run(path, &["keys", "list", "--product", "3"]);
    assert_eq!(text(&output.stderr), "there are none\n");
    let said = fails(path, &["keys", "list", "--after", "x"], 2);
    assert!(said.contains("is not a cursor that a page printed"), "{said}");
    let stock = ["--product", "1", "--status", "available"];
    let of_stock =
        values(path, &[&["keys", "list", "--json", "--limit", "7"], &stock[..]].concat()).remove(0);
    let of_stock = of_stock["next"].as_str().unwrap();
    for (after, wanted) in [
        ("~~", &stock[..]),
        (of_stock, &[]),
        (of_stock, &stock[..2]),
        (of_stock, &["--product", "1", "--status", "available", "--owner", "Ada"]),
    ] {
        let said = fails(path, &[&["keys", "list", "--after", after], wanted].concat(), 2);
        let expected = "error: --after is the cursor of another list: give the same --product, --status and --owner \
                        as for that page\n";
        assert_eq!(said, expected, "{wanted:?}");
    }
    fails(path, &["keys", "list", "--status", "gone"], 2);
    fails(path, &["keys", "list", "--limit", "0"], 2);
    local.stop();
}

#[tokio::test]
async fn an_export_is_complete_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let names: Vec<String> = (0..300).map(|nth| format!("E-{nth},\"x\"")).collect();
    stock(&local, "1", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    sell(&local, &names[7], "Comma, \"Quote\"").await;

    assert_eq!(
        ok(path, &["keys", "export", "--output", "keys.csv"]),
        "300 license keys written to keys.csv\n"
    );
    let mode = std::fs::metadata(path.join("keys.csv")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
    let mut reader = csv::Reader::from_path(path.join("keys.csv")).unwrap();
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let found: BTreeSet<&str> = records.iter().map(|record| &record[0]).collect();
    assert_eq!(found, names.iter().map(String::as_str).collect());
    let sold = records.iter().find(|record| record[0] == names[7]).unwrap();
    assert_eq!((&sold[2], &sold[5]), ("assigned", "Comma, \"Quote\""));

    let said = fails(path, &["keys", "export", "--output", "keys.csv"], 1);
    assert_eq!(said, "error: keys.csv already exists\n");
    let said = fails(path, &["keys", "export", "--output", "no/folder.csv"], 1);
    assert!(said.starts_with("error: cannot write no/folder.csv"), "{said}");
    let sold = values(path, &["keys", "export", "--status", "assigned", "--format", "jsonl"]);
    assert_eq!((sold.len(), sold[0]["license_key"].as_str()), (1, Some(names[7].as_str())));

    // A reader that stops early is not a failure.
    let shell = format!("'{}' keys export | head -1", env!("CARGO_BIN_EXE_keypool"));
    let output = std::process::Command::new("sh").current_dir(path).args(["-c", &shell]).output().unwrap();
    assert!(text(&output.stdout).starts_with("license_key,product_id,status"));
    assert_eq!(text(&output.stderr), "");
    local.stop();
}

#[tokio::test]
async fn the_stock_is_counted_by_product() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    stock(&local, "1", &["S-1", "S-2", "S-3", "S-4"]).await;
    sell(&local, "S-1", "Ada").await;
    ok(path, &["keys", "block", "S-2"]);

    let shown = ok(path, &["stock"]);
    assert!(!shown.contains('\x1b'), "no colors in a pipe: {shown:?}");
    let line = shown.lines().nth(1).unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        cells,
        ["1", "Demo", "2", "████████████████████", "0", "exact", "1", "0", "1", "1", "1", "2", "days"],
        "{shown}"
    );
    assert!(shown.lines().nth(2).unwrap().ends_with("made when sold"), "{shown}");
    assert!(shown.lines().nth(3).unwrap().ends_with("sold out"), "{shown}");
    let mut one = values(path, &["stock", "--product", "1", "--json"]).remove(0);
    let by_hour: Vec<u64> = serde_json::from_value(one[0]["sold_by_hour"].take()).unwrap();
    let by_day: Vec<u64> = serde_json::from_value(one[0]["sold_by_day"].take()).unwrap();
    assert_eq!((by_hour.len(), by_hour[23], by_day.len(), by_day[29]), (24, 1, 30, 1));
    let expected = json!([{
        "product_id": 1, "name": "Demo", "status": "active", "available": 2, "waited_for": 0, "estimate": 2, "assigned": 1, "reserved": 0,
        "blocked": 1, "sold_last_hour": 1, "sold_last_day": 1, "sold_by_hour": null, "sold_by_day": null,
        "generator_id": 1, "hours_left": 48,
    }]);
    assert_eq!(one, expected);
    fails(path, &["stock", "--every", "5"], 2);

    // --watch refreshes until it is interrupted.
    let mut watching = keypool(path)
        .args(["stock", "--watch", "--every", "1", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watching.stdout.take().unwrap()));
    for _ in 0..2 {
        assert!(lines.next().unwrap().unwrap().contains("\"available\":2"));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&watching), rustix::process::Signal::INT)
        .unwrap();
    assert_eq!(watching.wait().unwrap().code(), Some(0));
    // It also ends when the reader is gone.
    let shell = format!("'{}' stock --watch --every 1 | head -1", env!("CARGO_BIN_EXE_keypool"));
    let output = std::process::Command::new("sh").current_dir(path).args(["-c", &shell]).output().unwrap();
    assert!(text(&output.stdout).starts_with("PRODUCT"));
    assert_eq!(
        fails(path, &["stock", "--product", "77"], 1),
        "error: there is no product 77, and no key of it\n"
    );
    local.stop();
}

/// Imports keys that somebody already has: with a status and an owner, but without a time.
fn import(folder: &Path, name: &str, lines: &str) {
    std::fs::write(folder.join(name), lines).unwrap();
    ok(folder, &["keys", "import", name]);
}

#[tokio::test]
async fn an_imported_key_with_an_owner_is_not_released_by_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0", "--memory"]);
    let lines = "license_key,product_id,status,customer_email\nB-1,3,inactive,ada@example.com\n\
        R-1,3,reserved,ada@example.com\nR-2,3,reserved,\n";
    import(path, "old.csv", lines);
    assert_eq!(ok(path, &["keys", "unblock", "B-1"]), "B-1  blocked → assigned\n");
    let key = values(path, &["keys", "show", "B-1", "--json"]).remove(0);
    assert_eq!((&key["status"], &key["owner_email"]), (&json!("assigned"), &json!("ada@example.com")));
    let (said, _) = partly(path, &["keys", "release", "R-1", "R-2"]);
    assert_eq!(
        said,
        "R-1  not changed: it has an owner; --take-from-owner takes it back\nR-2  reserved → available\n"
    );
    assert_eq!(local.post("assign-license-key", &[("license_key", "B-1")]).await["code"], 801);
    ok(path, &["keys", "release", "R-1", "--take-from-owner"]);
    local.stop();
}

#[tokio::test]
async fn an_export_can_be_imported() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let local = Local::start(old.path(), &["--port", "0", "--memory"]);
    stock(&local, "1", &["X-1", "X-2", "X \"3\", ü"]).await;
    stock(&local, "3", &["X-4", "X-5"]).await;
    sell(&local, "X-2", "Grüße, \"Ada\"\nLovelace").await;
    sell(&local, "X-5", "Not set").await;
    ok(old.path(), &["keys", "block", "X-5"]);
    ok(old.path(), &["keys", "block", "X-1"]);
    let all = |folder: &Path| {
        let exported = values(folder, &["keys", "export", "--format", "jsonl"]);
        let mut keys: Vec<Value> = exported.into_iter().collect();
        keys.sort_by_key(|key| key["license_key"].to_string());
        for key in &mut keys {
            for of_the_table in ["id", "version", "created_at", "updated_at"] {
                key.as_object_mut().unwrap().remove(of_the_table).unwrap();
            }
        }
        keys
    };
    let expected = all(old.path());
    assert_eq!(expected.len(), 5);
    for format in ["csv", "jsonl"] {
        let name = format!("keys.{format}");
        ok(old.path(), &["keys", "export", "--format", format, "--output", &name]);
        let other = Local::start(new.path(), &["--port", "0", "--memory"]);
        std::fs::copy(old.path().join(&name), new.path().join(&name)).unwrap();
        ok(new.path(), &["keys", "import", &name]);
        assert_eq!(all(new.path()), expected, "{format}");
        other.stop();
    }
    local.stop();
}

#[tokio::test]
async fn owner_names_cannot_inject_terminal_escapes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0", "--memory"]);
    stock(&local, "1", &["T-1"]).await;
    sell(&local, "T-1", "\u{1b}[2J\u{1b}]0;owned\u{7}\nT-2  1  available").await;
    for arguments in [&["keys", "list"][..], &["keys", "show", "T-1"], &["audit"]] {
        let mut command = keypool(path);
        let output = command.args(arguments).env("CLICOLOR_FORCE", "1").output().unwrap();
        let said = text(&output.stdout);
        assert!(
            !said.contains("\u{1b}[2J") && !said.contains("\u{1b}]") && !said.contains('\u{7}'),
            "{said:?}"
        );
        assert!(!said.contains("\nT-2"), "{said}");
    }
    // For programs the name is unchanged.
    let key = values(path, &["keys", "show", "T-1", "--json"]).remove(0);
    assert!(key["owner_name"].as_str().unwrap().starts_with('\u{1b}'));
    local.stop();
}

#[tokio::test]
async fn keys_sold_elsewhere_do_not_count_as_sales() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0", "--memory"]);
    import(path, "old.csv", "license_key,product_id,status\nS-1,1,sold\nS-2,1,sold\nS-3,1,active\n");
    let one = values(path, &["stock", "--product", "1", "--json"]).remove(0).take();
    let line = &one[0];
    assert_eq!((&line["assigned"], &line["sold_last_day"]), (&json!(2), &json!(0)), "{line}");
    assert_eq!(line["hours_left"], Value::Null);
    local.stop();
}

#[tokio::test]
async fn an_interrupted_change_reports_every_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let names: Vec<String> = (0..900).map(|nth| format!("I-{nth}")).collect();
    stock(&local, "1", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    std::fs::write(path.join("keys.txt"), names.join("\n")).unwrap();
    let mut blocking = keypool(path)
        .args(["keys", "block", "--file", "keys.txt", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(blocking.stdout.take().unwrap()));
    let first = lines.next().unwrap().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&blocking), rustix::process::Signal::INT)
        .unwrap();
    let told: Vec<String> = std::iter::once(first).chain(lines.map(Result::unwrap)).collect();
    let ended = blocking.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", text(&ended.stderr));
    assert_eq!(told.len(), names.len());
    let changed: BTreeSet<String> = told
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|told| told["changed"] == true)
        .map(|told| told["license_key"].as_str().unwrap().to_owned())
        .collect();
    let blocked = values(path, &["keys", "export", "--status", "blocked", "--json"]);
    let blocked: BTreeSet<String> =
        blocked.iter().map(|key| key["license_key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(changed, blocked);
    assert!(!changed.is_empty() && changed.len() < names.len(), "{}", changed.len());
    local.stop();
}
