//! Order references, replacements, and the API keys that see orders.

use serde_json::{Value, json};

use crate::harness::{Local, fails, ok, run, text};

const STOCK: &str = r#"["A-1","A-2","A-3"]"#;

async fn stock(local: &Local, keys: &str) {
    let parameters = [
        ("license_keys", keys),
        ("product_id", "3"),
        ("activation_limit", "2"),
        ("validity", "365"),
        ("status", "available"),
    ];
    assert_eq!(local.post("create-license-keys", &parameters).await["code"], 900);
}

fn value(folder: &std::path::Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(folder, arguments)).unwrap()
}

#[tokio::test]
async fn the_keys_of_an_order_are_listed_shown_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    stock(&local, STOCK).await;
    for (key, order) in [("A-1", "10031"), ("A-2", "10031"), ("A-3", "7")] {
        let assign = [("license_key", key), ("identifier", order), ("owner_name", "Ada")];
        assert_eq!(local.post("assign-license-key", &assign).await["code"], 800);
    }
    let listed = value(path, &["keys", "list", "--order", "10031", "--json"]);
    let names: Vec<&Value> =
        listed["keys"].as_array().unwrap().iter().map(|key| &key["license_key"]).collect();
    assert_eq!(names, [&json!("A-1"), &json!("A-2")]);
    assert_eq!(listed["keys"][0]["order"], "10031");
    let none = value(path, &["keys", "list", "--order", "10031", "--status", "blocked", "--json"]);
    assert_eq!(none["keys"], json!([]));
    assert!(ok(path, &["keys", "show", "A-3"]).contains("order             7\n"));
    let exported = ok(path, &["keys", "export"]);
    assert!(exported.lines().next().unwrap().ends_with(",id,order"), "{exported}");
    assert!(exported.contains(",7\n"), "{exported}");
    let both = ["keys", "list", "--order", "7", "--after", "~A-1"];
    assert!(fails(path, &both, 2).contains("cannot be used with"));

    // An import keeps the order reference. It refuses an available key with an order reference.
    let file = path.join("sold.csv");
    std::fs::write(&file, "license_key,status,order_id\nB-1,sold,10032\nB-2,available,10033\n").unwrap();
    let import = ["keys", "import", file.to_str().unwrap(), "--product", "3"];
    assert_eq!(run(path, &import).status.code(), Some(3));
    let listed = value(path, &["keys", "list", "--order", "10032", "--json"]);
    assert_eq!(listed["keys"][0]["license_key"], "B-1");
    local.stop();
}

#[tokio::test]
async fn a_key_is_replaced_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    stock(&local, r#"["A-1"]"#).await;
    let assign = [("license_key", "A-1"), ("identifier", "31"), ("owner_name", "Ada")];
    assert_eq!(local.post("assign-license-key", &assign).await["code"], 800);
    let partly = |arguments: &[&str]| {
        let output = run(path, arguments);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let replace = ["keys", "replace", "A-1", "--reason", "ticket 88"];
    assert_eq!(
        partly(&replace),
        "A-1  not replaced: the product has no key in stock; --generate makes one\n"
    );
    assert!(
        fails(path, &["keys", "replace", "A-1", "--generate"], 1).contains("the product has no generator")
    );
    stock(&local, r#"["A-2"]"#).await;
    assert_eq!(ok(path, &replace), "A-1  replaced by A-2\n");
    let (old, new) =
        (value(path, &["keys", "show", "A-1", "--json"]), value(path, &["keys", "show", "A-2", "--json"]));
    assert_eq!((&old["status"], &old["replaced_by"]), (&json!("blocked"), &json!("A-2")));
    assert_eq!(
        (&new["status"], &new["owner_name"], &new["order"]),
        (&json!("assigned"), &json!("Ada"), &json!("31"))
    );
    stock(&local, r#"["A-3"]"#).await;
    assert_eq!(partly(&replace), "A-1  not replaced: it was replaced before\n");
    let available = ["keys", "replace", "A-3"];
    assert_eq!(
        partly(&available),
        "A-3  not replaced: it is available; only assigned keys can be replaced\n"
    );
    assert_eq!(partly(&["keys", "replace", "none"]), "none  not replaced: there is no such license key\n");
    let trail = value(path, &["audit", "--subject", "A-1", "--json"]);
    assert_eq!(trail["action"], "keys.replace", "{trail}");
    local.stop();
}

#[tokio::test]
async fn a_rotated_api_key_sees_the_orders_of_the_former_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    stock(&local, STOCK).await;
    let former = ok(path, &["api-key", "create", "--name", "shop"]);
    let sold = [("api_key", former.trim()), ("product_id", "3"), ("quantity", "1"), ("identifier", "31")];
    assert_eq!(local.post("random-assign-license-keys", &sold).await["code"], 803);
    let successor = ok(path, &["api-key", "rotate", "shop"]);
    let support = ["api-key", "create", "--name", "support", "--capability", "get-license-keys"];
    let all = ok(path, &[&support[..], &["--capability", "get-all-license-keys"]].concat());
    let shown = value(path, &["api-key", "show", "support", "--json"]);
    assert_eq!(shown["capabilities"], json!(["get-license-keys", "get-all-license-keys"]));
    let other = ok(path, &["api-key", "create", "--name", "other"]);
    for (key, count) in [(&former, 1), (&successor, 1), (&all, 1), (&other, 0)] {
        let found = local.post("get-license-keys", &[("api_key", key.trim()), ("identifier", "31")]).await;
        assert_eq!(found["license_keys"].as_array().unwrap().len(), count, "{found}");
    }
    let unknown = ["api-key", "create", "--name", "x", "--capability", "get-everything"];
    assert!(fails(path, &unknown, 2).contains("get-all-license-keys"));
    local.stop();
}
