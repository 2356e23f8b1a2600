//! `keypool console`, and attacks on it. (A real browser drives the pages in `tests/console`.)

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use reqwest::header::{HOST, HeaderMap, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use rustix::process::{Pid, Signal, kill_process};

use crate::aws::{Account, OPERATOR};
use crate::harness::{Local, fails, json, keypool, ok, text};

/// A running `keypool console`.
struct Console {
    child: Child,
    link: String,
}

/// A browser with a session.
struct Browser {
    base_url: String,
    cookie: String,
    token: String,
    client: Client,
}

impl Drop for Console {
    /// Ends the console if a test fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Console {
    fn start(folder: &Path, arguments: &[&str], path: Option<&Path>) -> Self {
        let mut command = keypool(folder);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        Self::start_as(command, arguments)
    }

    fn start_as(mut command: Command, arguments: &[&str]) -> Self {
        command.args(["console", "--json"]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut told = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut told).unwrap();
        let link = json(&told)["ready"].as_str().unwrap().to_owned();
        Self { child, link }
    }

    fn base_url(&self) -> &str {
        self.link.split_once("/console/").unwrap().0
    }

    /// Stops the console. Returns its exit code and standard error.
    fn stop(mut self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut stderr = Vec::new();
        self.child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), text(&stderr))
    }
}

impl Browser {
    async fn open(link: &str) -> Self {
        let base_url = link.split_once("/console/").unwrap().0.to_owned();
        let client = Client::new();
        let opened = client.get(link).send().await.unwrap();
        assert_eq!(opened.status(), StatusCode::OK);
        let cookie = opened.headers()[SET_COOKIE].to_str().unwrap();
        assert!(cookie.ends_with("; Path=/console; HttpOnly; SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let mut browser = Self { base_url, cookie, token: String::new(), client };
        let page = browser.page("/console/products").await;
        let (_, token) = page.split_once("name=\"form_token\" value=\"").unwrap();
        token.split('"').next().unwrap().clone_into(&mut browser.token);
        browser
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base_url));
        request.header("cookie", &self.cookie)
    }

    async fn page(&self, path: &str) -> String {
        let response = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.text().await.unwrap()
    }

    /// Sends a form as a page of the console does.
    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let mut form = vec![("form_token", self.token.as_str())];
        form.extend(fields);
        self.request(Method::POST, path).header(ORIGIN, &self.base_url).form(&form).send().await.unwrap()
    }
}

/// A stack with the key `CONSOLE-1` in stock, and a console of it.
async fn desk() -> (tempfile::TempDir, Local, Console) {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0", "--memory"]);
    let keys = [("license_keys", r#"["CONSOLE-1"]"#), ("product_id", "1"), ("status", "available")];
    let terms = [("activation_limit", "1"), ("validity", "365")];
    assert_eq!(local.post("create-license-keys", &[&keys[..], &terms].concat()).await["code"], 900);
    let console = Console::start(folder.path(), &["--no-open"], None);
    (folder, local, console)
}

/// The fields that block the key.
const BLOCK: [(&str, &str); 3] = [("action", "block"), ("key", "CONSOLE-1"), ("reason", "chargeback")];

fn status(folder: &Path) -> String {
    json(&ok(folder, &["keys", "show", "CONSOLE-1", "--json"]))["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_form_changes_a_key_as_the_command_does() {
    let (folder, _local, console) = desk().await;
    let browser = Browser::open(&console.link).await;
    assert!(browser.page("/console/find?q=CONSOLE-1").await.contains("/console/key?key=CONSOLE-1"));
    let changed = browser.send("/console/key/change", &BLOCK).await;
    assert_eq!(changed.status(), StatusCode::OK);
    assert!(changed.text().await.unwrap().contains("The key is blocked now."));
    assert_eq!(status(folder.path()), "blocked");
    let audit = ok(folder.path(), &["audit", "--json"]);
    assert!(audit.contains("chargeback") && audit.contains("CONSOLE-1"), "{audit}");
    // What the command refuses, the console refuses with the same words.
    let refused = browser.send("/console/generators/no-such-page", &[]).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    let refused = browser.send("/console/setup/generators/create", &[("product", "99")]).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().await.unwrap().contains("there is no product 99"));
    let (code, stderr) = console.stop();
    assert_eq!(code, Some(0));
    assert!(stderr.ends_with("stopped\n"), "{stderr}");
}

#[tokio::test]
async fn a_console_asks_aws_once_for_the_stack_and_the_operator() {
    let (folder, local, console) = desk().await;
    console.stop();
    let account = Account::of(&local, folder.path());
    let arguments = ["--no-open", "--stack", "shop"];
    let console = Console::start_as(account.keypool(folder.path()), &arguments);
    let browser = Browser::open(&console.link).await;
    assert_eq!(browser.send("/console/key/change", &BLOCK).await.status(), StatusCode::OK);
    assert!(browser.page("/console/audit").await.contains(OPERATOR));
    assert_eq!(account.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_link_opens_one_session() {
    let (_folder, _local, console) = desk().await;
    let browser = Browser::open(&console.link).await;
    let again = Client::new().get(&console.link).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::FORBIDDEN);
    assert!(again.headers().get(SET_COOKIE).is_none());
    // The browser that used it may load it again.
    let path = console.link.strip_prefix(console.base_url()).unwrap();
    assert!(browser.page(path).await.contains("Open the console"));
    let (_, stderr) = console.stop();
    let (_, next) = stderr.split_once("For another browser: ").unwrap();
    assert!(next.starts_with("http://127.0.0.1:"), "{stderr}");
}

#[tokio::test]
async fn without_a_session_nothing_is_shown_or_changed() {
    let (folder, _local, console) = desk().await;
    for path in [
        "",
        "stock",
        "doctor",
        "find?q=CONSOLE-1",
        "find/owner?q=a",
        "key?key=CONSOLE-1",
        "orders",
        "products",
        "generators",
        "api-keys",
        "signing-keys",
        "public-key.pem",
        "check",
        "audit",
        "import",
        "no-such-page",
        "open?token=",
    ] {
        let url = format!("{}/console/{path}", console.base_url());
        for cookie in ["", "keypool-console=", "keypool-console-1=0000"] {
            let response = Client::new().get(&url).header("cookie", cookie).send().await.unwrap();
            let expected = if path == "no-such-page" { StatusCode::NOT_FOUND } else { StatusCode::FORBIDDEN };
            assert_eq!(response.status(), expected, "{path}");
            assert!(!response.text().await.unwrap().contains("CONSOLE-1"), "{path}");
        }
    }
    let url = format!("{}/console/key/change", console.base_url());
    let request = Client::new().post(url).header(ORIGIN, console.base_url()).form(&BLOCK);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(status(folder.path()), "available");
}

#[tokio::test]
async fn other_hosts_and_origins_are_refused() {
    let (folder, _local, console) = desk().await;
    let browser = Browser::open(&console.link).await;
    let port = console.base_url().rsplit_once(':').unwrap().1;
    // A name of an attacker that resolves to 127.0.0.1, and other ports of this machine.
    for host in [&format!("evil.example:{port}"), "127.0.0.1", "127.0.0.1:1", ""] {
        let response =
            browser.request(Method::GET, "/console/find?q=CONSOLE-1").header(HOST, host).send().await;
        let status = response.unwrap().status();
        assert!([StatusCode::FORBIDDEN, StatusCode::BAD_REQUEST].contains(&status), "{host}: {status}");
    }
    for site in ["cross-site", "same-site"] {
        let request =
            browser.request(Method::GET, "/console/find?q=CONSOLE-1").header("sec-fetch-site", site);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{site}");
    }
    let localhost = format!("localhost:{port}");
    let response =
        browser.request(Method::GET, "/console/find").header(HOST, localhost).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut form = vec![("form_token", browser.token.as_str())];
    form.extend(BLOCK);
    let other_name = format!("http://localhost:{port}");
    for origin in
        [Some("http://evil.example"), Some("http://127.0.0.1:1"), Some(&*other_name), Some("null"), None]
    {
        let mut headers = HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let request = browser.request(Method::POST, "/console/key/change").headers(headers).form(&form);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{origin:?}");
    }
    assert_eq!(status(folder.path()), "available");
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_session() {
    let (folder, _local, console) = desk().await;
    let mut browser = Browser::open(&console.link).await;
    let token = std::mem::take(&mut browser.token);
    for wrong in [String::new(), "0".repeat(token.len()), token[1..].to_owned()] {
        browser.token = wrong;
        let answer = browser.send("/console/key/change", &BLOCK).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let upload =
            browser.request(Method::POST, "/console/import?name=keys.txt").header(ORIGIN, &browser.base_url);
        let upload = upload.header("x-form-token", &browser.token).body("KEY-1\n").send().await.unwrap();
        assert_eq!(upload.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(status(folder.path()), "available");
    assert!(!folder.path().join(".keypool/console").exists());
}

#[tokio::test]
async fn every_response_forbids_frames_and_foreign_content() {
    let (_folder, _local, console) = desk().await;
    let browser = Browser::open(&console.link).await;
    for path in ["/console/", "/console/find", "/console/assets/1/console.js", "/console/no-such-page"] {
        let response = browser.request(Method::GET, path).send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        let policy = header("content-security-policy");
        for part in
            ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-frame-options"), "DENY");
        // The address of a page never leaves the console, so neither does the token of the link.
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn foreign_text_is_shown_as_text() {
    let (folder, local, console) = desk().await;
    let script = "<script>alert(1)</script>";
    let order = [
        ("product_id", "1"),
        ("quantity", "1"),
        ("owner_name", script),
        ("owner_email", "a@b.example"),
        ("identifier", script),
    ];
    assert_eq!(local.post("random-assign-license-keys", &order).await["code"], 803);
    ok(folder.path(), &["product", "create", "--name", script]);
    let browser = Browser::open(&console.link).await;
    let upload =
        browser.request(Method::POST, "/console/import?name=%3Cscript%3Ealert(1)%3C%2Fscript%3E.txt");
    let upload = upload.header(ORIGIN, &browser.base_url).header("x-form-token", &browser.token);
    assert_eq!(upload.body("KEY-1\n").send().await.unwrap().status(), StatusCode::OK);
    for path in
        ["stock", "find?q=CONSOLE-1", "find/owner?q=script", "key?key=CONSOLE-1", "products", "import"]
    {
        let page = browser.page(&format!("/console/{path}")).await;
        assert!(!page.contains("<script>alert"), "{path}: {page}");
        assert!(page.contains("&#60;script&#62;alert") || path == "import", "{path}: {page}");
    }
    let page = browser.page("/console/find?q=%22%3E%3Cscript%3Ealert(1)").await;
    assert!(!page.contains("<script>alert"), "{page}");
}

#[tokio::test]
async fn received_files_are_private_and_stay_in_their_folder() {
    let (folder, _local, console) = desk().await;
    let browser = Browser::open(&console.link).await;
    let upload = browser.request(Method::POST, "/console/import?name=..%2F..%2Fsecret.txt");
    let upload = upload.header(ORIGIN, &browser.base_url).header("x-form-token", &browser.token);
    let path = upload.body("KEY-1\nKEY-2\n").send().await.unwrap().text().await.unwrap();
    let imports = folder.path().join(".keypool/console/local/imports");
    let received = imports.join(path.rsplit_once('/').unwrap().1);
    for (file, mode) in [("", 0o700), ("file", 0o700), ("file/secret.txt", 0o600)] {
        let found = received.join(file).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file}");
    }
    assert!(browser.page(&path).await.contains("secret.txt"));
    for id in ["..", "%2e%2e%2f%2e%2e", "0", "x"] {
        let url = format!("/console/import/{id}/receipt");
        let status = browser.request(Method::GET, &url).send().await.unwrap().status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{id}");
    }
    let removed = browser.send(&format!("{path}/remove"), &[]).await;
    assert_eq!(removed.status(), StatusCode::OK);
    assert!(!received.exists());
}

#[tokio::test]
async fn the_browser_gets_the_link_in_a_private_file() {
    let folder = tempfile::tempdir().unwrap();
    let _local = Local::start(folder.path(), &["--port", "0", "--memory"]);
    // Stands in for the desktop's program: it writes its arguments, and what the file has, into a pipe.
    let (programs, told) = (folder.path().join("bin"), folder.path().join("told"));
    std::fs::create_dir(&programs).unwrap();
    assert!(Command::new("mkfifo").arg(&told).status().unwrap().success());
    let script = "#!/bin/sh\n{ echo \"$@\"; /usr/bin/stat -c %a \"$1\"; /bin/cat \"$1\"; } > told\n";
    let program = programs.join("xdg-open");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let console = Console::start(folder.path(), &[], Some(&programs));
    let seen = std::fs::read_to_string(&told).unwrap();
    let [arguments, mode, page] = seen.splitn(3, '\n').collect::<Vec<_>>().try_into().unwrap();
    assert!(!arguments.contains("token"), "other users see it: {arguments}");
    assert_eq!(mode, "600");
    assert!(page.contains(&console.link), "{page}");
    assert_eq!(console.stop().0, Some(0));
    assert!(!Path::new(arguments).exists());
}

#[tokio::test]
async fn a_console_without_a_browser_stack_or_port_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let refused = fails(folder.path(), &["console", "--no-open"], 1);
    assert!(refused.contains("start one with `keypool local`"), "{refused}");
    let local = Local::start(folder.path(), &["--port", "0", "--memory"]);
    let port = local.base_url.rsplit_once(':').unwrap().1;
    let refused = fails(folder.path(), &["console", "--no-open", "--port", port], 1);
    assert!(refused.contains(&format!("cannot listen on port {port} of 127.0.0.1")), "{refused}");
    // No program that opens files is on the path.
    let console = Console::start(folder.path(), &[], Some(folder.path()));
    // Only 127.0.0.1 is open, not the rest of the machine's addresses.
    let port: u16 = console.base_url().rsplit_once(':').unwrap().1.parse().unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.2", port)).is_err());
    let (_, stderr) = console.stop();
    assert!(stderr.contains("cannot start a browser"), "{stderr}");
}

#[tokio::test]
async fn keypool_local_serves_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0", "--memory"]);
    let (_, link) = local.welcome.split_once("console      ").unwrap();
    let browser = Browser::open(link.split_whitespace().next().unwrap()).await;
    assert_eq!(browser.base_url, local.base_url);
    assert!(browser.page("/console/stock").await.contains("Demo"));
    assert_eq!(local.stop().0, Some(0));
}

#[tokio::test]
async fn an_import_continues_after_a_restart_of_the_console() {
    const KEYS: usize = 20_000;
    let (folder, _local, console) = desk().await;
    let browser = Browser::open(&console.link).await;
    let upload = browser.request(Method::POST, "/console/import?name=many.txt");
    let upload = upload.header(ORIGIN, &browser.base_url).header("x-form-token", &browser.token);
    let keys: Vec<String> = (0..KEYS).map(|nth| format!("MANY-{nth}")).collect();
    let path = upload.body(keys.join("\n")).send().await.unwrap().text().await.unwrap();
    let settings = [("verb", "import"), ("product", "3"), ("status", "available")];
    assert_eq!(browser.send(&format!("{path}/run"), &settings).await.status(), StatusCode::OK);
    // The receipt grows once keys are stored.
    let id = path.rsplit_once('/').unwrap().1;
    let receipt = folder.path().join(".keypool/console/local/imports").join(id).join("receipt.jsonl");
    let lines = || std::fs::read_to_string(&receipt).unwrap_or_default().lines().count();
    while lines() < 100 {
        assert!(browser.page(&format!("{path}/progress")).await.contains("Importing"));
    }
    assert_eq!(console.stop().0, Some(0));
    let done = lines();
    assert!(done < KEYS, "the import ended before the console did");

    let console = Console::start(folder.path(), &["--no-open"], None);
    let browser = Browser::open(&console.link).await;
    assert!(browser.page("/console/import").await.contains("many.txt"));
    assert_eq!(browser.send(&format!("{path}/run"), &settings).await.status(), StatusCode::OK);
    let mut page = browser.page(&format!("{path}/progress")).await;
    while page.contains("Importing") {
        page = browser.page(&format!("{path}/progress")).await;
    }
    assert!(page.contains(&format!("{KEYS} lines: {KEYS} created, 0 duplicate, 0 refused.")), "{page}");
    let audit = ok(folder.path(), &["audit", "--action", "keys.import", "--json"]);
    let states = ["begun", "interrupted", "resumed", "complete"];
    assert!(states.into_iter().all(|state| audit.contains(state)), "{audit}");
}
