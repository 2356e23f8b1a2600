//! Signing keys of a stack on AWS, whose functions may use only keys with its tag.

use crate::aws::{Account, OPERATOR};
use crate::harness::{Local, json, ok, run, text};

#[tokio::test]
async fn an_untagged_signing_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let account = Account::of(&local, path);
    let on_stack = |arguments: &[&str]| {
        account.keypool(path).args(["--stack", "shop"]).args(arguments).output().unwrap()
    };
    let made = on_stack(&["signing-key", "create", "--product", "1", "--wait", "1s", "--json"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let note = text(&made.stderr);
    assert!(note.contains("It signs in 1 seconds, when the functions can use it"), "{note}");
    let key = json(&text(&made.stdout))["signing_key"].as_str().unwrap().to_owned();
    let rotated = on_stack(&["signing-key", "rotate", "--product", "1", "--wait", "0"]);
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    // The former key still has the tag.
    let back = on_stack(&["signing-key", "use", &key, "--product", "1"]);
    assert!(back.status.success(), "{}", text(&back.stderr));

    let untagged = text(&run(path, &["signing-key", "create"]).stdout).trim().to_owned();
    for arguments in [
        &["signing-key", "use", &untagged, "--product", "1"][..],
        &["product", "update", "1", "--signing-key", &untagged],
        &["product", "create", "--name", "x", "--signing-key", &untagged],
    ] {
        let refused = on_stack(arguments);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("lacks the tag that lets the stack's functions use it"), "{said}");
        assert!(said.contains(&format!("key/{untagged} --tags TagKey=keypool,TagValue=shop")), "{said}");
    }

    let trail = ok(path, &["audit", "--action", "signing-key", "--json"]);
    let who: Vec<_> =
        trail.lines().map(|line| json(line)["principal"].as_str().unwrap().to_owned()).collect();
    assert_eq!(who.len(), 4, "{trail}");
    assert!(who[0].starts_with("local:") && who[1..].iter().all(|who| who == OPERATOR), "{trail}");
    let shown = on_stack(&["audit", "--action", "rotate"]);
    assert!(
        text(&shown.stdout).contains("  operator  signing-key.rotate  product 1"),
        "{}",
        text(&shown.stdout)
    );
    local.stop();
}
