//! Products, generators and API keys.

use crate::harness::{Local, fails, json, keypool, ok, run, text};

#[tokio::test]
async fn a_shop_is_set_up_without_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let said = fails(path, &["product", "list"], 1);
    assert!(
        said.contains("start one with `keypool local`, or select one on AWS with --stack or --table"),
        "{said}"
    );

    let local = Local::start(path, &["--port", "0"]);
    assert_eq!(ok(path, &["product", "create", "--name", "Büro 2026"]), "product 4 created\n");
    assert_eq!(ok(path, &["product", "create", "--name", "Office", "--id", "42"]), "product 42 created\n");
    let said = fails(path, &["product", "create", "--name", "Office", "--id", "42"], 1);
    assert_eq!(said, "error: product 42 already exists\n");
    let chunks = ["generator", "create", "--product", "42", "--method", "chunk-system"];
    let weak = [&chunks[..], &["--chunks", "2", "--chunk-length", "2"]].concat();
    let said = fails(path, &weak, 1);
    assert!(said.starts_with("error: invalid generator: its keys could be guessed"), "{said}");
    let created = ok(path, &[&chunks[..], &["--prefix", "OFF-", "--validity", "30"]].concat());
    assert_eq!(created, "generator 3 created; product 42 uses it now\n");
    let said = fails(path, &["product", "create", "--name", "x", "--signing-key", "alias/nope"], 1);
    assert!(said.starts_with("error: cannot sign with alias/nope: GetPublicKey: KMS refuses"), "{said}");
    let own = ["product", "create", "--name", "x", "--signing-key", "alias/keypool-product-2"];
    assert_eq!(ok(path, &own), "product 5 created\n");
    let said = fails(path, &["generator", "create", "--product", "42", "--chunks", "4"], 1);
    assert!(said.contains("are for --method chunk-system"), "{said}");
    let said = fails(path, &["generator", "create", "--product", "77"], 1);
    assert_eq!(said, "error: there is no product 77\n");

    let products = ok(path, &["product", "list"]);
    assert_eq!(products.lines().count(), 7, "{products}");
    assert!(products.lines().nth(6).unwrap().starts_with("42  Office"), "{products}");
    assert!(ok(path, &["generator", "list"]).contains("chunk-system  2^80"));

    let create =
        ["api-key", "create", "--name", "checkout", "--capability", "generate", "--network", "127.0.0.0/8"];
    let output = run(path, &create);
    let secret = text(&output.stdout).trim_end().to_owned();
    assert!(text(&output.stderr).contains("shown only once"));
    let listed = ok(path, &["api-key", "list"]);
    assert!(listed.contains("checkout") && listed.contains("127.0.0.0/8") && !listed.contains(&secret));

    let made =
        local.post("generate", &[("api_key", &secret), ("generator_id", "3"), ("quantity", "2")]).await;
    assert_eq!(made["code"], 815);
    assert!(made["licenseKeys"][0].as_str().unwrap().starts_with("OFF-"));
    let refused = local.post("assign-license-key", &[("api_key", &secret), ("license_key", "x")]).await;
    assert_eq!(refused["code"], 102);

    let (_, _, log) = local.stop();
    assert!(log.contains("\"endpoint\":\"generate\"") && !log.contains(&secret), "{log}");
    let said = fails(path, &["product", "list"], 1);
    assert!(said.contains("no stack runs"), "{said}");
}

#[tokio::test]
async fn a_product_is_shown_changed_disabled_and_enabled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let output = run(path, &["product", "update", "1", "--name", "Büro 2027", "--no-generator"]);
    assert_eq!(
        text(&output.stdout),
        "product 1 changed: generator_id: 1 → -, name: Demo → Büro 2027\n",
        "{}",
        text(&output.stderr)
    );
    assert!(text(&output.stderr).contains("for up to 60 seconds"), "{}", text(&output.stderr));
    assert_eq!(
        ok(path, &["product", "show", "1"]),
        "product      1\nname         Büro 2027\nstatus       active\ngenerator    -\nsigning key  the global one\n"
    );
    let same = ok(path, &["product", "update", "1", "--name", "Büro 2027"]);
    assert_eq!(same, "product 1 is already up to date\n");
    let back = ok(path, &["product", "update", "1", "--generator", "1", "--json"]);
    assert_eq!(json(&back)["generator_id"], 1);

    let said = fails(path, &["product", "update", "1", "--generator", "2"], 1);
    assert!(said.starts_with("error: product 1 has no such generator: `keypool generator list`"), "{said}");
    let said = fails(path, &["product", "update", "1", "--signing-key", "alias/nope"], 1);
    assert!(said.starts_with("error: cannot sign with alias/nope"), "{said}");
    for verb in ["show", "enable", "disable"] {
        assert_eq!(fails(path, &["product", verb, "77"], 1), "error: there is no product 77\n");
    }
    assert!(fails(path, &["product", "update", "1"], 2).contains("--no-generator"));

    let disabled = ok(path, &["product", "disable", "2"]);
    assert_eq!(disabled, "product 2 changed: status: active → inactive\n");
    let refused = local.post("random-assign-license-keys", &[("product_id", "2"), ("quantity", "1")]).await;
    assert_eq!(refused["code"], 805, "{refused}");
    assert_eq!(ok(path, &["product", "enable", "2"]), "product 2 changed: status: inactive → active\n");
    // Warm functions remember that it was disabled.
    local.stop();
    let local = Local::start(path, &["--port", "0"]);
    let short = local.post("random-assign-license-keys", &[("product_id", "2"), ("quantity", "1")]).await;
    assert_eq!(short["code"], 802, "{short}");
    local.stop();
}

#[tokio::test]
async fn a_changed_generator_cannot_be_weakened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let changed =
        ok(path, &["generator", "update", "2", "--prefix", "OFF-", "--chunk-length", "5", "--validity", "0"]);
    assert_eq!(changed, "generator 2 changed: chunk_length: 4 → 5, prefix: - → OFF-, validity: 365 → 0\n");
    let made = local.post("generate", &[("generator_id", "2"), ("quantity", "1")]).await;
    let key = made["licenseKeys"][0].as_str().unwrap();
    assert!(key.starts_with("OFF-") && key.len() == "OFF-".len() + 4 * 5 + 3, "{key}");

    let said = fails(path, &["generator", "update", "2", "--chunks", "1"], 1);
    assert!(said.starts_with("error: invalid generator: its keys could be guessed"), "{said}");
    let said = fails(path, &["generator", "update", "1", "--chunks", "4"], 1);
    assert!(said.starts_with("error: generator 1 makes UUIDs: --charset, --chunks"), "{said}");
    assert_eq!(
        fails(path, &["generator", "update", "77", "--validity", "1"], 1),
        "error: there is no generator 77\n"
    );
    let shown = ok(path, &["generator", "show", "2"]);
    assert!(shown.contains("chunks            4 of 5 characters") && shown.contains("2^80"), "{shown}");
    assert_eq!(json(&ok(path, &["generator", "show", "1", "--json"]))["method"], "uuid");

    assert!(ok(path, &["generator", "disable", "1"]).contains("status: active → inactive"));
    let refused = local.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await;
    assert_ne!(refused["code"], 815, "{refused}");
    assert!(ok(path, &["generator", "enable", "1"]).contains("status: inactive → active"));
    // Warm functions remember that it was disabled.
    local.stop();
    let local = Local::start(path, &["--port", "0"]);
    let made = local.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await;
    assert_eq!(made["code"], 815);
    local.stop();
}

#[tokio::test]
async fn an_api_key_is_found_changed_and_disabled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let create = ["api-key", "create", "--capability", "generate", "--json"];
    let made = json(&ok(path, &[&create[..], &["--name", "checkout"]].concat()));
    let (secret, hash) = (made["api_key"].as_str().unwrap(), made["sha256"].as_str().unwrap());
    let changed = ok(
        path,
        &[
            "api-key",
            "update",
            &hash[..12].to_uppercase(),
            "--network",
            "10.0.0.1",
            "--expires",
            "2099-12-31",
        ],
    );
    assert_eq!(
        changed,
        "API key checkout changed: networks: - → 10.0.0.1/32, valid_until: - → 2100-01-01T00:00:00.000000Z\n"
    );
    let generate = [("api_key", secret), ("generator_id", "1"), ("quantity", "1")];
    assert_eq!(local.post("generate", &generate).await["code"], 103);
    let widened = ok(path, &["api-key", "update", "checkout", "--any-network", "--no-expiry", "--json"]);
    assert_eq!((&json(&widened)["networks"], &json(&widened)["valid_until"]), (&json("[]"), &json("null")));
    assert!(ok(path, &["api-key", "show", "checkout"]).contains(&format!("SHA-256        {hash}")));

    let off = run(path, &["api-key", "disable", "checkout"]);
    assert_eq!(text(&off.stdout), "API key checkout changed: status: active → inactive\n");
    assert!(text(&off.stderr).contains("for up to 60 seconds"));
    assert!(ok(path, &["api-key", "show", "checkout"]).contains("status         inactive"));
    assert_eq!(json(&ok(path, &["api-key", "enable", "checkout", "--json"]))["status"], "active");

    // Two keys that were rotated on one day have the same name.
    let rotate = ["api-key", "rotate", "checkout", "--json"];
    let [first, _] = [(), ()].map(|()| json(&ok(path, &rotate)));
    let name = first["replaces"]["name"].as_str().unwrap();
    let said = fails(path, &["api-key", "disable", name], 1);
    assert!(said.starts_with(&format!("error: 2 API keys match {name}: give the SHA-256")), "{said}");
    fails(path, &["api-key", "disable", &hash[..5]], 1);
    assert!(said.contains(&hash[..12]), "{said}");
    let said = fails(path, &["api-key", "show", "nobody"], 1);
    assert!(said.starts_with("error: there is no API key nobody"), "{said}");
    local.stop();
}

#[tokio::test]
async fn an_api_key_has_settings_for_its_requests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0", "--memory"]);
    let queued = ["--capability", "random-assign-license-keys-queued"];
    let settings = ["--wait-for-stock", "48h", "--once-per", "identifier", "--remember", "30d"];
    let hosts = ["--webhook-host", "Shop.Example", "--webhook-host", "[2001:db8::1]:8443"];
    let create = ["api-key", "create", "--name", "shop", "--json"];
    let made = json(&ok(path, &[&create[..], &queued, &settings, &hosts].concat()));
    assert_eq!(made["wait_for_stock"], "2d");
    assert_eq!(made["webhook_hosts"], json(r#"["shop.example", "[2001:db8::1]:8443"]"#));
    assert_eq!((&made["once_per"], &made["remember"]), (&"identifier".into(), &"30d".into()));
    let shown = ok(path, &["api-key", "show", "shop"]);
    let expected = "capabilities   random-assign-license-keys-queued\nproducts       any\n\
        keys an order  -\nkeys an hour   -\nwait           2d\n\
        webhook hosts  shop.example [2001:db8::1]:8443\nonce per       identifier\nremember       30d\n";
    assert!(shown.ends_with(expected), "{shown}");
    let listed = ok(path, &["api-key", "list"]);
    assert!(
        listed.contains(
            "  any       2d    shop.example [2001:db8::1]:8443  any       -          -         random-assign"
        ),
        "{listed}"
    );

    let changed = ok(path, &["api-key", "update", "shop", "--wait-for-stock", "0", "--any-webhook-host"]);
    assert_eq!(
        changed,
        "API key shop changed: wait_for_stock: 2d → 0, webhook_hosts: shop.example [2001:db8::1]:8443 → -\n"
    );
    let changed = ok(path, &["api-key", "update", "shop", "--no-once-per", "--remember", "1h"]);
    assert_eq!(changed, "API key shop changed: once_per: identifier → -, remember: 30d → 1h\n");
    let trail = ok(path, &["audit", "--action", "api-key.update"]);
    assert!(trail.contains("wait_for_stock: 2d → 0") && trail.contains("remember: 30d → 1h"), "{trail}");
    ok(path, &["api-key", "rotate", "shop"]);
    let shown = ok(path, &["api-key", "show", "shop"]);
    assert!(shown.ends_with("\nwait           0\nwebhook hosts  any\nonce per       -\nremember       1h\n"));
    let shown = ok(path, &["api-key", "show", "demo"]);
    assert!(
        shown.contains("\nwait           7d (not set)\n") && shown.ends_with("1d (not set)\n"),
        "{shown}"
    );

    for (option, value, why) in [
        ("--wait-for-stock", "366d", "must not be more than 365 days"),
        ("--wait-for-stock", "soon", "must be a duration"),
        ("--remember", "59m", "must be 1 hour to 365 days"),
        ("--webhook-host", "https://shop.example", "must be a host name or an address"),
        ("--webhook-host", "shop.example:22", "must have port 80, 443 or one from 1024"),
        ("--once-per", "email", "[possible values: identifier]"),
    ] {
        let said = fails(path, &["api-key", "update", "shop", option, value], 2);
        assert!(said.contains(why), "{option} {value}: {said}");
    }
    for conflict in
        [["--any-webhook-host", "--webhook-host", "a.example"], ["--no-once-per", "--once-per", "identifier"]]
    {
        let said = fails(path, &[&["api-key", "update", "shop"], &conflict[..]].concat(), 2);
        assert!(said.contains("cannot be used with"), "{said}");
    }
    local.stop();
}

#[tokio::test]
async fn an_api_key_has_limits_of_products_and_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0", "--memory"]);
    let create = ["api-key", "create", "--name", "shop", "--json"];
    let limits = ["--product", "2", "--product", "1", "--keys-per-order", "5", "--keys-per-hour", "6"];
    let made = json(&ok(path, &[&create[..], &limits].concat()));
    assert_eq!(made["products"], json("[1, 2]"));
    assert_eq!((&made["keys_per_order"], &made["keys_per_hour"]), (&5.into(), &6.into()));
    let shown = ok(path, &["api-key", "show", "shop"]);
    let expected = "\nproducts       1 2\nkeys an order  5\nkeys an hour   6\nwait ";
    assert!(shown.contains(expected), "{shown}");
    let listed = ok(path, &["api-key", "list"]);
    assert!(
        listed.contains("  any            1 2       5          6         create-license-keys"),
        "{listed}"
    );

    let secret = made["api_key"].as_str().unwrap();
    let generate = async |generator_id: &str, quantity: &str| {
        let form = [("api_key", secret), ("generator_id", generator_id), ("quantity", quantity)];
        local.post("generate", &form).await["code"].clone()
    };
    assert_eq!(generate("1", "6").await, 104, "too many for one order");
    assert_eq!(generate("1", "4").await, 815);
    assert_eq!(generate("1", "3").await, 104, "too many for an hour");

    let changed = ok(path, &["api-key", "update", "shop", "--product", "3", "--keys-per-hour", "1000000"]);
    assert_eq!(changed, "API key shop changed: keys_per_hour: 6 → 1000000, products: 1 2 → 3\n");
    let cleared = ["--any-product", "--no-keys-per-order", "--no-keys-per-hour"];
    let changed = ok(path, &[&["api-key", "update", "shop"][..], &cleared].concat());
    let expected =
        "API key shop changed: keys_per_hour: 1000000 → -, keys_per_order: 5 → -, products: 3 → -\n";
    assert_eq!(changed, expected);
    let trail = ok(path, &["audit", "--action", "api-key.update"]);
    assert!(trail.contains("keys_per_hour: 6 → 1000000"), "{trail}");

    for (option, value, why) in [
        ("--keys-per-order", "0", "must be at least 1"),
        ("--keys-per-order", "1001", "must not be greater than 1000"),
        ("--keys-per-hour", "0", "must be at least 1"),
        ("--keys-per-hour", "1000001", "must not be greater than 1000000"),
        ("--keys-per-hour", "many", "must be an integer"),
        ("--product", "0", "must be at least 1"),
        ("--product", "office", "must be an integer"),
    ] {
        let said = fails(path, &["api-key", "update", "shop", option, value], 2);
        assert!(said.contains(why), "{option} {value}: {said}");
    }
    for conflict in [
        ["--any-product", "--product", "1"],
        ["--no-keys-per-order", "--keys-per-order", "1"],
        ["--no-keys-per-hour", "--keys-per-hour", "1"],
    ] {
        let said = fails(path, &[&["api-key", "update", "shop"], &conflict[..]].concat(), 2);
        assert!(said.contains("cannot be used with"), "{said}");
    }
    for arguments in [
        &["api-key", "update", "shop", "--product", "77"][..],
        &["api-key", "create", "--name", "x", "--product", "77"],
    ] {
        assert_eq!(fails(path, arguments, 1), "error: there is no product 77\n");
    }
    // A rotated key passes its limits to its successor.
    ok(path, &["api-key", "update", "shop", "--keys-per-hour", "9", "--product", "1"]);
    let rotated = json(&ok(path, &["api-key", "rotate", "shop", "--json"]));
    assert_eq!((&rotated["keys_per_hour"], &rotated["products"]), (&9.into(), &json("[1]")));
    local.stop();
}

/// Each request runs in an environment that has not seen the key: a warm one may accept it for 60 more
/// seconds.
#[tokio::test]
async fn a_rotated_api_key_keeps_its_rights_and_the_old_one_expires() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let create = ["api-key", "create", "--name", "checkout", "--capability", "generate", "--json"];
    let old = json(&ok(path, &[&create[..], &["--network", "127.0.0.0/8"]].concat()));
    let rotated = run(path, &["api-key", "rotate", "checkout", "--old-good-for", "0", "--json"]);
    let new = json(&text(&rotated.stdout));
    let notes = text(&rotated.stderr);
    assert!(notes.contains("shown only once") && notes.contains("for up to 60 seconds"), "{notes}");
    for right in ["name", "status", "capabilities", "networks", "valid_until"] {
        assert_eq!(new[right], old[right], "{right}");
    }
    assert_ne!(new["sha256"], old["sha256"]);
    assert_eq!(new["replaces"]["sha256"], old["sha256"]);
    assert!(new["replaces"]["name"].as_str().unwrap().starts_with("checkout (rotated 20"), "{new}");
    for (key, code) in [(&old, 101), (&new, 815)] {
        let secret = key["api_key"].as_str().unwrap();
        let told =
            local.post("generate", &[("api_key", secret), ("generator_id", "1"), ("quantity", "1")]).await;
        assert_eq!(told["code"], code, "{told}");
    }

    // A leaked key is disabled first; its successor is active nevertheless.
    ok(path, &["api-key", "disable", "checkout"]);
    let leaked = json(&text(&run(path, &["api-key", "rotate", "checkout", "--json"]).stdout));
    assert_eq!((&leaked["status"], &leaked["replaces"]["status"]), (&"active".into(), &"inactive".into()));
    let new = leaked;

    let again = run(path, &["api-key", "rotate", "checkout", "--expires", "2099-12-31", "--json"]);
    let newer = json(&text(&again.stdout));
    assert_eq!(newer["valid_until"], "2100-01-01T00:00:00.000000Z");
    let secret = new["api_key"].as_str().unwrap();
    let told = local.post("generate", &[("api_key", secret), ("generator_id", "1"), ("quantity", "1")]).await;
    assert_eq!(told["code"], 815, "the old key stays valid for a day: {told}");

    let gone = ok(path, &["api-key", "list"]);
    assert!(gone.contains("expired"), "{gone}");
    let ended = old["sha256"].as_str().unwrap();
    let said = fails(path, &["api-key", "rotate", ended], 1);
    assert!(said.contains("give --expires or --no-expiry"), "{said}");
    let said = fails(path, &["api-key", "rotate", "checkout", "--old-good-for", "tomorrow"], 2);
    assert!(said.contains("must be a duration"), "{said}");
    local.stop();
}

#[tokio::test]
async fn create_api_key_reports_when_stdout_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0", "--memory"]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = keypool(path);
    let output = command.args(["api-key", "create", "--name", "shop"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains(
            "the API key was created, but could not be shown: replace it with `keypool api-key rotate`"
        ),
        "{said}"
    );
    // A name is unique.
    for arguments in
        [&["api-key", "create", "--name", "shop"][..], &["api-key", "update", "demo", "--name", "shop"]]
    {
        let said = fails(path, arguments, 1);
        assert!(said.starts_with("error: API key shop already exists: choose another name"), "{said}");
    }
    ok(path, &["api-key", "rotate", "shop"]);
    local.stop();
}
