//! What is said of wrong arguments, and what `--help` teaches.

use crate::harness::{fails, keypool, ok, text};

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
