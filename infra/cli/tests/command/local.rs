//! `keypool local`.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{API_KEY, Local, fails, keypool, ok};

#[tokio::test]
async fn local_prints_its_addresses_and_demo_data() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    assert!(local.base_url.starts_with("http://127.0.0.1:"));
    assert!(!local.base_url.ends_with(":0"));
    for expected in [
        local.base_url.as_str(),
        API_KEY,
        "product 1",
        "product 2",
        "product 3",
        "public-key.pem?product_id=2",
        &format!("{}/docs", local.base_url),
    ] {
        assert!(local.welcome.contains(expected), "{expected} in {}", local.welcome);
    }
    assert_eq!(local.welcome.matches("curl ").count(), 6);
    assert!(folder.path().join(".keypool").is_dir());
    assert_eq!(local.stop().0, Some(0));
}

#[tokio::test]
async fn local_prints_json_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = keypool(folder.path())
        .args(["local", "--memory", "--port", "0", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    assert!(told["ready"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{told}");
    assert_eq!(told["api_key"], API_KEY);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Runs each curl line of the welcome in a shell, as a person would.
#[tokio::test]
async fn the_curl_lines_of_the_welcome_work() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0", "--memory"]);
    let joined = local.welcome.replace("\\\n", " ");
    let codes: Vec<Value> = joined
        .lines()
        .filter(|line| line.trim_start().starts_with("curl "))
        .map(|line| {
            let output = Command::new("sh").args(["-c", &format!("{line} -s")]).output().unwrap();
            let envelope: Value = serde_json::from_slice(&output.stdout).unwrap();
            envelope["response"]["code"].clone()
        })
        .collect();
    assert_eq!(codes, [900, 815, 800, 803, 730, 741]);
    local.stop();
}

#[tokio::test]
async fn both_signals_stop_local_cleanly() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::start(folder.path(), &["--port", "0"]);
        local.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await;
        local.signal(signal);
        let (code, stdout, stderr) = local.end();
        assert_eq!((code, stdout.as_str()), (Some(0), ""));
        assert!(stderr.ends_with("stopped\n"), "{stderr}");
        assert!(!folder.path().join(".keypool/endpoints.json").exists());
    }
}

#[tokio::test]
async fn a_kill_loses_no_data() {
    let folder = tempfile::tempdir().unwrap();
    let mut local = Local::start(folder.path(), &["--port", "0"]);
    let generated = local.post("generate", &[("generator_id", "2"), ("quantity", "20")]).await;
    let sold = local.post("random-assign-license-keys", &[("product_id", "2"), ("quantity", "5")]).await;
    assert_eq!((&generated["code"], &sold["code"]), (&815.into(), &803.into()));
    let keys = [local.public_key("").await, local.public_key("?product_id=2").await];
    local.child.kill().unwrap();
    local.child.wait().unwrap();

    let local = Local::start(folder.path(), &["--port", "0"]);
    assert_eq!([local.public_key("").await, local.public_key("?product_id=2").await], keys);
    let short = local.post("random-assign-license-keys", &[("product_id", "2"), ("quantity", "16")]).await;
    assert_eq!((&short["code"], &short["available_quantity"]), (&802.into(), &15.into()));
    for row in sold["license_keys"].as_array().unwrap() {
        let key = row["license_key"].as_str().unwrap();
        assert_eq!(local.post("assign-license-key", &[("license_key", key)]).await["code"], 801);
    }
    local.stop();
}

#[tokio::test]
async fn a_stack_in_memory_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    local.stop();
    let files = || {
        let files = std::fs::read_dir(folder.path().join(".keypool")).unwrap();
        files.map(|file| file.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    let kept = files();
    let local = Local::start(folder.path(), &["--port", "0", "--memory"]);
    local.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await;
    ok(folder.path(), &["product", "create", "--name", "Office", "--id", "42"]);
    local.stop();
    assert_eq!(files(), kept);
    let local = Local::start(folder.path(), &["--port", "0"]);
    let said = fails(folder.path(), &["product", "show", "42"], 1);
    assert_eq!(said, "error: there is no product 42\n");
    local.stop();
}

#[tokio::test]
async fn an_error_names_the_port_or_folder_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let port = local.base_url.rsplit(':').next().unwrap();
    let said = fails(folder.path(), &["local", "--port", port, "--data-dir", "other"], 1);
    assert!(said.contains(&format!("error: cannot listen on port {port} of 127.0.0.1")), "{said}");
    let said = fails(folder.path(), &["local", "--port", "0"], 1);
    assert!(said.contains("error: another keypool is running on the data folder .keypool"), "{said}");
    local.stop();
}

#[tokio::test]
async fn only_the_owner_can_read_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let data = folder.path().join(".keypool");
    for folder in [data.clone(), data.join("kms")] {
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
    let mut secret = vec![data.join("dynamodb.sqlite"), data.join("lock"), data.join("endpoints.json")];
    let kept = std::fs::read_dir(data.join("kms")).unwrap().map(|entry| entry.unwrap().path());
    secret.extend(kept.filter(|path| path.extension().is_some_and(|extension| extension == "pk8")));
    assert_eq!(secret.len(), 5, "{secret:?}");
    for path in secret {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    local.stop();
}

#[test]
fn a_data_folder_open_to_others_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join(".keypool");
    std::fs::create_dir_all(data.join("kms")).unwrap();
    for (path, mode) in [(data.clone(), 0o777), (data.join("kms"), 0o775)] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let said = fails(folder.path(), &["local", "--port", "0"], 1);
        let named = path.strip_prefix(folder.path()).unwrap().display();
        let advice = format!(
            "error: other users can write into the folder {named} (mode 0{mode:o}): run `chmod go-w {named}`, or give \
             another --data-dir\n"
        );
        assert_eq!(said, advice);
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    }
    let local = Local::start(folder.path(), &["--port", "0"]);
    local.stop();
}

#[test]
fn a_corrupt_data_folder_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join(".keypool");
    std::fs::write(&data, "a file").unwrap();
    let said = fails(folder.path(), &["local", "--port", "0"], 1);
    assert_eq!(said, "error: cannot use the data folder .keypool: File exists (os error 17)\n");

    std::fs::remove_file(&data).unwrap();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data.join("kms")).unwrap();
    std::fs::write(data.join("dynamodb.sqlite"), "no database".repeat(500)).unwrap();
    let said = fails(folder.path(), &["local", "--port", "0"], 1);
    assert!(said.contains("dynamodb.sqlite is not a database that the embedded DynamoDB can open"), "{said}");

    std::fs::remove_dir(data.join("kms")).unwrap();
    let said = fails(folder.path(), &["local", "--port", "0"], 1);
    assert!(said.contains("the private keys in .keypool/kms are missing"), "{said}");
}
