//! Checks docs/SECURITY.md itself: every test and resource that it names must exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use keypool_tests::template;

use super::file;

/// Returns the sources by file name. Several files may share a name.
fn sources() -> BTreeMap<String, Vec<String>> {
    let mut sources = BTreeMap::<String, Vec<String>>::new();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pending: Vec<PathBuf> =
        ["functions", "shared", "infra", "tests"].iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.entry(name).or_default().push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    sources
}

/// Returns the texts between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// True if the source has a test of this name: the function right below the attribute.
fn has_test(source: &str, name: &str) -> bool {
    let mut lines = source.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            let function = lines.next().unwrap_or_default().trim_start_matches("async ");
            if function
                .strip_prefix("fn ")
                .and_then(|rest| rest.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with('('))
            {
                return true;
            }
        }
    }
    false
}

/// True if the template has `NAME` among its resources or parameters, or has `NAME/PROPERTY`.
fn in_template(path: &str) -> bool {
    let template = template();
    let (name, property) = path.split_once('/').unwrap_or((path, ""));
    ["Resources", "Parameters"]
        .iter()
        .map(|kind| &template[kind][name])
        .any(|found| !found.is_null() && (property.is_empty() || !found["Properties"][property].is_null()))
}

#[test]
fn every_test_and_resource_on_the_page_exists() {
    let (page, sources) = (file("docs/SECURITY.md"), sources());
    let (mut tests, mut resources) = (BTreeSet::new(), BTreeSet::new());
    for name in quoted(&page) {
        if let Some((source, test)) = name.split_once(".rs::") {
            let found = sources.get(&format!("{source}.rs")).into_iter().flatten();
            assert!(found.into_iter().any(|source| has_test(source, test)), "there is no test {name}");
            tests.insert(name);
        } else if let Some(path) = name.strip_prefix("template.yaml#") {
            assert!(in_template(path), "there is no {name}");
            resources.insert(name);
        }
    }
    assert!(tests.len() > 40 && resources.len() > 5, "{} {}", tests.len(), resources.len());
    assert!(
        !has_test("#[test]\nfn here_too() {", "here") && !in_template("Table/Nothing"),
        "the checks can fail"
    );
}

#[test]
fn every_threat_names_a_test_or_a_resource() {
    let page = file("docs/SECURITY.md");
    let (_, threats) = page.split_once("\n## Threats\n").unwrap();
    let threats = threats.split("\n## ").next().unwrap();
    for threat in threats.split("\n### ").skip(1) {
        let title = threat.lines().next().unwrap();
        let named = |name: &str| name.contains(".rs::") || name.starts_with("template.yaml#");
        assert!(quoted(threat).any(named), "{title}: no test or resource is named");
    }
    assert!(threats.matches("\n### ").count() >= 15);
    // Every test of this folder belongs to the page.
    for module in ["keys", "limits", "probing", "responses", "surroundings"] {
        let source = file(&format!("tests/black_box/security/{module}.rs"));
        for line in source.lines().filter_map(|line| line.trim_start_matches("async ").strip_prefix("fn ")) {
            let name = line.split('(').next().unwrap();
            if has_test(&source, name) {
                assert!(page.contains(&format!("`{module}.rs::{name}`")), "the page does not name {name}");
            }
        }
    }
    assert!(file("README.md").contains("(docs/SECURITY.md)"));
}
