//! `keypool doctor`.

use std::path::Path;

use serde_json::Value;

use crate::aws::{Account, Watch, serve};
use crate::harness::{Local, ok, run, text};

/// Runs the doctor on a target in an account. Returns the exit code and the checks.
fn examine(account: &Account, folder: &Path, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = account.keypool(folder).args(arguments).args(["doctor", "--json"]).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr));
    });
    (output.status.code(), value["checks"].as_array().unwrap().clone())
}

/// The level and the text of a check.
fn found<'a>(checks: &'a [Value], check: &str) -> (&'a str, &'a str) {
    let found = checks.iter().find(|found| found["check"] == check).unwrap();
    (found["level"].as_str().unwrap(), found["said"].as_str().unwrap())
}

#[tokio::test]
async fn a_fresh_local_stack_has_no_faults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let before = [ok(path, &["product", "list", "--json"]), ok(path, &["api-key", "list", "--json"])];
    let output = run(path, &["doctor"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for expected in [
        "ok       clock          differs by ",
        "ok       table          keypool exists and has the right keys\n",
        "ok       index          available exists",
        "ok       product 1      has no keys in stock, and a generator that makes them\n",
        "ok       product 2      its signing key (alias/keypool-product-2) signs",
        "warning  product 3      has no keys in stock and no generator, so it cannot be sold\n",
        "-> put keys into stock, or: keypool generator create --product 3",
        "warning  API keys       demo opens all endpoints from anywhere",
        "ok       orders         none is stuck\n",
        "ok       signing key    the global key (alias/keypool) signs, and its public key verifies the signature\n",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    let api =
        format!("ok       API            {} responds, signed by the global signing key", local.base_url);
    assert!(said.contains(&api), "{said}");
    assert!(said.ends_with("0 faults, 2 warnings\n"), "{said}");
    assert_eq!([ok(path, &["product", "list", "--json"]), ok(path, &["api-key", "list", "--json"])], before);
    local.stop();
}

#[tokio::test]
async fn a_stack_on_aws_is_fully_checked() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let account = Account::of(&local, folder.path());
    let (code, checks) = examine(&account, folder.path(), &["--stack", "shop"]);
    assert_eq!(code, Some(0), "{checks:?}");
    assert_eq!(found(&checks, "API").0, "ok");
    let (level, said) = found(&checks, "protection");
    assert!(level == "warning" && said.contains("one command can delete the table"), "{said}");
    // The embedded DynamoDB does not support this operation.
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
async fn each_fault_has_a_remedy_and_exits_with_4() {
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
            "another key signed the response, or somebody changed it: shops refuse every response",
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
async fn a_wrong_clock_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let account = Account::of(&local, path);
    // A DynamoDB with another time, which refuses all requests.
    let dynamodb = serve(|_| {
        let headers = "date: Sun, 01 Jan 2023 00:00:00 GMT\r\ncontent-type: application/x-amz-json-1.0\r\n";
        let body = r#"{"__type": "com.amazon.coral.service#AccessDeniedException"}"#;
        (400, headers.to_owned(), body.to_owned())
    });
    let account = Account { dynamodb, ..account };
    let (code, checks) = examine(&account, path, &["--stack", "shop"]);
    assert_eq!(code, Some(4));
    let (level, said) = found(&checks, "clock");
    assert!(level == "fault" && said.contains(" s ahead of DynamoDB's: AWS refuses all requests"), "{said}");
    // A missing permission is a warning, not a fault of the shop.
    for check in ["table", "products", "orders"] {
        let (level, said) = found(&checks, check);
        assert!(level == "warning" && said.starts_with("not checked: "), "{check}: {said}");
    }
    let table = checks.iter().find(|found| found["check"] == "table").unwrap();
    assert!(table["way_out"].as_str().unwrap().contains("they need dynamodb:DescribeTable"), "{table}");
    local.stop();
}

#[tokio::test]
async fn a_nearly_reached_limit_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0", "--memory"]);
    let create = ["api-key", "create", "--name", "shop", "--keys-per-hour", "10", "--json"];
    let made: Value = serde_json::from_str(&ok(path, &create)).unwrap();
    let secret = made["api_key"].as_str().unwrap();
    let generate = async |quantity: &str| {
        let form = [("api_key", secret), ("generator_id", "1"), ("quantity", quantity)];
        assert_eq!(local.post("generate", &form).await["code"], 815);
    };
    let doctor = || text(&run(path, &["doctor"]).stdout);
    let ample = "ok       limits         1 API keys have one; none was nearly reached in the last week\n";
    assert!(doctor().contains(ample), "{}", doctor());
    generate("7").await;
    assert!(doctor().contains(ample), "{}", doctor());
    generate("1").await;
    let nearly = "warning  limits         shop sold 8 keys in one hour of the last week; 10 are allowed\n";
    assert!(doctor().contains(nearly), "{}", doctor());
    ok(path, &["api-key", "update", "shop", "--keys-per-hour", "11"]);
    assert!(doctor().contains(ample), "{}", doctor());
    ok(path, &["api-key", "update", "shop", "--no-keys-per-hour"]);
    assert!(!doctor().contains(" limits "), "{}", doctor());
    local.stop();
}

#[tokio::test]
async fn an_api_without_envelopes_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    // Another server responds at the base URL in the data folder.
    let mut endpoints: Value =
        serde_json::from_str(&std::fs::read_to_string(path.join(".keypool/endpoints.json")).unwrap())
            .unwrap();
    endpoints["base_url"] = serve(|_| (502, String::new(), "Bad Gateway".to_owned())).into();
    std::fs::write(path.join(".keypool/endpoints.json"), endpoints.to_string()).unwrap();
    let output = run(path, &["doctor"]);
    assert_eq!(output.status.code(), Some(4));
    let said = text(&output.stdout);
    assert!(said.contains("responds 502 Bad Gateway without an envelope: shops cannot use it"), "{said}");
    assert!(said.ends_with("1 fault, 2 warnings\n"), "{said}");
    local.stop();
}

#[tokio::test]
async fn doctor_without_a_target_fails() {
    let folder = tempfile::tempdir().unwrap();
    let said = crate::harness::fails(folder.path(), &["doctor"], 1);
    assert!(said.contains("no stack runs on the data folder"), "{said}");
}

#[tokio::test]
async fn sweep_alarms_and_quotas_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let account = Account::of(&local, path);
    let (code, checks) = examine(&account, path, &["--stack", "shop"]);
    assert_eq!(code, Some(0), "{checks:?}");
    for (check, expected) in [
        ("sweep", "ran 14 times in the last 15 minutes"),
        ("alarms", "none of 2 is raised"),
        ("concurrency", "1000 requests at a time for all functions of the account"),
        (
            "KMS quota",
            "1000 RSA signatures a second for all keys of the account; 2.0 in the busiest minute of the last day",
        ),
    ] {
        assert_eq!(found(&checks, check), ("ok", expected));
    }
    let well = Watch::default();
    for (watch, code, check, expected) in [
        (
            Watch { errors: vec![1.0; 14], ..well.clone() },
            4,
            "sweep",
            ("fault", "failed 14 of 14 times in the last 15 minutes"),
        ),
        (
            Watch { errors: vec![1.0, 0.0], ..well.clone() },
            0,
            "sweep",
            ("warning", "failed 1 of 14 times in the last 15 minutes"),
        ),
        (
            Watch { runs: vec![], errors: vec![], ..well.clone() },
            0,
            "sweep",
            (
                "warning",
                "did not run in the last 15 minutes: interrupted orders are neither finished nor undone",
            ),
        ),
        (
            Watch { alarms: vec![("shop-StockLowAlarm", "1 datapoint"), ("other", "x")], ..well.clone() },
            0,
            "alarms",
            ("warning", "shop-StockLowAlarm is raised: 1 datapoint"),
        ),
        (
            Watch { concurrency: 10.0, ..well.clone() },
            0,
            "concurrency",
            ("warning", "10 requests at a time for all functions of the account: further requests get 503"),
        ),
        (
            Watch { concurrency: 99.0, has_default_quotas: true, ..well.clone() },
            0,
            "concurrency",
            ("warning", "99 requests at a time for all functions of the account: further requests get 503"),
        ),
        (
            Watch { rsa: 500.0, signatures: vec![3.0, 24_000.0, 6.0], ..well.clone() },
            0,
            "KMS quota",
            (
                "warning",
                "500 RSA signatures a second for all keys of the account; 400.0 in the busiest minute of the last day",
            ),
        ),
    ] {
        let (got, checks) = examine(&account.watched(watch), path, &["--stack", "shop"]);
        assert_eq!((got, found(&checks, check)), (Some(code), expected));
        let of_aws = ["sweep", "alarms", "concurrency", "KMS quota"];
        let others = of_aws.iter().filter(|other| **other != check);
        assert!(others.into_iter().all(|other| found(&checks, other).0 == "ok"), "{checks:?}");
        assert!(checks.iter().all(|found| (found["level"] == "ok") == found["way_out"].is_null()));
    }
    local.stop();
}

#[tokio::test]
async fn a_missing_permission_is_a_warning_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let account = Account::of(&local, path);
    for (stack, forbidden, checks_of, permission) in [
        ("shop", "GetMetricData", &["sweep", "KMS quota"][..], "cloudwatch:GetMetricData"),
        ("shop", "DescribeAlarms", &["alarms"], "cloudwatch:DescribeAlarms"),
        ("shop", "GetServiceQuota", &["concurrency", "KMS quota"], "servicequotas:GetServiceQuota"),
        ("forbidden-resources", "", &["sweep, alarms"], "cloudformation:ListStackResources"),
    ] {
        let account = account.watched(Watch { forbidden, ..Watch::default() });
        let (code, checks) = examine(&account, path, &["--stack", stack]);
        assert_eq!(code, Some(0), "{checks:?}");
        for check in checks_of {
            let (level, said) = found(&checks, check);
            assert_eq!(level, "warning");
            let expected = format!("not checked: these credentials lack the permission {permission}");
            assert!(said.starts_with(&expected), "{said}");
        }
        assert_eq!(found(&checks, "API").0, "ok", "the rest is checked");
    }
    // A table does not name its stack.
    let (code, checks) = examine(&account, path, &["--table", "keypool"]);
    assert_eq!((code, found(&checks, "sweep, alarms").0), (Some(0), "warning"));
    assert_eq!(found(&checks, "concurrency").0, "ok");
    // An unreachable service is also a warning.
    let deaf = Account { watch: "http://127.0.0.1:9".to_owned(), ..account };
    let (code, checks) = examine(&deaf, path, &["--stack", "shop"]);
    assert_eq!(code, Some(0), "{checks:?}");
    let (level, said) = found(&checks, "alarms");
    assert!(level == "warning" && said.starts_with("not checked: cloudwatch does not respond"), "{said}");
    local.stop();
}
