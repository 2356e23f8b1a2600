//! `keypool verify`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{API_KEY, Local, fails, keypool, ok, run, text};

/// Verifies an envelope from standard input. Returns the exit code, standard output and standard error.
fn verify(folder: &Path, envelope: &[u8], arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = keypool(folder);
    command.arg("verify").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The command may close its input early.
    let _ = child.stdin.take().unwrap().write_all(envelope);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl").args(arguments).current_dir(folder).output().unwrap()
}

/// An RSA key made by openssl: `NAME.key`, and its public half `NAME.pem`.
fn make_key(folder: &Path, name: &str) {
    let (private, public) = (format!("{name}.key"), format!("{name}.pem"));
    assert!(openssl(folder, &["genrsa", "-out", &private, "2048"]).status.success());
    assert!(openssl(folder, &["rsa", "-in", &private, "-pubout", "-out", &public]).status.success());
}

/// Builds the envelope of a response, signed by openssl.
fn sign(folder: &Path, key: &str, response: &Value) -> Value {
    let base64 = STANDARD.encode(response.to_string());
    std::fs::write(folder.join("text"), &base64).unwrap();
    let key = format!("{key}.key");
    assert!(openssl(folder, &["dgst", "-sha256", "-sign", &key, "-out", "sig", "text"]).status.success());
    let signature = STANDARD.encode(std::fs::read(folder.join("sig")).unwrap());
    json!({
        "response": response, "response_base64": base64, "private_key_used": "global", "signature": signature,
    })
}

/// Returns true if openssl accepts the signature for the key.
fn openssl_holds(folder: &Path, key: &str, envelope: &Value) -> bool {
    let signature = STANDARD.decode(envelope["signature"].as_str().unwrap());
    let Ok(signature) = signature else { return false };
    std::fs::write(folder.join("sig"), signature).unwrap();
    std::fs::write(folder.join("text"), envelope["response_base64"].as_str().unwrap()).unwrap();
    let key = format!("{key}.pem");
    openssl(folder, &["dgst", "-sha256", "-verify", &key, "-signature", "sig", "text"]).status.success()
}

#[test]
fn only_signed_samples_of_the_contract_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let pem = vectors().join("sample-public-key.pem");
    let (mut signed, mut unsigned) = (0, 0);
    for sample in ["assign-license-key", "create-license-keys", "generate", "random-assign-license-keys"] {
        let json = std::fs::read_to_string(vectors().join(format!("{sample}.json"))).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        for response in value["example_responses"].as_array().unwrap() {
            let body = response["body"].to_string();
            let (code, said, _) =
                verify(folder.path(), body.as_bytes(), &["--pem", pem.to_str().unwrap(), "-"]);
            assert!(
                said.contains(&format!("code          {}", response["body"]["response"]["code"])),
                "{said}"
            );
            if response["signed"] == true {
                assert_eq!(code, Some(0), "{said}");
                assert!(said.starts_with("valid         signed by the key in "), "{said}");
                signed += 1;
            } else {
                assert_eq!(code, Some(4), "{said}");
                assert!(said.starts_with("invalid: the response is not signed"), "{said}");
                assert!(said.contains("Private key not set"), "{said}");
                unsigned += 1;
            }
        }
    }
    assert_eq!((signed, unsigned), (4, 4));
}

#[test]
fn verify_and_openssl_agree_on_tampered_envelopes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make_key(path, "a");
    make_key(path, "b");
    let response = json!({"code": 800, "message": "Schlüssel vergeben: キー 🔑", "timestamp": 1_708_999_933});
    let good = sign(path, "a", &response);
    let changed = |member: &str, at: usize| {
        let mut envelope = good.clone();
        let mut characters: Vec<char> = envelope[member].as_str().unwrap().chars().collect();
        characters[at] = if characters[at] == 'A' { 'B' } else { 'A' };
        envelope[member] = characters.into_iter().collect::<String>().into();
        envelope
    };
    let mut envelopes = vec![good.clone(), sign(path, "b", &response)];
    envelopes.extend([0, 7, 40].map(|at| changed("response_base64", at)));
    envelopes.extend([0, 99, 300].map(|at| changed("signature", at)));
    let mut held = vec![];
    for envelope in &envelopes {
        let (code, said, _) = verify(path, envelope.to_string().as_bytes(), &["--pem", "a.pem"]);
        let expected = if openssl_holds(path, "a", envelope) { Some(0) } else { Some(4) };
        assert_eq!(code, expected, "{said}");
        held.push(code == Some(0));
    }
    assert_eq!(held, [true, false, false, false, false, false, false, false]);
    let (_, said, _) = verify(path, good.to_string().as_bytes(), &["--pem", "a.pem"]);
    assert!(
        said.contains("code          800 Schlüssel vergeben: キー 🔑\ntime          2024-02-27T02:12:13Z\n"),
        "{said}"
    );
}

#[test]
fn each_fault_of_an_envelope_has_its_own_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make_key(path, "a");
    make_key(path, "b");
    let good = sign(path, "a", &json!({"code": 815, "licenseKeys": ["SECRET-1"], "timestamp": 1}));
    let with = |member: &str, value: Value| {
        let mut envelope = good.clone();
        envelope[member] = value;
        envelope.to_string()
    };
    let whole = good.to_string();
    let forged =
        sign(path, "b", &json!({"code": 815, "licenseKeys": ["SECRET-2"], "timestamp": 1})).to_string();
    for (envelope, expected) in [
        (String::new(), "not JSON: it is empty"),
        ("<html>SECRET</html>".to_owned(), "not JSON: see line 1, column 1"),
        (whole[..whole.len() / 2].to_owned(), "not JSON: it ends too early, at line 1"),
        ("[\"SECRET\"]".to_owned(), "not an envelope: expected response, response_base64"),
        (
            r#"{"response": {}, "response_base64": ""}"#.to_owned(),
            "not an envelope: missing field `private_key_used`",
        ),
        (
            r#"{"status": 503, "detail": "Try again in a moment."}"#.to_owned(),
            "not an envelope, but an unsigned problem report: Try again in a moment.",
        ),
        (with("private_key_used", "mine".into()), "private_key_used is neither global nor product"),
        (with("signature", "%%".into()), "signature is not valid base64"),
        (with("response_base64", "%%".into()), "response_base64 is not valid base64"),
        (with("response_base64", STANDARD.encode("{").into()), "the content of response_base64 is not JSON"),
        (with("signature", "Private key not set".into()), "the response is not signed"),
        (with("signature", "AAAA".into()), "another key signed the response, or somebody changed it"),
        (forged, "the signature is not by the key in a.pem"),
        (
            with("response", json!({"code": 800})),
            "the signature holds, but the member response is not what was signed",
        ),
    ] {
        let (code, said, note) = verify(path, envelope.as_bytes(), &["--pem", "a.pem"]);
        assert_eq!(code, Some(4), "{said}{note}");
        assert!(said.starts_with("invalid: ") && said.contains(expected), "{expected}: {said}");
        assert!(!said.contains("SECRET"), "{said}");
        let (code, json, _) = verify(path, envelope.as_bytes(), &["--pem", "a.pem", "--json"]);
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((code, &value["holds"]), (Some(4), &false.into()));
        assert!(value["fault"].as_str().unwrap().contains(expected), "{json}");
        assert!(!json.contains("SECRET"), "{json}");
    }
    let (code, said, _) = verify(path, b"\xff\xfe{", &["--pem", "a.pem"]);
    assert_eq!((code, said.as_str()), (Some(4), "invalid: not JSON: it is not UTF-8 text\n"));
    let marked = format!("\u{feff}{good}\n");
    assert_eq!(verify(path, marked.as_bytes(), &["--pem", "a.pem"]).0, Some(0));
}

#[test]
fn license_keys_are_shown_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make_key(path, "a");
    let rows = [json!({"product_id": 7, "license_key": "GEHEIM-ключ-\u{1b}[31m"})];
    let good = sign(path, "a", &json!({"code": 803, "message": "m", "license_keys": rows, "timestamp": 1}));
    std::fs::write(path.join("response.json"), good.to_string()).unwrap();
    let said = ok(path, &["verify", "response.json", "--pem", "a.pem"]);
    assert!(said.ends_with("license keys  1 of product 7\n") && !said.contains("GEHEIM"), "{said}");
    let shown = ok(path, &["verify", "response.json", "--pem", "a.pem", "--show"]);
    // A response must not move the cursor.
    assert!(shown.ends_with("  GEHEIM-ключ-\u{fffd}[31m\n"), "{shown}");
    let json = ok(path, &["verify", "response.json", "--pem", "a.pem", "--json"]);
    assert!(!json.contains("GEHEIM"), "{json}");
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["says"]["license_keys"], 1);
    let json = ok(path, &["verify", "response.json", "--pem", "a.pem", "--json", "--show"]);
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["response"], good["response"]);
}

#[test]
fn verify_reads_ten_megabytes_and_refuses_more_than_16() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make_key(path, "a");
    let keys: Vec<String> = (0..100_000).map(|n| format!("KEY-{n:028}")).collect();
    let good = sign(path, "a", &json!({"code": 815, "message": "m", "licenseKeys": keys, "timestamp": 1}));
    let mut bytes = good.to_string().into_bytes();
    bytes.resize(bytes.len().max(10 * 1_048_576), b' ');
    let (code, said, _) = verify(path, &bytes, &["--pem", "a.pem"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("license keys  100000\n"), "{said}");
    bytes.resize(16 * 1_048_576 + 1, b' ');
    let (code, _, note) = verify(path, &bytes, &["--pem", "a.pem"]);
    assert_eq!(
        (code, note.as_str()),
        (Some(1), "error: standard input is larger than 16 MiB: it is not a response\n")
    );
}

#[tokio::test]
async fn verify_finds_the_key_of_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let envelope = async |endpoint: &str, parameters: &[(&str, &str)]| {
        let form = [&[("api_key", API_KEY)], parameters].concat();
        let url = format!("{}/api/v1/{endpoint}", local.base_url);
        let response = reqwest::Client::new().post(url).form(&form).send().await.unwrap();
        response.text().await.unwrap()
    };
    let global = envelope("generate", &[("generator_id", "1"), ("quantity", "2")]).await;
    let (code, said, note) = verify(path, global.as_bytes(), &[]);
    assert_eq!(code, Some(0), "{said}{note}");
    assert!(
        said.starts_with("valid         signed by the global signing key (alias/keypool)\nkid "),
        "{said}"
    );

    let of_product = envelope("generate", &[("generator_id", "2"), ("quantity", "2")]).await;
    let (code, said, note) = verify(path, of_product.as_bytes(), &[]);
    assert_eq!(code, Some(0), "{said}{note}");
    assert!(said.contains("signed by the signing key of product 2"), "{said}");

    // A response about a product that contains no key of it.
    let created = envelope(
        "create-license-keys",
        &[
            ("license_keys", "[\"A\"]"),
            ("product_id", "2"),
            ("activation_limit", "0"),
            ("validity", "0"),
            ("status", "available"),
        ],
    );
    let created = created.await;
    let (code, said, note) = verify(path, created.as_bytes(), &[]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(note.contains("but not which product: give --product"), "{note}");
    let (code, said, _) = verify(path, created.as_bytes(), &["--product", "2"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("created       1\nduplicate     0\n"), "{said}");
    let (code, _, note) = verify(path, created.as_bytes(), &["--product", "1"]);
    assert_eq!(code, Some(1));
    assert!(note.contains("product 1 has no signing key of its own"), "{note}");
    let (code, _, note) = verify(path, created.as_bytes(), &["--product", "77"]);
    assert_eq!((code, note.as_str()), (Some(1), "error: there is no product 77\n"));

    // `private_key_used` is not signed, but changing it makes the check fail.
    let lie = of_product.replace("\"private_key_used\":\"product\"", "\"private_key_used\":\"global\"");
    assert_eq!(verify(path, lie.as_bytes(), &[]).0, Some(4));
    local.stop();
}

#[tokio::test]
async fn verify_names_the_signing_key_of_a_jwk_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let pems = [local.public_key("").await, local.public_key("?product_id=2").await];
    let keys = pems.map(|pem| keypool_signing::PublicKey::from_pem(pem.as_bytes()).unwrap());
    let kid = keys[1].thumbprint();
    std::fs::write(path.join("keys.json"), keypool_signing::JwkSet::new(keys).to_json()).unwrap();
    std::fs::write(path.join("empty.json"), "{\"keys\": []}").unwrap();
    let envelope = ok(path, &["call", "generate", "generator_id=2", "quantity=1", "--json"]);
    local.stop();

    // From here on, no target is needed.
    let (code, json, note) = verify(path, envelope.as_bytes(), &["--jwks", "keys.json", "--json"]);
    assert_eq!(code, Some(0), "{note}");
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["holds"], value["kid"].as_str()), (&true.into(), Some(kid.as_str())));
    let (code, _, note) = verify(path, envelope.as_bytes(), &["--jwks", "empty.json"]);
    assert_eq!(code, Some(1));
    assert!(note.starts_with("error: empty.json contains no keys: none of the JSON Web Keys"), "{note}");
    let (code, _, note) = verify(path, envelope.as_bytes(), &["--pem", "keys.json"]);
    assert_eq!(code, Some(1));
    assert!(
        note.starts_with("error: keys.json is not a public key: not a public key: expected a PEM"),
        "{note}"
    );
}

#[test]
fn a_missing_file_is_reported_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let said = fails(folder.path(), &["verify", "nope.json", "--pem", "nope.pem"], 1);
    assert_eq!(said, "error: cannot read nope.pem: No such file or directory (os error 2)\n");
    let pem = vectors().join("sample-public-key.pem");
    let said = fails(folder.path(), &["verify", "nope.json", "--pem", pem.to_str().unwrap()], 1);
    assert_eq!(said, "error: cannot read nope.json: No such file or directory (os error 2)\n");
    let output = run(folder.path(), &["verify", "x", "--pem", "a", "--product", "1"]);
    assert_eq!(output.status.code(), Some(2));
}
