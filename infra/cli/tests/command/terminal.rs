//! Output at a terminal: colors, aligned tables, progress bars.

use std::io::Read as _;
use std::path::Path;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use crate::harness::{Local, ok};

/// The size of the terminal.
const SIZE: PtySize = PtySize { rows: 30, cols: 120, pixel_width: 0, pixel_height: 0 };

/// The output of a command at a terminal.
struct Seen {
    /// The screen after each write.
    screens: Vec<String>,
    /// All written bytes, with the control sequences.
    raw: String,
    code: u32,
}

impl Seen {
    /// The final screen.
    fn at_last(&self) -> &str {
        self.screens.last().unwrap()
    }

    fn ever(&self, is: impl Fn(&str) -> bool) -> bool {
        self.screens.iter().any(|screen| is(screen))
    }
}

/// Runs the command at a terminal until it ends. If `until` is given, presses Ctrl-C once the text has been
/// written that many times.
fn at_terminal(folder: &Path, arguments: &[&str], no_color: bool, until: Option<(&str, usize)>) -> Seen {
    let terminal = native_pty_system().openpty(SIZE).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_keypool"));
    command.cwd(folder);
    command.args(arguments);
    command.env("TERM", "xterm-256color");
    command.env_remove("NO_COLOR");
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let mut child = terminal.slave.spawn_command(command).unwrap();
    drop(terminal.slave);
    let mut reader = terminal.master.try_clone_reader().unwrap();
    let mut keyboard = terminal.master.take_writer().unwrap();
    let mut screen = vt100::Parser::new(SIZE.rows, SIZE.cols, 0);
    let (mut screens, mut raw, mut pressed) = (Vec::new(), Vec::new(), false);
    let mut bytes = [0; 4_096];
    // On Linux, reading fails at the end of a terminal.
    while let Ok(count @ 1..) = reader.read(&mut bytes) {
        raw.extend_from_slice(&bytes[..count]);
        screen.process(&bytes[..count]);
        screens.push(screen.screen().contents());
        let text = String::from_utf8_lossy(&raw);
        if !pressed && until.is_some_and(|(until, times)| text.matches(until).count() >= times) {
            std::io::Write::write_all(&mut keyboard, b"\x03").unwrap();
            pressed = true;
        }
    }
    let code = child.wait().unwrap().exit_code();
    Seen { screens, raw: String::from_utf8(raw).unwrap(), code }
}

async fn stock(local: &Local, count: usize) {
    let keys: Vec<String> = (0..count).map(|nth| format!("T-{nth}")).collect();
    let keys = serde_json::to_string(&keys).unwrap();
    let parameters = [
        ("license_keys", keys.as_str()),
        ("product_id", "1"),
        ("activation_limit", "0"),
        ("validity", "0"),
        ("status", "available"),
    ];
    assert_eq!(local.post("create-license-keys", &parameters).await["code"], 900);
}

#[tokio::test]
async fn the_stock_is_a_table_with_bars_and_colors() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    // So few keys that each draw sees them all; an estimate would differ from run to run.
    stock(&local, 20).await;
    let seen = at_terminal(folder.path(), &["stock"], false, None);
    assert_eq!(seen.code, 0);
    let lines: Vec<&str> = seen.at_last().lines().collect();
    assert!(lines[0].starts_with("PRODUCT  NAME"), "{}", seen.at_last());
    assert!(lines[1].contains("20         ████████████████████"), "{}", seen.at_last());
    let (bar, end) = (lines[0].find("ASSIGNED").unwrap(), lines[0].find("LASTS").unwrap());
    let column = |line: &str, at: usize| line.chars().nth(at);
    assert_eq!((column(lines[1], bar), column(lines[1], end)), (Some('0'), Some('-')), "{}", seen.at_last());
    assert!(seen.raw.contains("\x1b[32m20"), "green: {:?}", seen.raw);
    assert!(lines[2].ends_with("made when sold"), "{}", seen.at_last());

    let plain = at_terminal(folder.path(), &["stock"], true, None);
    assert!(!plain.raw.contains("\x1b[32m"), "NO_COLOR: {:?}", plain.raw);
    assert_eq!(plain.at_last(), seen.at_last());
    assert_eq!(
        ok(folder.path(), &["stock"]).trim_end(),
        plain.at_last().trim_end(),
        "a pipe gets the same, plain"
    );
    local.stop();
}

#[tokio::test]
async fn an_export_shows_its_progress_and_then_clears_it() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    stock(&local, 900).await;
    let seen = at_terminal(folder.path(), &["keys", "export", "-o", "keys.csv"], false, None);
    let is_bar =
        |screen: &str| screen.contains("reading") && screen.contains(" of 913") && screen.contains("left");
    assert!(seen.ever(is_bar), "{:?}", seen.screens);
    assert_eq!(seen.at_last().trim_end(), "900 license keys written to keys.csv");
    local.stop();
}

#[tokio::test]
async fn an_import_shows_its_progress() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    let keys: Vec<_> = (0..5_000).map(|nth| format!("I-{nth}")).collect();
    std::fs::write(folder.path().join("keys.txt"), keys.join("\n")).unwrap();
    let arguments = ["keys", "import", "keys.txt", "--product", "1"];
    let seen = at_terminal(folder.path(), &arguments, false, None);
    assert_eq!(seen.code, 0, "{}", seen.at_last());
    assert!(seen.ever(|screen| screen.contains('█') && screen.contains("left")), "{:?}", seen.screens);
    assert!(seen.at_last().contains("5,000") || seen.at_last().contains("5000"), "{}", seen.at_last());
    local.stop();
}

#[tokio::test]
async fn watching_redraws_one_screen_until_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::start(folder.path(), &["--port", "0"]);
    stock(&local, 3).await;
    let arguments = ["stock", "--watch", "--every", "1"];
    let seen = at_terminal(folder.path(), &arguments, false, Some(("LASTS", 2)));
    assert_eq!(seen.code, 0, "{:?}", seen.raw);
    assert_eq!(seen.at_last().matches("LASTS").count(), 1, "{}", seen.at_last());
    local.stop();
}

#[tokio::test]
async fn an_error_is_red_and_suggests_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let seen = at_terminal(folder.path(), &["product", "list"], false, None);
    assert_eq!(seen.code, 1);
    assert!(seen.raw.contains("\x1b[1m\x1b[31merror:\x1b[0m no stack runs"), "{:?}", seen.raw);
    assert!(seen.at_last().contains("start one with `keypool local`"), "{}", seen.at_last());
}
