//! `keypool call`.

use serde_json::Value;

use crate::aws::{Account, serve};
use crate::harness::{API_KEY, Local, fails, keypool, ok, run, text};

#[tokio::test]
async fn four_endpoints_are_called_as_a_shop_calls_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    std::fs::write(path.join("keys.json"), "[\"ÄÖ & =+%\", \"K-2\", \"K-3\"]\n").unwrap();
    let create = [
        "call",
        "create-license-keys",
        "license_keys=@keys.json",
        "product_id=2",
        "activation_limit=1",
        "validity=365",
        "status=available",
    ];
    let output = run(path, &create);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(
        said.starts_with(
            "{\n  \"code\": 900,\n  \"message\": \"License keys creation result\",\n  \"created\": 3,\n  \"duplicate\": 0,"
        ),
        "{said}"
    );
    assert_eq!(text(&output.stderr), "signed by the signing key of product 2 (alias/keypool-product-2)\n");
    let sold = ok(path, &["call", "assign-license-key", "license_key=ÄÖ & =+%", "owner_name=Test=User"]);
    assert!(sold.contains("\"code\": 800"), "{sold}");
    let sold = ok(path, &["call", "random-assign-license-keys", "product_id=2", "quantity=2"]);
    assert!(sold.contains("\"code\": 803") && sold.contains("\"K-3\""), "{sold}");
    std::fs::write(path.join("request.json"), "{\"generator_id\": 1, \"quantity\": \"2\"}").unwrap();
    let made = ok(path, &["call", "generate", "--file", "request.json"]);
    let value: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(value["licenseKeys"].as_array().unwrap().len(), 2);
    local.stop();
}

#[tokio::test]
async fn a_local_stack_is_called_without_any_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    for (arguments, code) in [
        (&["call", "random-assign-license-keys", "product_id=1", "quantity=1", "generate=1"][..], 0),
        (&["call", "generate", "generator_id=1", "--url", "https://127.0.0.1:9"], 1),
    ] {
        let mut command = keypool(path);
        command.args(arguments).env("KEYPOOL_API_KEY", API_KEY).stdin(std::process::Stdio::null());
        let called =
            command.env("SSL_CERT_FILE", "/nonexistent").env_remove("SSL_CERT_DIR").output().unwrap();
        assert_eq!(called.status.code(), Some(code), "{}", text(&called.stderr));
        assert_eq!(text(&called.stderr).contains("this machine's certificates"), code == 1);
    }
    local.stop();
}

#[tokio::test]
async fn the_codes_after_a_sale_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let sell = ["random-assign-license-keys", "product_id=1", "quantity=1", "generate=1", "identifier=31"];
    let sold: Value = serde_json::from_str(&ok(path, &[&["call"], &sell[..]].concat())).unwrap();
    let key = format!("license_key={}", sold["license_keys"][0]["license_key"].as_str().unwrap());
    for done in [
        &["get-license-keys", "identifier=31"][..],
        &["get-available-license-keys-count", "product_id=1"],
        &["update-license-key", &key, "validity=30"],
        &["replace-license-key", &key, "reason=lost", "generate=1"],
    ] {
        let output = run(path, &[&["call"], done].concat());
        assert_eq!(output.status.code(), Some(0), "{done:?}: {}", text(&output.stderr));
    }
    for (refused, meaning) in [
        (&["get-license-keys"][..], "731: parameters are wrong"),
        (&["get-available-license-keys-count", "product_id=9"], "740: there is no such product"),
        (&["update-license-key", &key, "status=nothing"], "951: parameters are wrong"),
        (&["update-license-key", "license_key=none"], "952: there is no such license key"),
        (&["replace-license-key", &key], "861: parameters are wrong"),
        (&["replace-license-key", &key, "reason=lost"], "862: only an assigned license key"),
    ] {
        let output = run(path, &[&["call"], refused].concat());
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(4) && said.contains(meaning), "{refused:?}: {said}");
    }
    local.stop();
}

#[tokio::test]
async fn the_envelope_is_printed_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let generate = ["call", "generate", "generator_id=1", "quantity=3", "--idempotency-key", "order 4711"];
    let first = ok(path, &[&generate[..], &["--json"]].concat());
    assert!(first.starts_with("{\"response\":{\"code\":815,\"message\""), "{first}");
    std::fs::write(path.join("response.json"), &first).unwrap();
    assert!(ok(path, &["verify", "response.json"]).starts_with("valid"));
    // The repeated request gets the same response.
    assert_eq!(ok(path, &[&generate[..], &["--json"]].concat()), first);
    let other = ["call", "generate", "generator_id=1", "quantity=4", "--idempotency-key", "order 4711"];
    let said = fails(path, &other, 1);
    assert!(
        said.starts_with(
            "error: the API responds 422 Unprocessable Entity: This Idempotency-Key was used for a request with other \
             parameters. (request id "
        ),
        "{said}"
    );
    local.stop();
}

#[tokio::test]
async fn a_refusal_is_explained_and_exits_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    std::fs::write(path.join("wrong.key"), "no-such-key\n").unwrap();
    let limited = ok(path, &["api-key", "create", "--name", "x", "--capability", "assign-license-key"]);
    std::fs::write(path.join("limited.key"), limited).unwrap();
    for (arguments, expected) in [
        (&["generate", "generator_id=99", "quantity=1"][..], "806: there is no generator for this"),
        (&["generate", "generator_id=x"], "816: parameters are wrong: `errors` lists them"),
        (&["random-assign-license-keys", "product_id=3", "quantity=1"], "802: the stock has fewer keys"),
        (&["random-assign-license-keys", "product_id=99", "quantity=1"], "805: there is no such product"),
        (
            &["assign-license-key", "license_key=nope"],
            "801: there is no such license key, or it is not for sale",
        ),
        (&["generate", "--api-key-file", "wrong.key"], "100: the API does not know this API key"),
        (&["generate", "--api-key-file", "limited.key"], "102: this API key may not call this endpoint"),
    ] {
        let output = run(path, &[&["call"], arguments].concat());
        let note = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {note}");
        assert!(note.starts_with("signed by ") && note.contains(expected), "{arguments:?}: {note}");
        assert!(text(&output.stdout).contains("\"code\": "), "{arguments:?}");
    }
    local.stop();
}

#[tokio::test]
async fn an_api_key_is_never_an_argument() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let account = Account::of(&local, path);
    let said = fails(path, &["call", "generate", "api_key=secret"], 2);
    assert!(said.contains("use --api-key-file or KEYPOOL_API_KEY"), "{said}");
    // The demo's key is only for the local stack.
    let generate = ["--stack", "shop", "call", "generate", "generator_id=1", "quantity=1"];
    let output = account.keypool(path).args(generate).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "error: no API key: give --api-key-file, or set KEYPOOL_API_KEY\n");
    let output = account.keypool(path).args(generate).env("KEYPOOL_API_KEY", API_KEY).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    std::fs::write(path.join("api.key"), format!("{API_KEY}\n")).unwrap();
    let from_file = ["--api-key-file", "api.key"];
    let output = account.keypool(path).args(generate).args(from_file).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    // Without a target the signature cannot be checked, so the exit code is not 0.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = account.keypool(elsewhere.path());
    command.args(["call", "generate", "generator_id=1", "quantity=1", "--url", &local.base_url]);
    let output = command.env("KEYPOOL_API_KEY", API_KEY).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("\"code\": 815"));
    let note = text(&output.stderr);
    assert!(note.contains("the API responded, but the signature was not checked"), "{note}");
    // A body may contain the API key.
    let body = format!("{{\"api_key\": \"{API_KEY}\", \"generator_id\": 1, \"quantity\": 1}}");
    std::fs::write(path.join("request.json"), body).unwrap();
    let with_body = ["--stack", "shop", "call", "generate", "--file", "request.json"];
    let output = account.keypool(path).args(with_body).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    local.stop();
}

#[tokio::test]
async fn a_response_signed_by_another_key_exits_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    std::fs::write(path.join("other.pem"), local.public_key("?product_id=2").await).unwrap();
    let arguments = ["call", "generate", "generator_id=1", "quantity=1", "--pem", "other.pem"];
    let output = run(path, &arguments);
    assert_eq!(output.status.code(), Some(4));
    let note = text(&output.stderr);
    assert!(
        note.starts_with("do not trust this response: the signature is not by the key in other.pem"),
        "{note}"
    );
    local.stop();
}

#[test]
fn a_response_without_an_envelope_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let call = |url: &str, more: &[&str]| {
        let mut command = keypool(folder.path());
        command.args(["call", "generate", "--url", url]).args(more).env("KEYPOOL_API_KEY", "x");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        text(&output.stderr)
    };
    let problem = |status: u16, media_type: &'static str, body: &'static str| {
        serve(move |_| {
            (status, format!("content-type: {media_type}\r\napigw-requestid: abc\r\n"), body.to_owned())
        })
    };
    let url = problem(503, "application/problem+json", r#"{"detail": "Try again.", "request_id": "r-1"}"#);
    let said = call(&url, &[]);
    assert_eq!(
        said,
        "error: the API responds 503 Service Unavailable: Try again. (request id r-1, also in the log)\n"
    );
    let url = problem(404, "application/json", r#"{"message": "Not Found"}"#);
    let said = call(&url, &[]);
    assert_eq!(said, "error: the API responds 404 Not Found: Not Found (request id abc, also in the log)\n");
    let url = problem(200, "text/html", "<html>");
    let said = call(&url, &[]);
    assert!(
        said.contains("the body is not JSON: see line 1, column 1")
            && said.contains("check the API's base URL"),
        "{said}"
    );
    let said = call("http://127.0.0.1:9", &[]);
    assert!(
        said.starts_with("error: no response from http://127.0.0.1:9/api/v1/generate: Connection refused"),
        "{said}"
    );
    assert!(said.contains("the request may have been executed"), "{said}");
    let said = call("http://127.0.0.1:9", &["--idempotency-key", "a"]);
    assert!(said.ends_with("run the same command again: the request is executed only once\n"), "{said}");
}

#[test]
fn call_without_a_target_or_valid_arguments_fails() {
    let folder = tempfile::tempdir().unwrap();
    let said = fails(folder.path(), &["call", "generate"], 1);
    assert!(said.contains("start one with `keypool local`"), "{said}");
    for (wrong, expected) in [
        (&["sell"][..], "must be one of create-license-keys"),
        (&["generate", "x"], "must be NAME=VALUE"),
        (&["generate", "x=@nope"], "cannot read nope"),
        (&["generate", "--url", "http://shop.example"], "http would expose the API key"),
        (&["generate", "--idempotency-key", "ü"], "must be 1 to 255 printable ASCII characters"),
        (&["generate", "x=1", "--file", "y"], "cannot be used with"),
    ] {
        let said = fails(folder.path(), &[&["call"], wrong].concat(), 2);
        assert!(said.contains(expected), "{wrong:?}: {said}");
    }
}
