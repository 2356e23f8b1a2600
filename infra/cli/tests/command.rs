//! The real binary, as an operator runs it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const API_KEY: &str = "2964c3c9-0b5d-4d89-b3ac-4668f30bc492";

fn keypool(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
    command.current_dir(folder);
    for variable in ["KEYPOOL_TABLE", "AWS_REGION", "LOG_LEVEL"] {
        command.env_remove(variable);
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    keypool(folder).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command that must succeed, and gives what it prints.
fn ok(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that must fail with that code, and gives what it says about it.
fn fails(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// `keypool local`, running.
struct Local {
    child: Child,
    stdout: BufReader<ChildStdout>,
    welcome: String,
    base_url: String,
}

impl Drop for Local {
    /// A test that failed leaves no stack behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Local {
    /// Starts it and waits for its last line.
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = keypool(folder);
        command.arg("local").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut local = Self { child, stdout, welcome: String::new(), base_url: String::new() };
        while local.stdout.read_line(&mut local.welcome).unwrap() > 0 {
            if let Some((_, url)) = local.welcome.rsplit_once("\nready ") {
                local.base_url = url.trim_end().to_owned();
                return local;
            }
        }
        let (_, _, stderr) = local.end();
        panic!("it ended before it was ready: {stderr}");
    }

    /// Stops it, as an operator would.
    fn stop(self) -> (Option<i32>, String, String) {
        self.signal(Signal::TERM);
        self.end()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: exit code, and what it wrote since it was ready.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }

    async fn post(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Value {
        let mut form = vec![("api_key", API_KEY)];
        form.extend(parameters);
        let url = format!("{}/api/v1/{endpoint}", self.base_url);
        let response = reqwest::Client::new().post(url).form(&form).send().await.unwrap();
        serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap()["response"].clone()
    }

    async fn public_key(&self, query: &str) -> String {
        let response = reqwest::get(format!("{}/public-key.pem{query}", self.base_url)).await.unwrap();
        response.text().await.unwrap()
    }
}

#[tokio::test]
async fn local_says_where_it_is_and_what_is_in_it() {
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
    assert_eq!(local.welcome.matches("curl ").count(), 4);
    assert!(folder.path().join(".keypool").is_dir());
    assert_eq!(local.stop().0, Some(0));
}

/// Each curl line of the welcome, run by a shell as a person would.
#[tokio::test]
async fn the_curl_lines_that_local_prints_work() {
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
    assert_eq!(codes, [900, 815, 800, 803]);
    local.stop();
}

#[tokio::test]
async fn both_signals_stop_it_cleanly() {
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
async fn after_a_kill_nothing_is_lost() {
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
async fn in_memory_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0", "--memory"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let said = fails(folder.path(), &["product", "list"], 1);
    assert!(said.contains("no stack runs on the data folder .keypool"), "{said}");
    local.stop();
}

#[tokio::test]
async fn a_port_or_a_folder_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let port = local.base_url.rsplit(':').next().unwrap();
    let said = fails(folder.path(), &["local", "--port", port, "--memory"], 1);
    assert!(said.contains(&format!("error: port {port} of 127.0.0.1 cannot be had")), "{said}");
    let said = fails(folder.path(), &["local", "--port", "0"], 1);
    assert!(said.contains("error: another keypool is running on the data folder .keypool"), "{said}");
    local.stop();
}

#[test]
fn wrong_arguments_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["local", "--port", "65536"][..], "65536 is not in 0..=65535"),
        (&["local", "--memory", "--data-dir", "x"], "cannot be used with"),
        (&["sell"], "unrecognized subcommand"),
        (&["product", "create"], "--name"),
        (&["product", "create", "--name", ""], "must have 1 to 255 characters"),
        (&["product", "create", "--name", "x", "--id", "0"], "must be at least 1"),
        (&["generator", "create", "--product", "1", "--charset", "AA"], "each once"),
        (&["generator", "create", "--product", "1", "--validity", "-1"], "must be at least 0"),
        (&["api-key", "create", "--name", "x", "--capability", "sell"], "must be one of create-license-keys"),
        (
            &["api-key", "create", "--name", "x", "--network", "10.0.0.0/33"],
            "must be an address or a network",
        ),
        (&["api-key", "create", "--name", "x", "--expires", "tomorrow"], "YYYY-MM-DD"),
    ] {
        let said = fails(folder.path(), arguments, 2);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let help = ok(folder.path(), &["--help"]);
    for expected in ["local", "product", "generator", "api-key", "Exit codes"] {
        assert!(help.contains(expected), "{help}");
    }
    let said = fails(folder.path(), &["local", "--memory", "--port", "0", "--table"], 2);
    assert!(said.contains("--table"), "{said}");
    let mut talkative = keypool(folder.path());
    let output = talkative.env("LOG_LEVEL", "loud").args(["local", "--memory"]).output().unwrap();
    assert!(text(&output.stderr).contains("LOG_LEVEL must be one of"), "{}", text(&output.stderr));
}

/// Keys that people choose can be guessed; see docs/SECURITY.md.
#[test]
fn an_api_key_cannot_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    for chosen in [&["my-own-key"][..], &["--key", "my-own-key"], &["--api-key", "my-own-key"]] {
        let arguments = [&["api-key", "create", "--name", "x"], chosen].concat();
        let said = fails(folder.path(), &arguments, 2);
        assert!(said.contains("unexpected argument"), "{said}");
    }
}

#[tokio::test]
async fn what_the_local_stack_keeps_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let data = folder.path().join(".keypool");
    let mut secret = vec![data.join("dynamodb.sqlite")];
    let kept = std::fs::read_dir(data.join("kms")).unwrap().map(|entry| entry.unwrap().path());
    secret.extend(kept.filter(|path| path.extension().is_some_and(|extension| extension == "pk8")));
    assert_eq!(secret.len(), 3, "{secret:?}");
    for path in secret {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    local.stop();
}

#[tokio::test]
async fn a_shop_is_set_up_without_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let said = fails(path, &["product", "list"], 1);
    assert!(said.contains("start one with `keypool local`, or name a table on AWS with --table"), "{said}");

    let local = Local::start(path, &["--port", "0"]);
    assert_eq!(ok(path, &["product", "create", "--name", "Büro 2026"]), "product 4 created\n");
    assert_eq!(ok(path, &["product", "create", "--name", "Office", "--id", "42"]), "product 42 created\n");
    let said = fails(path, &["product", "create", "--name", "Office", "--id", "42"], 1);
    assert_eq!(said, "error: there is a product 42 already\n");
    let chunks = ["generator", "create", "--product", "42", "--method", "chunk-system"];
    let weak = [&chunks[..], &["--chunks", "2", "--chunk-length", "2"]].concat();
    let said = fails(path, &weak, 1);
    assert!(said.starts_with("error: this generator is refused: its keys could be guessed"), "{said}");
    let created = ok(path, &[&chunks[..], &["--prefix", "OFF-", "--validity", "30"]].concat());
    assert_eq!(created, "generator 3 created, now the one of product 42\n");
    let said = fails(path, &["product", "create", "--name", "x", "--signing-key", "alias/nope"], 1);
    assert!(
        said.starts_with("error: alias/nope cannot be used as a signing key: GetPublicKey: KMS refuses"),
        "{said}"
    );
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
    assert!(text(&output.stderr).contains("shown this once"));
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

#[test]
fn a_table_on_aws_that_cannot_be_reached_is_one_sentence() {
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
    assert_eq!(text(&output.stderr), "error: Query: DynamoDB is unavailable (connection failed)\n");
}

#[test]
fn without_credentials_it_says_so() {
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

#[test]
fn a_spoilt_data_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join(".keypool");
    std::fs::write(&data, "a file").unwrap();
    let said = fails(folder.path(), &["local", "--port", "0"], 1);
    assert_eq!(said, "error: the data folder .keypool cannot be used: File exists (os error 17)\n");

    std::fs::remove_file(&data).unwrap();
    std::fs::create_dir_all(data.join("kms")).unwrap();
    std::fs::write(data.join("dynamodb.sqlite"), "no database".repeat(500)).unwrap();
    let said = fails(folder.path(), &["local", "--port", "0"], 1);
    assert!(said.contains("dynamodb.sqlite is not a database that the embedded DynamoDB can open"), "{said}");

    std::fs::remove_dir(data.join("kms")).unwrap();
    let said = fails(folder.path(), &["local", "--port", "0"], 1);
    assert!(said.contains("the private keys in .keypool/kms are gone"), "{said}");
}
