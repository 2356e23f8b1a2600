//! The audit trail.

use crate::harness::{Local, fails, json, keypool, ok, run, text};

#[tokio::test]
async fn the_audit_trail_has_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let output = run(path, &["audit"]);
    assert_eq!(text(&output.stdout), "TIME  WHO  ACTION  SUBJECT  WHAT CHANGED\n");
    assert!(text(&output.stderr).contains("There are no such entries since"));

    let ada = |arguments: &[&str]| {
        let mut command = keypool(path);
        let output = command.env("USER", "ada").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    ada(&["product", "create", "--name", "Office", "--id", "42"]);
    ada(&["product", "update", "42", "--name", "Büro"]);
    ada(&["product", "disable", "42"]);
    ada(&["generator", "update", "1", "--validity", "30"]);
    ada(&["api-key", "create", "--name", "checkout"]);
    let secret = ada(&["api-key", "rotate", "checkout"]);
    ada(&["signing-key", "create", "--product", "42"]);

    let listed = ok(path, &["audit"]);
    let actions: Vec<&str> = listed.lines().skip(1).filter_map(|row| row.split_whitespace().nth(3)).collect();
    assert_eq!(
        actions,
        [
            "signing-key.create",
            "api-key.rotate",
            "api-key.create",
            "generator.update",
            "product.disable",
            "product.update",
            "product.create"
        ],
        "{listed}"
    );
    let update = listed.lines().find(|row| row.contains("product.update")).unwrap();
    assert!(update.contains("local:ada") && update.ends_with("  name: Office → Büro"), "{update}");
    assert!(!listed.contains(secret.trim()), "{listed}");

    let entries = ok(path, &["audit", "--subject", "product 42", "--action", "product.", "--json"]);
    let entries: Vec<_> = entries.lines().map(json).collect();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[1]["before"]["name"], "Office");
    assert_eq!((&entries[1]["after"]["name"], &entries[2]["before"]), (&json("\"Büro\""), &json("null")));

    let limited = run(path, &["audit", "--limit", "2"]);
    assert_eq!(text(&limited.stdout).lines().count(), 3);
    assert!(text(&limited.stderr).contains("There are more entries: these are the latest 2"));
    let all = run(path, &["audit", "--limit", "7", "--since", "2020-01-01"]);
    assert_eq!((text(&all.stdout).lines().count(), text(&all.stderr).as_str()), (8, ""));
    assert_eq!(ok(path, &["audit", "--since", "2099-01-01"]).lines().count(), 1);
    local.stop();
}

#[test]
fn an_invalid_time_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    for since in ["yesterday", "7", "-7d", "2026-13-01"] {
        let said = fails(folder.path(), &["audit", &format!("--since={since}")], 2);
        assert!(said.contains("must be a duration such as 24h or 7d, a date"), "{since}: {said}");
    }
    assert!(fails(folder.path(), &["audit", "--limit", "0"], 2).contains("0 is not in 1.."));
}
