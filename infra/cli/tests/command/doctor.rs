//! `keypool doctor`.

use std::path::Path;

use serde_json::Value;

use crate::aws::{Account, serve};
use crate::harness::{Local, ok, run, text};

/// What the doctor says of a target in an account: exit code and the checks.
fn examine(account: &Account, folder: &Path, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = account.keypool(folder).args(arguments).args(["doctor", "--json"]).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr));
    });
    (output.status.code(), value["checks"].as_array().unwrap().clone())
}

/// Level and text of a check.
fn found<'a>(checks: &'a [Value], check: &str) -> (&'a str, &'a str) {
    let found = checks.iter().find(|found| found["check"] == check).unwrap();
    (found["level"].as_str().unwrap(), found["said"].as_str().unwrap())
}

#[tokio::test]
async fn a_fresh_local_stack_has_no_fault_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let before = [ok(path, &["product", "list", "--json"]), ok(path, &["api-key", "list", "--json"])];
    let output = run(path, &["doctor"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for expected in [
        "ok       clock          differs by ",
        "ok       table          keypool is there, with the keys it must have\n",
        "ok       index          available is there",
        "ok       product 1      has no keys in stock, and a generator that makes them\n",
        "ok       product 2      its signing key (alias/keypool-product-2) signs",
        "warning  product 3      has no keys in stock and nothing that makes any: it cannot be sold\n",
        "-> put keys into stock, or: keypool generator create --product 3",
        "warning  API keys       demo opens all endpoints, from anywhere",
        "ok       orders         none was left half done\n",
        "ok       signing key    the global key (alias/keypool) signs, and its public key confirms it\n",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    let api = format!("ok       API            {} answers, signed by the global signing key", local.base_url);
    assert!(said.contains(&api), "{said}");
    assert!(said.ends_with("0 faults, 2 warnings\n"), "{said}");
    assert_eq!([ok(path, &["product", "list", "--json"]), ok(path, &["api-key", "list", "--json"])], before);
    local.stop();
}

#[tokio::test]
async fn a_stack_on_aws_is_looked_over_whole() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let account = Account::of(&local, folder.path());
    let (code, checks) = examine(&account, folder.path(), &["--stack", "shop"]);
    assert_eq!(code, Some(0), "{checks:?}");
    assert_eq!(found(&checks, "API").0, "ok");
    let (level, said) = found(&checks, "protection");
    assert!(level == "warning" && said.contains("one command deletes the table"), "{said}");
    // The embedded DynamoDB does not know the question.
    let (level, said) = found(&checks, "recovery");
    assert!(level == "warning" && said.starts_with("not checked: "), "{said}");

    let (code, checks) = examine(&account, folder.path(), &["--table", "keypool"]);
    assert_eq!(code, Some(0), "{checks:?}");
    for check in ["API", "signing key"] {
        let (level, said) = found(&checks, check);
        assert!(level == "warning" && said.starts_with("not checked: "), "{said}");
    }
    local.stop();
}

#[tokio::test]
async fn each_fault_is_named_with_its_way_out_and_ends_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let account = Account::of(&local, path);
    for (arguments, check, expected) in [
        (&["--table", "nope"][..], "table", "there is no table nope: nothing can be sold"),
        (&["--stack", "deaf"], "API", "Connection refused"),
        (
            &["--stack", "shop", "--global-signing-key", "alias/nope"],
            "signing key",
            "the global key (alias/nope): GetPublicKey: KMS refuses (NotFoundException)",
        ),
        (
            &["--stack", "shop", "--global-signing-key", "alias/keypool-product-2"],
            "API",
            "another key signed it, or it was changed since: shops refuse every answer",
        ),
    ] {
        let (code, checks) = examine(&account, path, arguments);
        let (level, said) = found(&checks, check);
        assert_eq!((code, level), (Some(4), "fault"), "{arguments:?}: {checks:?}");
        assert!(said.contains(expected), "{said}");
        assert!(checks.iter().all(|found| (found["level"] == "ok") == found["way_out"].is_null()));
    }
    local.stop();
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let account = Account::of(&local, path);
    // A DynamoDB of another time, which refuses all else.
    let dynamodb = serve(|_| {
        let headers = "date: Sun, 01 Jan 2023 00:00:00 GMT\r\ncontent-type: application/x-amz-json-1.0\r\n";
        let body = r#"{"__type": "com.amazon.coral.service#AccessDeniedException"}"#;
        (400, headers.to_owned(), body.to_owned())
    });
    let account = Account { dynamodb, ..account };
    let (code, checks) = examine(&account, path, &["--stack", "shop"]);
    assert_eq!(code, Some(4));
    let (level, said) = found(&checks, "clock");
    assert!(level == "fault" && said.contains(" s ahead of DynamoDB's: AWS takes no request"), "{said}");
    // What the operator may not see says nothing of the shop.
    for check in ["table", "products", "orders"] {
        let (level, said) = found(&checks, check);
        assert!(level == "warning" && said.starts_with("not checked: "), "{check}: {said}");
    }
    let table = checks.iter().find(|found| found["check"] == "table").unwrap();
    assert!(table["way_out"].as_str().unwrap().contains("they need dynamodb:DescribeTable"), "{table}");
    local.stop();
}

#[tokio::test]
async fn an_api_without_a_stack_behind_it_serves_no_shop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    // What runs on the data folder is not what answers there.
    let mut endpoints: Value =
        serde_json::from_str(&std::fs::read_to_string(path.join(".keypool/endpoints.json")).unwrap())
            .unwrap();
    endpoints["base_url"] = serve(|_| (502, String::new(), "Bad Gateway".to_owned())).into();
    std::fs::write(path.join(".keypool/endpoints.json"), endpoints.to_string()).unwrap();
    let output = run(path, &["doctor"]);
    assert_eq!(output.status.code(), Some(4));
    let said = text(&output.stdout);
    assert!(said.contains("answers 502 Bad Gateway without an envelope: no shop is served"), "{said}");
    assert!(said.ends_with("1 fault, 2 warnings\n"), "{said}");
    local.stop();
}

#[tokio::test]
async fn without_a_target_there_is_nothing_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let said = crate::harness::fails(folder.path(), &["doctor"], 1);
    assert!(said.contains("no stack runs on the data folder"), "{said}");
}
