//! Showing and erasing the data of an owner.

use serde_json::{Value, json};

use crate::harness::{Local, fails, ok, run, text};

#[tokio::test]
async fn an_owner_is_shown_and_erased() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let keys = [
        ("license_keys", r#"["A-1","A-2"]"#),
        ("product_id", "3"),
        ("activation_limit", "2"),
        ("validity", "365"),
        ("status", "available"),
    ];
    assert_eq!(local.post("create-license-keys", &keys).await["code"], 900);
    for key in ["A-1", "A-2"] {
        let owner = [("owner_name", "Ada"), ("owner_email", "ada@example.com")];
        let assign = [&[("license_key", key)], &owner[..]].concat();
        assert_eq!(local.post("assign-license-key", &assign).await["code"], 800);
    }
    ok(path, &["keys", "block", "A-1"]);

    let shown = ok(path, &["owner", "export", "ADA@example.com"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("RECORD") && lines.len() == 4, "{shown}");
    assert!(
        lines[1].contains("A-1") && lines[1].contains("product 3, blocked, Ada <ada@example.com>"),
        "{shown}"
    );
    assert!(lines[3].contains("audit entry") && lines[3].contains("keys.block A-1"), "{shown}");
    let records: Value =
        serde_json::from_str(&ok(path, &["owner", "export", "ada@example.com", "--json"])).unwrap();
    assert_eq!(records[1]["content"]["owner_name"], "Ada", "{records}");
    assert_eq!(records[2]["content"]["before"]["owner_email"], "ada@example.com");

    let dry = ok(path, &["owner", "erase", "ada@example.com", "--dry-run"]);
    assert!(dry.contains("license key A-2  would be erased: product 3, assigned, Ada"), "{dry}");
    assert_eq!(ok(path, &["owner", "export", "ada@example.com"]), shown, "nothing was changed");
    let erased = ok(path, &["owner", "erase", "ada@example.com", "--reason", "ticket 88"]);
    assert!(erased.starts_with("license key A-1  erased\nlicense key A-2  erased\naudit entry "), "{erased}");

    let nobody = run(path, &["owner", "export", "ada@example.com", "--json"]);
    assert_eq!((nobody.status.code(), text(&nobody.stdout).trim()), (Some(0), "[]"));
    assert!(text(&nobody.stderr).contains("no record has this email address"));
    let key: Value = serde_json::from_str(&ok(path, &["keys", "show", "A-2", "--json"])).unwrap();
    assert_eq!(
        (&key["status"], &key["owner_name"], &key["owner_email"]),
        (&json!("assigned"), &json!("erased"), &Value::Null)
    );
    ok(path, &["keys", "unblock", "A-1"]);
    assert!(ok(path, &["keys", "show", "A-1"]).contains("assigned"), "it does not return to stock");
    let trail = ok(path, &["audit", "--action", "owner.erase", "--json"]);
    assert_eq!(trail.lines().count(), 3, "{trail}");
    assert!(trail.contains("ticket 88"));
    let all = ok(path, &["audit", "--json"]);
    assert!(!all.contains("ada@example.com") && !all.contains("Ada"), "{all}");
    local.stop();
}

#[test]
fn an_email_address_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["export", "erase"] {
        assert!(fails(folder.path(), &["owner", command], 2).contains("<EMAIL>"));
        assert!(fails(folder.path(), &["owner", command, ""], 2).contains("must not be empty"));
        let long = "a".repeat(256);
        assert!(fails(folder.path(), &["owner", command, &long], 2).contains("longer than 255"));
    }
}
