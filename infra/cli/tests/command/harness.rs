//! Runs the real binary and a local stack.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const API_KEY: &str = "2964c3c9-0b5d-4d89-b3ac-4668f30bc492";

pub(crate) fn keypool(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
    command.current_dir(folder);
    for variable in ["KEYPOOL_STACK", "KEYPOOL_TABLE", "AWS_REGION", "LOG_LEVEL"] {
        command.env_remove(variable);
    }
    command
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    keypool(folder).args(arguments).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Runs a command that must succeed. Returns its standard output.
pub(crate) fn ok(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that must fail with this code. Returns its standard error.
pub(crate) fn fails(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// A running `keypool local`.
pub(crate) struct Local {
    pub(crate) child: Child,
    pub(crate) stdout: BufReader<ChildStdout>,
    pub(crate) welcome: String,
    pub(crate) base_url: String,
}

impl Drop for Local {
    /// Ends the stack if a test fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Local {
    /// Starts the stack and waits until it is ready.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
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

    /// Stops the stack, as an operator would.
    pub(crate) fn stop(self) -> (Option<i32>, String, String) {
        self.signal(Signal::TERM);
        self.end()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end. Returns the exit code, and the output since the stack was ready.
    pub(crate) fn end(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }

    pub(crate) async fn post(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Value {
        let mut form = vec![("api_key", API_KEY)];
        form.extend(parameters);
        let url = format!("{}/api/v1/{endpoint}", self.base_url);
        let response = reqwest::Client::new().post(url).form(&form).send().await.unwrap();
        serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap()["response"].clone()
    }

    pub(crate) async fn public_key(&self, query: &str) -> String {
        let response = reqwest::get(format!("{}/public-key.pem{query}", self.base_url)).await.unwrap();
        response.text().await.unwrap()
    }
}
