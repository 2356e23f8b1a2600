use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::{Child, Stdio};

use keypool_domain::{OperatingSystemRandomness, Randomness as _};
use rustix::process::{Pid, Signal, kill_process};

use super::{Shop, counted, summary};
use crate::harness::{Local, fails, keypool, ok, text};

const KEYS: usize = 20_000;
const IMPORT: [&str; 3] = ["big.txt", "--product", "1"];

/// Writes a file with near and distant duplicates. Returns the number of distinct keys.
fn big(shop: &Shop) -> usize {
    let line = |n: usize| match n % 100 {
        7 => format!("BIG-{}", n - 1),
        50 => format!("BIG-{}", n / 2),
        _ => format!("BIG-{n}"),
    };
    let lines: Vec<String> = (0..KEYS).map(line).collect();
    shop.write("big.txt", lines.join("\n"));
    lines.iter().collect::<std::collections::BTreeSet<_>>().len()
}

fn begin(shop: &Shop) -> Child {
    let mut command = keypool(shop.path());
    command
        .args(["keys", "import", "--json"])
        .args(IMPORT)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the receipt has this many lines, or the import has ended.
fn wait_for_lines(shop: &Shop, child: &mut Child, lines: usize) {
    let path = shop.path().join("big.txt.receipt.jsonl");
    while child.try_wait().unwrap().is_none() {
        let told = fs::read_to_string(&path).unwrap_or_default().lines().count();
        if told > lines {
            return;
        }
        std::thread::yield_now();
    }
}

/// Checks that the table and the receipt agree on every key.
async fn check(shop: &Shop, distinct: usize) {
    let told = shop.receipt("big.txt.receipt.jsonl");
    let keys = shop.keys().await;
    assert_eq!(keys.len(), distinct);
    let [lines, created, duplicate, refused] = counted(&told).map(|count| usize::try_from(count).unwrap());
    assert_eq!((lines, created, refused), (KEYS, distinct, 0));
    assert_eq!(created + duplicate, lines);
    for (line, told) in (1..).zip(&told) {
        assert_eq!(told["line"], line);
        let key = &keys[told["key"].as_str().unwrap()];
        let of_line = format!(":{line}");
        assert_eq!(told["outcome"] == "created", key["creation_id"].ends_with(&of_line), "{told} {key:?}");
        assert!(key["stock"] == "PRODUCT#1" && key["version"] == "1");
    }
}

#[tokio::test]
async fn a_repeatedly_killed_import_ends_complete() {
    let shop = Shop::open();
    let distinct = big(&shop);
    let seed = std::env::var("KEYPOOL_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut random = seed.unwrap_or_else(|| OperatingSystemRandomness.below(1_000_000));
    println!("KEYPOOL_SEED={random}");
    for _ in 0..4 {
        let mut child = begin(&shop);
        random = (random * 6_364_136_223 + 1_442_695_041) % 1_000_003;
        wait_for_lines(&shop, &mut child, random % KEYS);
        let _ = child.kill();
        child.wait().unwrap();
    }
    // The state after a power failure.
    let mut receipt =
        OpenOptions::new().append(true).open(shop.path().join("big.txt.receipt.jsonl")).unwrap();
    if !fs::read_to_string(shop.path().join("big.txt.receipt.jsonl")).unwrap().contains("complete") {
        receipt.write_all(b"{\"key\":\"BI").unwrap();
    }
    let output = shop.import(&IMPORT, 0);
    assert_eq!(summary(&output)[..2], [KEYS, distinct].map(|count| u64::try_from(count).unwrap()));
    check(&shop, distinct).await;
    let right = fs::read_to_string(shop.path().join("big.txt")).unwrap();
    shop.write("big.txt", right.clone() + "\nNEW");
    let said = text(&shop.import(&IMPORT, 1).stderr);
    assert!(said.contains("the receipt belongs to another file"), "{said}");
    shop.write("big.txt", right);
    let again = shop.import(&IMPORT, 0);
    assert!(text(&again.stderr).contains("is complete: the file was imported before"));
    assert_eq!(summary(&again), summary(&output));
}

#[tokio::test]
async fn an_interrupted_import_continues_on_the_next_run() {
    let shop = Shop::open();
    let distinct = big(&shop);
    let mut child = begin(&shop);
    wait_for_lines(&shop, &mut child, 2_000);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("run the same command again to continue"));
    let [lines, ..] = summary(&output);
    assert!((2_000..20_000).contains(&lines), "{lines}");

    // Another file or other options do not continue the import.
    let right = fs::read_to_string(shop.path().join("big.txt")).unwrap();
    let said = text(&shop.import(&["big.txt", "--product", "2"], 1).stderr);
    assert!(said.contains("began with other options"), "{said}");
    for (content, expected) in [
        (right.replacen("BIG-500\n", "OTHER\n", 1), "line 501 differs from the receipt"),
        (
            right.replacen("BIG-500\n", "\nBIG-500\n", 1),
            "the receipt goes on with line 501, the file with line 502",
        ),
        ("BIG-0\nBIG-1".to_owned(), "the file ends before line 3 of the receipt"),
    ] {
        shop.write("big.txt", content);
        let said = text(&shop.import(&IMPORT, 1).stderr);
        assert!(said.contains(expected), "{said}");
    }
    shop.write("big.txt", right);
    shop.import(&IMPORT, 0);
    check(&shop, distinct).await;
}

#[tokio::test]
async fn ctrl_c_ends_an_import_that_waits_for_input() {
    let shop = Shop::open();
    let keys: Vec<String> = (0..1_000).map(|n| format!("PIPE-{n}\n")).collect();
    let arguments = ["keys", "import", "-", "--product", "1", "--receipt", "big.txt.receipt.jsonl", "--json"];
    let begin = || {
        let mut command = keypool(shop.path());
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut child = begin();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(keys[..600].concat().as_bytes()).unwrap();
    wait_for_lines(&shop, &mut child, 400);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    drop(stdin);

    let mut child = begin();
    child.stdin.take().unwrap().write_all(keys.concat().as_bytes()).unwrap();
    assert_eq!(summary(&child.wait_with_output().unwrap()), [1_000, 1_000, 0, 0]);
    assert_eq!(shop.keys().await.len(), 1_000);
}

#[test]
fn a_file_that_is_not_a_receipt_is_not_changed() {
    let shop = Shop::open();
    shop.write("keys.txt", "A\n");
    let arguments = ["keys.txt", "--product", "1", "--receipt", "keys.txt"];
    let said = text(&shop.import(&arguments, 1).stderr);
    assert!(said.contains("keys.txt is not the receipt of an import"), "{said}");
    assert_eq!(fs::read_to_string(shop.path().join("keys.txt")).unwrap(), "A\n");
    shop.import(&["keys.txt", "--product", "1", "--receipt", "r", "--dry-run"], 0);
    let said = text(&shop.import(&["keys.txt", "--product", "1", "--receipt", "r"], 1).stderr);
    assert!(said.contains("began with other options"), "{said}");
}

#[test]
fn a_receipt_without_a_whole_first_line_begins_again() {
    let shop = Shop::open();
    shop.write("keys.txt", "A\nB\n");
    for (first, expected) in [
        ("", [2, 2, 0, 0]),
        ("{\"imp", [2, 0, 2, 0]),
        ("{\"import\":\"97", [2, 0, 2, 0]),
        ("\0\0\0", [2, 0, 2, 0]),
    ] {
        shop.write("keys.txt.receipt.jsonl", first);
        assert_eq!(summary(&shop.import(&["keys.txt", "--product", "1"], 0)), expected, "{first:?}");
        assert_eq!(shop.receipt("keys.txt.receipt.jsonl").len(), 2);
    }
    shop.write("keys.txt.receipt.jsonl", "{\"imports");
    shop.import(&["keys.txt", "--product", "1"], 1);
}

#[test]
fn a_damaged_receipt_is_written_again_from_the_damage() {
    let shop = Shop::open();
    shop.write("keys.txt", "A\nB\nA\nC\n");
    let arguments = ["keys.txt", "--product", "1"];
    shop.import(&arguments, 0);
    let whole = fs::read_to_string(shop.path().join("keys.txt.receipt.jsonl")).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let (before, after) = (lines[..2].concat(), lines[3..].concat());
    for damage in ["{\"key\":\"B", "\0\0\0\0", "\0\0\0\0\n", "{\"key\":\"B\"}\n"] {
        for damaged in [format!("{before}{damage}"), format!("{before}{damage}{after}")] {
            shop.write("keys.txt.receipt.jsonl", &damaged);
            assert_eq!(summary(&shop.import(&arguments, 0)), [4, 3, 1, 0], "{damaged:?}");
            assert_eq!(fs::read_to_string(shop.path().join("keys.txt.receipt.jsonl")).unwrap(), whole);
        }
    }
}

#[test]
fn a_receipt_belongs_to_one_table_not_to_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("keys.txt"), "A\nB\n").unwrap();
    let import = ["keys", "import", "keys.txt", "--product", "1"];
    let local = Local::start(path, &["--port", "0", "--memory"]);
    ok(path, &import);
    let elsewhere = path.join(".keypool").display().to_string();
    let said = ok(path, &[&import[..], &["--data-dir", &elsewhere]].concat());
    assert!(said.starts_with("2 lines: 2 created"), "{said}");
    local.stop();
    // A new stack in memory has another table.
    let local = Local::start(path, &["--port", "0", "--memory"]);
    let said = fails(path, &import, 1);
    assert!(said.contains("keys.txt.receipt.jsonl began with other options"), "{said}");
    ok(path, &[&import[..], &["--receipt", "second"]].concat());
    local.stop();
}
