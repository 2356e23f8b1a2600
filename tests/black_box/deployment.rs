//! The deployment template, held together with what the functions are and do.

use std::collections::BTreeSet;

use keypool_domain::Endpoint;
use keypool_http::measure::{COUNTERS, DISTRIBUTIONS};
use keypool_tests::{Fault, Privilege, Privileges, Shop, function_resource, template};
use serde_json::{Value, json};

#[test]
fn there_is_one_function_and_one_route_for_each_endpoint() {
    let template = template();
    let resources = template["Resources"].as_object().unwrap();
    let is_function = |resource: &Value| resource["Type"] == "AWS::Serverless::Function";
    let functions =
        resources.iter().filter(|(_, resource)| is_function(resource)).map(|(name, _)| name.as_str());
    let expected = Endpoint::ALL.map(function_resource);
    assert_eq!(functions.collect::<BTreeSet<_>>(), expected.iter().map(String::as_str).collect());

    for endpoint in Endpoint::ALL {
        let function = &resources[&function_resource(endpoint)];
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda");
        let properties = &function["Properties"];
        let crate_folder = format!("functions/{}", endpoint.name());
        assert_eq!(properties["CodeUri"], format!("../{crate_folder}"));
        let file = |name: &str| {
            let path = format!("{}/../{crate_folder}/{name}", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        assert!(file("Cargo.toml").contains(&format!("name = \"{}\"", endpoint.name())));
        // Every function crate has the same files; its binary is tested with its own sample.
        assert!(file("src/main.rs").contains("keypool_http::run"));
        for name in ["src/lib.rs", "tests/lambda.rs"] {
            assert!(file(name).contains(&format!("Endpoint::{endpoint:?}")), "{crate_folder}/{name}");
        }
        let events = properties["Events"].as_object().unwrap();
        assert_eq!(events.len(), 1);
        let event = &events["Post"];
        assert_eq!(event["Type"], "HttpApi");
        assert_eq!(event["Properties"]["Method"], "POST");
        assert_eq!(event["Properties"]["Path"], endpoint.path());
        assert_eq!(event["Properties"]["PayloadFormatVersion"], "2.0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_the_one_that_the_functions_are_tested_with() {
    let shop = Shop::open().await;
    let table = template()["Resources"]["Table"]["Properties"].clone();
    let described =
        shop.dynamodb_call("DescribeTable", &json!({"TableName": "keypool"})).await["Table"].clone();
    assert_eq!(described["KeySchema"], table["KeySchema"]);
    let sorted = |attributes: &Value| {
        let mut names: Vec<String> = attributes.as_array().unwrap().iter().map(ToString::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(sorted(&described["AttributeDefinitions"]), sorted(&table["AttributeDefinitions"]));
    let (theirs, ours) = (&described["GlobalSecondaryIndexes"], &table["GlobalSecondaryIndexes"]);
    assert_eq!((theirs.as_array().unwrap().len(), ours.as_array().unwrap().len()), (1, 1));
    for member in ["IndexName", "KeySchema", "Projection"] {
        assert_eq!(theirs[0][member], ours[0][member]);
    }
    let time_to_live = shop.dynamodb_call("DescribeTimeToLive", &json!({"TableName": "keypool"})).await;
    let attribute = &time_to_live["TimeToLiveDescription"]["AttributeName"];
    assert_eq!(*attribute, table["TimeToLiveSpecification"]["AttributeName"]);
}

#[test]
fn what_must_not_be_lost_outlives_the_stack() {
    let resources = template()["Resources"].clone();
    for name in ["Table", "SigningKey"] {
        assert_eq!(resources[name]["DeletionPolicy"], "RetainExceptOnCreate");
        assert_eq!(resources[name]["UpdateReplacePolicy"], "Retain");
    }
    let table = &resources["Table"]["Properties"];
    assert_eq!(table["DeletionProtectionEnabled"], true);
    assert_eq!(table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true);
    let key = &resources["SigningKey"]["Properties"];
    assert_eq!((&key["KeySpec"], &key["KeyUsage"]), (&json!("RSA_2048"), &json!("SIGN_VERIFY")));
}

#[test]
fn access_logs_hold_no_secret() {
    let format = template()["Resources"]["Api"]["Properties"]["AccessLogSettings"]["Format"].clone();
    let format = format.as_str().unwrap();
    let record: Value = serde_json::from_str(format).unwrap();
    // $context has neither headers, query string nor body; $context.path would hold none either, but the route will do.
    assert!(
        record.as_object().unwrap().values().all(|value| value.as_str().unwrap().starts_with("$context."))
    );
    for secret in ["authorizer", "requestBody", "querystring", "header"] {
        assert!(!format.contains(secret), "{format}");
    }
}

/// Every shop checks, when it closes, that nothing was called without a grant. This shows that no grant is idle: it goes
/// each way through each function.
#[tokio::test(flavor = "multi_thread")]
async fn no_grant_is_unused() {
    let shop = Shop::open().await;
    shop.stock(1, 10).await;
    let keys = shop.post("generate", &[("generator_id", "1"), ("quantity", "2")]).await.license_keys();
    assert_eq!(shop.post("assign-license-key", &[("license_key", &keys[0])]).await.code(), 800);
    for (quantity, generate) in [("1", "0"), ("2", "0"), ("1", "1"), ("99", "1")] {
        let order = [("product_id", "1"), ("quantity", quantity), ("generate", generate)];
        assert_eq!(shop.post("random-assign-license-keys", &order).await.code(), 803);
    }
    // Finding out what became of a write needs a privilege of its own.
    shop.dynamodb.disturb("TransactWriteItems", vec![Fault::LoseResponse; 5]);
    let order = [("product_id", "1"), ("quantity", "99"), ("generate", "1")];
    assert_eq!(shop.post("random-assign-license-keys", &order).await.code(), 803);

    let used = [shop.dynamodb.privileges_used(), shop.kms.privileges_used()].concat();
    let used: BTreeSet<Privilege> = used.into_iter().collect();
    let unused: Vec<_> = Privileges::granted().all().difference(&used).collect();
    assert!(unused.is_empty(), "the template grants what nobody uses: {unused:?}");
}

/// An alarm on a metric that nobody writes never rings.
#[test]
fn alarms_and_dashboard_look_at_metrics_that_there_are() {
    let ours: BTreeSet<&str> =
        COUNTERS.into_iter().chain(DISTRIBUTIONS.into_iter().map(|(name, _)| name)).collect();
    let resources = template()["Resources"].clone();
    let mut alarms = 0;
    for resource in resources.as_object().unwrap().values() {
        let properties = &resource["Properties"];
        if resource["Type"] != "AWS::CloudWatch::Alarm" {
            continue;
        }
        alarms += 1;
        assert_eq!(properties["AlarmActions"], json!([{"Ref": "AlarmTopic"}]));
        if properties["Namespace"]["Ref"] == "AWS::StackName" {
            assert!(ours.contains(properties["MetricName"].as_str().unwrap()), "{properties}");
        }
    }
    assert_eq!(alarms, 7);
    let query = resources["StockLowAlarm"]["Properties"]["Metrics"][0]["Expression"]["Fn::Sub"].clone();
    assert_eq!(query, r#"SELECT MIN(StockRemaining) FROM SCHEMA("${AWS::StackName}", Product)"#);
    let namespace =
        &template()["Globals"]["Function"]["Environment"]["Variables"]["KEYPOOL_METRICS_NAMESPACE"];
    assert_eq!(namespace["Ref"], "AWS::StackName");

    let dashboard =
        resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"].as_str().unwrap().to_owned();
    let parsed: Value = serde_json::from_str(&dashboard).unwrap();
    assert_eq!(parsed["widgets"].as_array().unwrap().len(), 6);
    for name in &ours {
        assert!(dashboard.contains(name), "the dashboard does not show {name}");
    }
}
