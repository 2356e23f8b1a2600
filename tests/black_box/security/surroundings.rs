//! Checks the dependencies, the deployment and the local stack.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;

use keypool_local::Services;
use keypool_tests::{API_KEY, Privileges, Shop, template};

use super::file;

/// Returns the manifests of the crates in a folder, and the folder's own manifest if it is a crate.
fn manifests(folder: &str) -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let within = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let crates =
        within.chain([folder.clone()]).map(|path| path.join("Cargo.toml")).filter(|path| path.exists());
    crates.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_crate_is_pinned_by_its_checksum() {
    let lock = file("Cargo.lock");
    let value = |package: &str, name: &str| {
        let prefix = format!("{name} = ");
        let text = package.lines().find_map(|line| line.strip_prefix(&prefix));
        text.map(|text| text.trim_matches('"').to_owned())
    };
    let mut own = Vec::new();
    for package in lock.split("[[package]]").skip(1) {
        match value(package, "source") {
            // Dependencies come from a registry, never from a branch of a repository.
            Some(source) => {
                assert!(source.starts_with("registry+"), "{package}");
                assert_eq!(value(package, "checksum").map(|sum| sum.len()), Some(64), "{package}");
            }
            None => own.extend(value(package, "name")),
        }
    }
    let members: Vec<String> =
        ["functions", "shared", "infra", "tests"].into_iter().flat_map(manifests).collect();
    for name in own {
        let name = format!("\nname = \"{name}\"\n");
        assert!(members.iter().any(|manifest| manifest.contains(&name)), "the workspace has no crate{name}");
    }
    let ci = file(".ci/run");
    for step in ["cargo deny check licenses bans sources", "--all-targets --locked"] {
        assert!(ci.contains(step), "{step}");
    }
}

/// X-Ray gets only Lambda's own data: the time and the duration of each run.
#[test]
fn no_crate_writes_traces() {
    let lock = file("Cargo.lock");
    for writer in ["xray", "opentelemetry", "tracing-appender"] {
        assert!(!lock.contains(writer), "{writer}");
    }
    assert_eq!(template()["Parameters"]["Tracing"]["Default"], "Disabled");
}

/// The demo API key is public.
#[test]
fn deployed_code_does_not_contain_the_demo() {
    for manifest in ["functions", "shared"].into_iter().flat_map(manifests) {
        let linked = manifest.split("[dev-dependencies]").next().unwrap();
        assert!(!linked.contains("keypool-local") && !linked.contains("keypool-tests"), "{manifest}");
    }
    assert!(!file("infra/template.yaml").contains(API_KEY));
}

#[test]
fn table_is_encrypted_api_is_throttled_and_the_only_entry() {
    let template = template();
    // By default, DynamoDB encrypts with its own key. A key in KMS would cost calls.
    assert_eq!(template["Resources"]["Table"]["Properties"]["SSESpecification"], serde_json::Value::Null);
    let settings = &template["Resources"]["Api"]["Properties"]["DefaultRouteSettings"];
    for limit in ["ThrottlingRateLimit", "ThrottlingBurstLimit"] {
        assert_eq!(settings[limit]["Ref"], limit);
        assert!(template["Parameters"][limit]["Default"].is_u64());
    }
    assert_eq!(template["Globals"]["Function"]["Timeout"], 10);
    for other_way in ["FunctionUrlConfig", "AWS::Lambda::Url", "AWS::Lambda::Permission", "CorsConfiguration"]
    {
        assert!(!template.to_string().contains(other_way), "{other_way}");
    }
}

#[test]
fn no_role_may_scan_the_table_or_administer_it() {
    let known = [
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "dynamodb:Query",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:ConditionCheckItem",
        "dynamodb:PartiQLInsert",
        "kms:Sign",
        "sqs:SendMessage",
        "sqs:ChangeMessageVisibility",
    ];
    for privilege in Privileges::granted().all() {
        assert!(known.contains(&privilege.action.as_str()), "{privilege:?}");
    }
}

/// A hijacked function must not make API keys, change products or rewrite the audit trail.
#[test]
fn no_role_may_write_an_operators_records() {
    let reads = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"];
    let written = [
        "KEY#*",
        "COUNTER#license-key",
        "IDEMPOTENCY#*",
        "REQUESTS",
        "ORDER#*",
        "ORDERS",
        "QUEUE",
        "WAITING#*",
        "LIMIT#*",
        "DELIVERED#*",
        "AUDIT#*",
    ];
    let read = ["APIKEY#*", "PRODUCT#*", "GENERATOR#*", "REFERENCE#*"];
    for privilege in Privileges::granted().all() {
        let records = privilege.records.as_str();
        let on_table = privilege.action.starts_with("dynamodb:");
        let may_write = on_table && !reads.contains(&privilege.action.as_str());
        assert!(!may_write || written.contains(&records), "{privilege:?}");
        assert!(!on_table || written.contains(&records) || read.contains(&records), "{privilege:?}");
    }
}

/// A server on 0.0.0.0 would also respond at 127.0.0.2.
#[tokio::test(flavor = "multi_thread")]
async fn the_local_stack_listens_on_loopback_only() {
    let shop = Shop::open().await;
    let services = Services::start(None).await.unwrap();
    for url in [shop.base_url.clone(), services.dynamodb_url(), services.kms_url()] {
        let port = url.strip_prefix("http://127.0.0.1:").and_then(|port| port.parse::<u16>().ok());
        let port = port.unwrap_or_else(|| panic!("{url}"));
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok(), "{url}");
        assert!(TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).is_err(), "{url}");
    }
    services.stop().await;
}
