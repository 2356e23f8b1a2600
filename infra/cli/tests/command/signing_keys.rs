//! The keys that sign responses, and their public halves. `openssl` checks the signatures.

use std::path::Path;
use std::process::Command;

use keypool_signing::JwkSet;
use serde_json::Value;

use crate::harness::{API_KEY, Local, fails, json, ok, run, text};

/// Sells a key, and returns the envelope that a shop gets.
async fn envelope(local: &Local, product: &str) -> Value {
    let form = [("api_key", API_KEY), ("product_id", product), ("quantity", "1")];
    let url = format!("{}/api/v1/random-assign-license-keys", local.base_url);
    let response = reqwest::Client::new().post(url).form(&form).send().await.unwrap();
    json(&response.text().await.unwrap())
}

/// Returns true if `openssl` accepts the signature for the key.
fn openssl_verifies(folder: &Path, pem: &str, envelope: &Value) -> bool {
    let scratch = tempfile::tempdir_in(folder).unwrap();
    let file = |name: &str| scratch.path().join(name);
    std::fs::write(file("key.pem"), pem).unwrap();
    std::fs::write(file("text"), envelope["response_base64"].as_str().unwrap()).unwrap();
    std::fs::write(file("signature.base64"), envelope["signature"].as_str().unwrap()).unwrap();
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.current_dir(scratch.path()).args(arguments).output().unwrap().status.success()
    };
    assert!(openssl(&["base64", "-d", "-A", "-in", "signature.base64", "-out", "signature"]));
    openssl(&["dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "text"])
}

/// Counts the keys of a set that verify the signature.
fn signers(folder: &Path, jwks: &str, envelope: &Value) -> usize {
    let set = JwkSet::from_json(jwks).unwrap();
    set.keys().iter().filter(|key| openssl_verifies(folder, &key.to_pem(), envelope)).count()
}

#[tokio::test]
async fn a_response_from_before_a_rotation_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let public_key = |arguments: &[&str]| ok(path, &[&["signing-key", "public-key"], arguments].concat());
    let before = envelope(&local, "2").await;
    let old_pem = public_key(&["--product", "2"]);
    assert!(openssl_verifies(path, &old_pem, &before));

    let rotated = run(path, &["signing-key", "rotate", "--product", "2"]);
    let said = text(&rotated.stdout);
    assert!(said.starts_with("product 2 changed: signing_key: alias/keypool-product-2 → "), "{said}");
    let notes = text(&rotated.stderr);
    assert!(
        notes.contains("for up to 60 seconds") && notes.contains("public half of the old key"),
        "{notes}"
    );
    let new_pem = public_key(&["--product", "2"]);
    assert_ne!(new_pem, old_pem);
    assert!(!openssl_verifies(path, &new_pem, &before));
    for jwks in [public_key(&["--jwks"]), public_key(&["--product", "2", "--jwks"])] {
        assert_eq!(signers(path, &jwks, &before), 1, "{jwks}");
        let keys = &json(&jwks)["keys"];
        assert_eq!(keys.as_array().unwrap().len(), 3, "global, old and new: {jwks}");
        assert_eq!(
            (&keys[0]["kty"], &keys[0]["alg"], &keys[0]["use"]),
            (&"RSA".into(), &"RS256".into(), &"sig".into())
        );
    }

    let verify = |envelope: &Value| {
        std::fs::write(path.join("answer.json"), envelope.to_string()).unwrap();
        ok(path, &["verify", "answer.json", "--product", "2"])
    };
    let said = verify(&before);
    assert!(said.starts_with("valid         signed by a former signing key of product 2 (arn:"), "{said}");

    // A new environment signs with the new key.
    local.stop();
    let local = Local::start(path, &["--port", "0"]);
    let after = envelope(&local, "2").await;
    assert!(openssl_verifies(path, &new_pem, &after) && !openssl_verifies(path, &old_pem, &after));
    assert_eq!(signers(path, &public_key(&["--jwks"]), &before), 1);
    assert!(verify(&after).starts_with("valid         signed by the signing key of product 2 ("));

    // KMS may delete the old key. The table keeps it, and finds it by thumbprint and by name.
    let listed = json(&ok(path, &["signing-key", "list", "--json"]));
    let retired = listed.as_array().unwrap().iter().find(|key| key["retired_at"] != json("null")).unwrap();
    let id = retired["signing_key"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    local.stop();
    let kms = path.join(".keypool/kms");
    std::fs::remove_file(kms.join(format!("{id}.pk8"))).unwrap();
    std::fs::remove_file(kms.join("keypool-product-2.alias")).unwrap();
    let local = Local::start(path, &["--port", "0"]);
    for name in ["kid", "signing_key"] {
        assert_eq!(public_key(&["--key", retired[name].as_str().unwrap()]), old_pem);
    }
    assert_eq!(signers(path, &public_key(&["--jwks"]), &before), 1);
    // The check works even if the product has no key of its own now.
    ok(path, &["product", "update", "2", "--no-signing-key"]);
    assert!(verify(&before).contains("signed by a former signing key of product 2 (arn:"));
    local.stop();
}

#[tokio::test]
async fn a_product_gets_its_own_signing_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let said = fails(path, &["signing-key", "rotate", "--product", "1"], 1);
    assert!(
        said.contains("the global key signs: `keypool signing-key create --product 1` creates one"),
        "{said}"
    );
    let made = json(&ok(path, &["signing-key", "create", "--product", "1", "--json"]));
    let key = made["signing_key"].as_str().unwrap();
    let signed = envelope(&local, "1").await;
    assert_eq!(signed["private_key_used"], "product");
    let pem = ok(path, &["signing-key", "public-key", "--product", "1"]);
    assert!(openssl_verifies(path, &pem, &signed));
    let said = fails(path, &["signing-key", "create", "--product", "1"], 1);
    assert!(said.starts_with(&format!("error: product 1 already has the signing key {key}:")), "{said}");

    let spare = run(path, &["signing-key", "create"]);
    let spare = text(&spare.stdout).trim().to_owned();
    assert_eq!(
        ok(path, &["signing-key", "use", &spare, "--product", "1"]),
        format!("product 1 changed: signing_key: {key} → {spare}\n")
    );
    let said = fails(path, &["signing-key", "use", "alias/nope", "--product", "1"], 1);
    assert!(said.starts_with("error: cannot sign with alias/nope: GetPublicKey: KMS refuses"), "{said}");
    let said = fails(path, &["signing-key", "use", &spare, "--product", "77"], 1);
    assert_eq!(said, "error: there is no product 77\n");
    ok(path, &["product", "update", "1", "--no-signing-key"]);
    let listed = ok(path, &["signing-key", "list"]);
    let rows: Vec<&str> = listed.lines().collect();
    assert_eq!(rows.len(), 5, "global, product 2's, and two retired ones: {listed}");
    assert!(rows[1].starts_with("global     alias/keypool "), "{listed}");
    assert!(rows[3].contains(key) && rows[4].contains(&spare), "{listed}");
    local.stop();
}

#[tokio::test]
async fn the_former_global_key_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let said = fails(path, &["signing-key", "rotate"], 1);
    assert!(said.contains("docs/rotating-keys.md says how"), "{said}");
    let said = fails(path, &["signing-key", "retire", "alias/keypool"], 1);
    assert_eq!(said, "error: alias/keypool is still the global key: deploy another one first\n");

    let signed = envelope(&local, "3").await;
    let former = text(&run(path, &["signing-key", "create"]).stdout).trim().to_owned();
    let before = ok(path, &["signing-key", "public-key", "--jwks"]);
    let kept = json(&ok(path, &["signing-key", "retire", &former, "--json"]));
    assert!(ok(path, &["signing-key", "retire", &former]).contains("is already kept"));
    let after = ok(path, &["signing-key", "public-key", "--jwks"]);
    assert!(!before.contains(kept["kid"].as_str().unwrap()));
    assert_eq!(after.matches(kept["kid"].as_str().unwrap()).count(), 1, "{after}");
    assert_eq!(signers(path, &after, &signed), 1);

    let pem = ok(path, &["signing-key", "public-key"]);
    assert_eq!(pem.trim_end(), local.public_key("").await.trim_end());
    let value = json(&ok(path, &["signing-key", "public-key", "--json"]));
    assert_eq!(value["pem"].as_str().unwrap().trim_end(), pem.trim_end());
    assert_eq!(ok(path, &["signing-key", "public-key", "--product", "1"]), pem, "it has none of its own");
    local.stop();
}

/// A product without its signing key sells nothing: `list` reports it, and `use` fixes it.
#[tokio::test]
async fn a_key_that_kms_lost_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let made = json(&ok(path, &["signing-key", "create", "--product", "1", "--json"]));
    let lost = made["signing_key"].as_str().unwrap();
    let spare = text(&run(path, &["signing-key", "create"]).stdout).trim().to_owned();
    local.stop();
    std::fs::remove_file(path.join(format!(".keypool/kms/{lost}.pk8"))).unwrap();

    let local = Local::start(path, &["--port", "0"]);
    let listed = run(path, &["signing-key", "list"]);
    assert_eq!(listed.status.code(), Some(4));
    assert!(text(&listed.stdout).contains("KMS refuses (NotFoundException)"), "{}", text(&listed.stdout));
    let said = fails(path, &["signing-key", "public-key", "--jwks"], 1);
    assert!(said.contains(&format!("cannot read the public half of {lost}")), "{said}");
    for arguments in [&["rotate", "--product", "1"][..], &["use", &spare, "--product", "1"]] {
        let said = fails(path, &[&["signing-key"], arguments].concat(), 1);
        assert!(said.contains("`keypool signing-key use --lose-old-key` accepts that"), "{said}");
    }
    ok(path, &["signing-key", "use", &spare, "--product", "1", "--lose-old-key"]);
    let signed = envelope(&local, "1").await;
    assert_eq!(signers(path, &ok(path, &["signing-key", "public-key", "--jwks"]), &signed), 1);
    local.stop();
}
