//! `keypool keys import`.

mod duplicates;
mod files;
mod formats;
mod resume;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use keypool_aws::{Clients, Timeouts};
use keypool_local::{DataFolder, Services, TABLE};
use serde_json::Value;

use crate::harness::{Local, keypool, text};

/// A folder with a running stack.
struct Shop {
    folder: tempfile::TempDir,
    local: Local,
}

impl Shop {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::start(folder.path(), &["--port", "0"]);
        Self { folder, local }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), content).unwrap();
    }

    /// Runs `keypool keys import …`, which must end with this code.
    fn import(&self, arguments: &[&str], code: i32) -> Output {
        let mut command = keypool(self.path());
        let output = command.args(["keys", "import", "--json"]).args(arguments).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        output
    }

    /// Imports a file for product 1. Returns the outcome of each line in short.
    fn imported(&self, name: &str, content: impl AsRef<[u8]>, arguments: &[&str], code: i32) -> Vec<String> {
        self.write(name, content);
        let output = self.import(&[&[name, "--product", "1"], arguments].concat(), code);
        let told = self.receipt(&format!("{name}.receipt.jsonl"));
        assert_eq!(summary(&output), counted(&told));
        told.iter().map(in_short).collect()
    }

    /// Reads a receipt, without its first and its last line.
    fn receipt(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path().join(name)).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<Value> = lines.collect();
        assert_eq!(lines.last().unwrap()["complete"], true, "{text}");
        lines[1..lines.len() - 1].to_vec()
    }

    fn clients(&self) -> Clients {
        let endpoints = DataFolder::endpoints_at(&self.path().join(".keypool")).unwrap();
        Services::settings(endpoints.dynamodb, endpoints.kms).clients(Timeouts::OPERATOR)
    }

    /// Reads all license keys of the table, with their attributes as text.
    async fn keys(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let dynamodb = self.clients().dynamodb;
        let (mut keys, mut from) = (BTreeMap::new(), None);
        loop {
            let page = dynamodb.scan().table_name(TABLE).set_exclusive_start_key(from).send().await.unwrap();
            for item in page.items() {
                let attribute = |name: &String| match item[name].as_s() {
                    Ok(text) => text.clone(),
                    Err(value) => value.as_n().unwrap().clone(),
                };
                if item["sk"].as_s().unwrap() == "KEY" {
                    let key = item["pk"].as_s().unwrap().strip_prefix("KEY#").unwrap().to_owned();
                    keys.insert(key, item.keys().map(|name| (name.clone(), attribute(name))).collect());
                }
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return keys;
            }
        }
    }
}

/// The counts in the JSON output: lines, created, duplicate, refused.
fn summary(output: &Output) -> [u64; 4] {
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    ["lines", "created", "duplicate", "refused"].map(|name| value[name].as_u64().unwrap())
}

/// The same counts, from a receipt.
fn counted(told: &[Value]) -> [u64; 4] {
    let count = |outcome: &str| {
        let told = told.iter().filter(|told| told["outcome"].as_str().unwrap().ends_with(outcome));
        u64::try_from(told.count()).unwrap()
    };
    [told.len().try_into().unwrap(), count("created"), count("duplicate"), count("refused")]
}

/// A line of a receipt in short: `3 A duplicate of 2`, `4 B refused: …`.
fn in_short(told: &Value) -> String {
    let outcome = told["outcome"].as_str().unwrap();
    let key = told["key"].as_str().map(|key| format!("{key} ")).unwrap_or_default();
    let more = ["of", "of_line"].iter().find_map(|name| told.get(*name)).map(|of| match of.as_str() {
        Some(of) => format!(" of {of}"),
        None => format!(" of {of}"),
    });
    let reason = told.get("reason").map(|reason| format!(": {}", reason.as_str().unwrap()));
    let more = more.or(reason).unwrap_or_default();
    format!("{} {key}{outcome}{more}", told["line"])
}
