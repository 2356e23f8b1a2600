//! The selection of the table that a command works on.

use std::path::Path;

use serde_json::Value;

use crate::aws::{Account, OPERATOR};
use crate::harness::{Local, keypool, ok, text};

#[test]
fn an_unreachable_table_is_reported_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = keypool(folder.path());
    command
        .args(["product", "list", "--table", "t", "--region", "eu-central-1"])
        .args(["--endpoint-url", "http://127.0.0.1:9"])
        .envs([
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: Query: DynamoDB is unavailable (connection failed)\nhelp: DynamoDB does not respond: check the network and the region (table t in eu-central-1), and try again\n"
    );
}

#[test]
fn missing_credentials_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = keypool(folder.path());
    command
        .args(["product", "list", "--table", "t", "--region", "eu-central-1"])
        .envs([("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nonexistent")])
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_PROFILE");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with("error: no AWS credentials: set AWS_PROFILE, or"), "{said}");
}

/// Runs the command in an account. Returns its exit code, standard output and standard error.
fn run_in(account: &Account, folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = account.keypool(folder).args(arguments).output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_stack_supplies_its_table_api_and_signing_key() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let account = Account::of(&local, folder.path());
    let (code, said, note) = run_in(&account, folder.path(), &["target", "--stack", "shop"]);
    let expected = format!(
        "target       AWS, region eu-central-1\ntable        keypool\nbase URL     {}\n\
         signing key  alias/keypool\nyou are      {OPERATOR}\n",
        local.base_url
    );
    assert_eq!((code, said, note), (Some(0), expected, String::new()));
    let (_, json, _) = run_in(&account, folder.path(), &["--stack", "shop", "target", "--json"]);
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["kind"], "aws");
    assert_eq!(value["table"], "keypool");
    assert_eq!(value["base_url"], local.base_url.as_str());
    assert_eq!(value["global_signing_key"], "alias/keypool");
    assert_eq!(value["principal"], OPERATOR);
    let (code, products, _) = run_in(&account, folder.path(), &["product", "list", "--stack", "shop"]);
    assert_eq!((code, products.lines().count()), (Some(0), 4));
    // Options take precedence over the environment, where the stack takes precedence over the table.
    for (arguments, variable, table) in [
        (&["target", "--table", "keypool"][..], "KEYPOOL_STACK", "unknown: give --stack"),
        (&["target", "--stack", "shop"], "KEYPOOL_TABLE", &*local.base_url),
        (&["target"], "KEYPOOL_STACK", &local.base_url),
    ] {
        let mut command = account.keypool(folder.path());
        let output =
            command.args(arguments).env("KEYPOOL_TABLE", "nope").env(variable, "shop").output().unwrap();
        let said = text(&output.stdout);
        assert!(said.contains(&format!("base URL     {table}\n")), "{arguments:?}: {said}");
    }
    // A table alone does not supply the rest.
    let (code, said, _) = run_in(&account, folder.path(), &["target", "--table", "keypool"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("base URL     unknown: give --stack\n"), "{said}");
    local.stop();
}

#[tokio::test]
async fn the_local_target_is_printed_as_text_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let said = ok(folder.path(), &["target"]);
    assert!(said.starts_with("target       the local stack of the data folder .keypool\n"), "{said}");
    let value: Value = serde_json::from_str(&ok(folder.path(), &["target", "--json"])).unwrap();
    assert_eq!((&value["kind"], &value["table"]), (&"local".into(), &"keypool".into()));
    assert_eq!(value["base_url"], local.base_url.as_str());
    assert!(value["principal"].as_str().unwrap().starts_with("local:"));
    local.stop();
}

#[tokio::test]
async fn an_unusable_target_is_reported_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let account = Account::of(&local, folder.path());
    for (arguments, expected) in [
        (
            &["target", "--stack", "nope"][..],
            "error: there is no stack nope in eu-central-1: `aws cloudformation list-stacks` lists the stacks\n",
        ),
        (
            &["target", "--stack", "website"],
            "error: the stack website is not a keypool stack: it has no output TableName\n",
        ),
        (
            &["product", "list", "--stack", "forbidden"],
            "error: these credentials lack the permission cloudformation:DescribeStacks: have it granted, or set \
             AWS_PROFILE to others\n",
        ),
        (
            &["product", "list", "--stack", "late"],
            "error: the credentials have expired: sign in again (`aws sso login`), or renew them\n",
        ),
        (
            &["product", "list", "--stack", "stranger"],
            "error: AWS does not know these credentials: check AWS_PROFILE or the access key\n",
        ),
        (
            &["product", "list", "--table", "nope"],
            "error: Query: DynamoDB refuses (ResourceNotFoundException); check the table's name, the credentials and \
             the permissions\nhelp: there is no such table: check the target (table nope in eu-central-1; `keypool \
             target` shows it), or give another --stack, --table or --region\n",
        ),
    ] {
        let (code, said, note) = run_in(&account, folder.path(), arguments);
        assert_eq!((code, said.as_str(), note.as_str()), (Some(1), "", expected), "{arguments:?}");
    }
    let unreachable = Account { query_url: "http://127.0.0.1:9".to_owned(), ..account };
    let (code, _, note) = run_in(&unreachable, folder.path(), &["target", "--stack", "shop"]);
    assert_eq!(
        (code, note.as_str()),
        (
            Some(1),
            "error: cloudformation does not respond (connection failed): check the network and the region, and try \
             again\n"
        )
    );
    local.stop();
}

#[tokio::test]
async fn each_service_has_its_own_or_the_common_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let account = Account::of(&local, folder.path());
    let nowhere = "http://127.0.0.1:9";
    let of_table = ["--table", "keypool"];
    let public_key = ["signing-key", "public-key", "--key", "alias/keypool"];
    // The common setting applies only to services without their own setting.
    for (arguments, all, own, code) in [
        (&["product", "list"][..], &account.dynamodb, ("KMS", nowhere), 0),
        (&["product", "list"], &nowhere.to_owned(), ("DYNAMODB", &*account.dynamodb), 0),
        (&["product", "list"], &account.dynamodb, ("DYNAMODB", nowhere), 1),
        (&public_key, &account.kms, ("DYNAMODB", &account.dynamodb), 0),
        (&public_key, &account.dynamodb, ("KMS", nowhere), 1),
        (&public_key, &account.dynamodb, ("KMS", &account.kms), 0),
        (&["target"], &account.query_url, ("STS", nowhere), 1),
        // The option applies to DynamoDB only.
        (&["target", "--endpoint-url", nowhere], &account.query_url, ("KMS", nowhere), 0),
        (&["product", "list", "--endpoint-url", nowhere], &account.dynamodb, ("KMS", nowhere), 1),
        (&["product", "list", "--endpoint-url", &account.dynamodb], &nowhere.to_owned(), ("KMS", nowhere), 0),
    ] {
        let mut command = account.keypool(folder.path());
        command.env_remove("AWS_ENDPOINT_URL_DYNAMODB").env_remove("AWS_ENDPOINT_URL_KMS");
        command.env("AWS_ENDPOINT_URL", all).env(format!("AWS_ENDPOINT_URL_{}", own.0), own.1);
        let output = command.args(arguments).args(of_table).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}, {all} and {own:?}: {said}");
    }
    local.stop();
}
