//! `keypool call … --await-callback`: queued orders and their callbacks.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Local, fails, json, keypool, ok, run, text};

const QUEUED: &str = "random-assign-license-keys-queued";
/// A product with a signing key of its own.
const PRODUCT: &str = "product_id=2";
/// A product without keys and without a generator.
const EMPTY: &str = "product_id=3";

fn order<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["call", QUEUED, "--await-callback"], more].concat()
}

fn start(path: &Path) -> Local {
    let local = Local::start(path, &["--port", "0", "--memory"]);
    std::fs::write(path.join("keys.csv"), "license_key\nK-1\nK-2\nK-3\nK-4\nK-5\n").unwrap();
    ok(path, &["keys", "import", "keys.csv", "--product", "2"]);
    local
}

/// A command that waits for a callback.
struct Waiting {
    child: Child,
    stderr: BufReader<ChildStderr>,
    webhook_url: String,
}

impl Drop for Waiting {
    /// Ends the command if a test fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Waiting {
    fn start(path: &Path, arguments: &[&str]) -> Self {
        let mut command = keypool(path);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut waiting = Self { child, stderr, webhook_url: String::new() };
        let mut said = String::new();
        while waiting.stderr.read_line(&mut said).unwrap() > 0 {
            if let Some((_, url)) = said.split_once(" for the callback to ") {
                url.trim_end().clone_into(&mut waiting.webhook_url);
                return waiting;
            }
        }
        panic!("it does not wait: {said}");
    }

    /// Waits for the end. Returns the exit code, and the output since the wait began.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }
}

#[test]
fn an_order_is_followed_from_807_to_its_callback() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = start(path);
    let output = run(path, &order(&[PRODUCT, "quantity=2", "identifier=31"]));
    let (said, note) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{note}");
    let values: Vec<Value> =
        serde_json::Deserializer::from_str(&said).into_iter().collect::<Result<_, _>>().unwrap();
    let [accepted, filled] = values.as_slice() else { panic!("{said}") };
    assert_eq!(accepted["code"], 807);
    assert_eq!((&filled["code"], &filled["identifier"]), (&json!(803), &json!("31")));
    assert_eq!(filled["license_keys"].as_array().unwrap().len(), 2);
    let lines: Vec<&str> = note.lines().collect();
    let signed = "signed by the signing key of product 2 (alias/keypool-product-2)";
    let [first, waiting, came, last] = lines[..] else { panic!("{note}") };
    assert_eq!((first, last), (signed, signed));
    assert!(waiting.starts_with("waiting up to 1m for the callback to http://127.0.0.1:"), "{waiting}");
    let id = came.strip_prefix("received the callback: webhook-id ").unwrap();
    let id = id.strip_suffix(", code 803, identifier 31, 2 license keys").unwrap();
    // keypool stores the status 200 a moment later.
    let show = || ok(path, &["orders", "show", id]);
    let shown = (0..50).map(|_| show()).find(|shown| shown.contains("  state          delivered\n"));
    let shown = shown.unwrap_or_else(show);
    assert!(shown.contains("  attempts       1\n"), "{shown}");
    assert!(shown.contains("\n  callback       http://127.0.0.1:"), "{shown}");
    assert!(shown.contains("the shop has it (status 200)"), "{shown}");
    local.stop();
}

#[test]
fn json_output_has_the_answer_and_the_callback() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = start(path);
    std::fs::write(path.join("request.json"), "{\"product_id\": 2, \"quantity\": \"1\"}\n").unwrap();
    let said = ok(path, &order(&["--file", "request.json", "--json"]));
    assert_eq!(said.lines().count(), 1, "{said}");
    let both = json(&said);
    let callback = &both["callback"];
    assert_eq!((&both["answer"]["response"]["code"], &callback["code"]), (&json!(807), &json!(803)));
    assert_eq!((&callback["identifier"], &callback["license_keys"]), (&Value::Null, &json!(1)));
    ok(path, &["orders", "show", callback["webhook_id"].as_str().unwrap()]);
    // The envelopes are unchanged: their members are in the order in which keypool wrote them.
    assert!(said.starts_with("{\"answer\":{\"response\":{\"code\":807,\"message\":"), "{said}");
    assert!(said.contains(",\"envelope\":{\"response\":{\"code\":803,\"message\":"), "{said}");
    for (name, envelope) in [("answer", &both["answer"]), ("callback", &callback["envelope"])] {
        std::fs::write(path.join(name), envelope.to_string()).unwrap();
        let checked = ok(path, &["verify", name, "--product", "2"]);
        assert!(checked.starts_with("valid"), "{checked}");
    }
    local.stop();
}

#[test]
fn a_late_callback_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = start(path);
    let limit = ["--callback-timeout", "1s"];
    let output = run(path, &order(&[&[EMPTY, "quantity=1", "--json"], &limit[..]].concat()));
    let note = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{note}");
    let both = json(&text(&output.stdout));
    assert_eq!((&both["answer"]["response"]["code"], &both["callback"]), (&json!(807), &Value::Null));
    let queued = json(&ok(path, &["orders", "list", "--json"]));
    let id = queued[0]["id"].as_str().unwrap();
    assert!(note.contains(&format!("\nerror: no callback arrived within 1s: order {id} is ")), "{note}");
    assert!(note.ends_with(&format!("stays in the queue; `keypool orders cancel {id}` ends it\n")), "{note}");
    ok(path, &["orders", "cancel", id]);
    local.stop();
}

#[test]
fn ctrl_c_ends_the_wait_and_keeps_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = start(path);
    let waiting = Waiting::start(path, &order(&[EMPTY, "quantity=1"]));
    kill_process(Pid::from_child(&waiting.child), Signal::INT).unwrap();
    let (code, said, note) = waiting.end();
    assert_eq!(code, Some(130), "{note}");
    assert!(!said.contains("803"), "{said}");
    assert_eq!(note, "interrupted; the order stays in the queue: `keypool orders list` shows it\n");
    assert_eq!(json(&ok(path, &["orders", "list", "--json"])).as_array().unwrap().len(), 1);
    local.stop();
}

#[tokio::test]
async fn a_callback_with_a_wrong_signature_exits_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = start(path);
    let envelope = |code: &str| {
        format!(
            r#"{{"original":{{"response":{{}},"response_base64":"{code}","private_key_used":"global","signature":"AAAA"}}}}"#
        )
    };
    for (body, expected) in [
        ("{}".to_owned(), "do not trust this callback: it has no member `original`\n"),
        // {"code":803}
        (envelope("eyJjb2RlIjo4MDN9"), "do not trust this response: "),
    ] {
        let waiting = Waiting::start(path, &order(&[EMPTY, "quantity=1"]));
        let post = |url: &str| reqwest::Client::new().post(url).header("webhook-id", "x").body(body.clone());
        let elsewhere = format!("{}x", waiting.webhook_url);
        assert_eq!(post(&elsewhere).send().await.unwrap().status(), 404);
        let without_id = reqwest::Client::new().post(&waiting.webhook_url).body(body.clone());
        assert_eq!(without_id.send().await.unwrap().status(), 400);
        let answered = post(&waiting.webhook_url).send().await.unwrap();
        assert_eq!(answered.status(), 200);
        assert_eq!(answered.bytes().await.unwrap(), "");
        let (code, said, note) = waiting.end();
        assert_eq!(code, Some(4), "{note}");
        assert!(note.contains(expected), "{note}");
        assert!(said.contains("\"code\": 807"), "{said}");
    }
    local.stop();
}

#[test]
fn a_refused_order_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = start(path);
    let output = run(path, &order(&["product_id=99", "quantity=1", "--json"]));
    let note = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{note}");
    assert!(note.ends_with("805: there is no such product, or it is disabled\n"), "{note}");
    assert!(!note.contains("waiting"), "{note}");
    let both = json(&text(&output.stdout));
    assert_eq!((&both["answer"]["response"]["code"], &both["callback"]), (&json!(805), &Value::Null));
    local.stop();
}

#[test]
fn await_callback_refuses_conflicting_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("request.json"), "{\"webhook_url\": \"https://shop.example/\"}").unwrap();
    for (arguments, expected) in [
        (order(&[PRODUCT, "webhook_url=https://shop.example/"]), "sets the webhook_url itself"),
        (order(&["--file", "request.json"]), "sets the webhook_url itself"),
        (vec!["call", "generate", "--await-callback"], "no other endpoint calls back"),
        (order(&["--url", "http://127.0.0.1:9"]), "cannot be used with"),
        (order(&["--idempotency-key", "a"]), "cannot be used with"),
        (vec!["call", QUEUED, "--callback-timeout", "5m"], "--await-callback"),
        (order(&["--stack", "shop"]), "a stack on AWS cannot reach this machine"),
        (order(&["--table", "shop"]), "a stack on AWS cannot reach this machine"),
    ] {
        let said = fails(path, &arguments, 2);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
