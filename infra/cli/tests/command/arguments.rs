//! Wrong arguments, `--help` and completions.

use std::path::Path;

use crate::harness::{fails, keypool, ok, text};

#[test]
fn wrong_arguments_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["local", "--port", "65536"][..], "65536 is not in 0..=65535"),
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
        (&["api-key", "create", "--name", "x", "--expires", "2020-01-01"], "must not be in the past"),
        (&["keys", "assign", "A"], "--owner-name"),
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

/// Keys that people choose can be guessed: see docs/SECURITY.md.
#[test]
fn an_api_key_cannot_be_chosen() {
    let folder = tempfile::tempdir().unwrap();
    for chosen in [&["my-own-key"][..], &["--key", "my-own-key"], &["--api-key", "my-own-key"]] {
        let arguments = [&["api-key", "create", "--name", "x"], chosen].concat();
        let said = fails(folder.path(), &arguments, 2);
        assert!(said.contains("unexpected argument"), "{said}");
    }
}

/// All subcommands without subcommands of their own, as `--help` lists them.
fn subcommands(folder: &Path, above: &[String]) -> Vec<Vec<String>> {
    let arguments: Vec<&str> = above.iter().map(String::as_str).chain(["--help"]).collect();
    let help = ok(folder, &arguments);
    let (_, listed) = help.split_once("\nCommands:\n").unwrap_or_default();
    let names = listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    if names.is_empty() {
        return vec![above.to_vec()];
    }
    let below = names.into_iter().filter(|name| *name != "help");
    below.flat_map(|name| subcommands(folder, &[above, &[name.to_owned()]].concat())).collect()
}

#[test]
fn the_help_of_every_subcommand_has_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let all = subcommands(folder.path(), &[]);
    assert!(all.len() >= 12, "{all:?}");
    for expected in [&["verify"][..], &["call"], &["doctor"], &["target"], &["local"], &["product", "list"]] {
        assert!(all.iter().any(|found| found == expected), "{expected:?} in {all:?}");
    }
    for subcommand in &all {
        let arguments: Vec<&str> = subcommand.iter().map(String::as_str).chain(["--help"]).collect();
        let help = ok(folder.path(), &arguments);
        let (_, examples) = help.split_once("\nExample").unwrap_or_else(|| panic!("{subcommand:?}: {help}"));
        let command = format!("keypool {}", subcommand.join(" "));
        let of_target = ["--stack shop ", "--table shop "]
            .map(|target| format!("keypool {target}{}", subcommand.join(" ")));
        assert!(
            examples.contains(&command) || of_target.iter().any(|command| examples.contains(command)),
            "{command}: {examples}"
        );
    }
}

#[test]
fn each_shell_has_completions() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = ok(folder.path(), &["completions", shell]);
        for expected in ["keypool", "doctor", "verify", "idempotency-key"] {
            assert!(script.contains(expected), "{shell}: {expected}");
        }
    }
    let said = fails(folder.path(), &["completions", "cmd"], 2);
    assert!(said.contains("possible values: bash, elvish, fish, powershell, zsh"), "{said}");
    // The script for bash is valid bash.
    let script = ok(folder.path(), &["completions", "bash"]);
    std::fs::write(folder.path().join("completion"), script).unwrap();
    let read = std::process::Command::new("bash").arg("-n").arg(folder.path().join("completion")).status();
    assert!(read.unwrap().success());
}
