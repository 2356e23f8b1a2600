//! Compares the deployment template with the functions.

use std::collections::BTreeSet;

use keypool_domain::{
    Activity, ApiKey, ApiKeyRecord, ApiKeySettings, ChunkSystem, Endpoint, Generator, Method,
};
use keypool_function::measure::{COUNTERS, distributions};
use keypool_tests::{
    Fault, PROCESS_ORDERS, Privilege, Privileges, Receiver, SWEEP_ORDERS, Shop, function_resource, functions,
    template,
};
use serde_json::{Value, json};

#[test]
fn endpoints_queue_and_schedule_each_have_a_function() {
    let template = template();
    let resources = template["Resources"].as_object().unwrap();
    let is_function = |resource: &Value| resource["Type"] == "AWS::Serverless::Function";
    let there =
        resources.iter().filter(|(_, resource)| is_function(resource)).map(|(name, _)| name.to_owned());
    assert_eq!(there.collect::<BTreeSet<_>>(), functions().map(function_resource).collect());

    let file = |function: &str, name: &str| {
        let path = format!("{}/../functions/{function}/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    for name in functions() {
        let function = &resources[&function_resource(name)];
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda");
        assert_eq!(function["Properties"]["CodeUri"], format!("../functions/{name}"));
        // Every function crate has the same files.
        assert!(file(name, "Cargo.toml").contains(&format!("name = \"{name}\"")));
        assert!(file(name, "src/main.rs").contains("keypool_function::run"));
        let entry =
            if name == PROCESS_ORDERS { "pub async fn process_batch(" } else { "pub async fn handle(" };
        assert!(file(name, "src/lib.rs").contains(entry), "{name}");
        assert!(file(name, "tests/lambda.rs").contains("CARGO_BIN_EXE_"));
    }

    for endpoint in Endpoint::ALL {
        let properties = &resources[&function_resource(endpoint.name())]["Properties"];
        // Each binary is tested with the sample of its endpoint.
        for name in ["src/lib.rs", "tests/lambda.rs"] {
            assert!(file(endpoint.name(), name).contains(&format!("Endpoint::{endpoint:?}")), "{endpoint}");
        }
        let events = properties["Events"].as_object().unwrap();
        let mut routes: Vec<String> = Vec::new();
        for event in events.values() {
            assert_eq!(
                (&event["Type"], &event["Properties"]["PayloadFormatVersion"]),
                (&json!("HttpApi"), &json!("2.0"))
            );
            let text = |name: &str| event["Properties"][name].as_str().unwrap();
            routes.push(format!("{} {}", text("Method"), text("Path")));
        }
        let paths = [endpoint.path(), endpoint.short_path()];
        let methods = endpoint.methods().split(", ");
        let mut expected: Vec<String> =
            methods.flat_map(|method| paths.each_ref().map(|path| format!("{method} {path}"))).collect();
        routes.sort();
        expected.sort();
        assert_eq!(routes, expected, "{endpoint}");
    }
    let source = &resources[&function_resource(PROCESS_ORDERS)]["Properties"]["Events"]["Orders"];
    assert_eq!(source["Type"], "SQS");
    assert_eq!(source["Properties"]["Queue"], json!({"Fn::GetAtt": ["OrdersQueue", "Arn"]}));
    assert_eq!(source["Properties"]["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
    let schedule = &resources[&function_resource(SWEEP_ORDERS)]["Properties"]["Events"]["EveryMinute"];
    assert_eq!(schedule["Type"], "ScheduleV2");
    assert_eq!(schedule["Properties"]["ScheduleExpression"], "rate(1 minute)");
}

#[test]
fn table_and_signing_key_outlive_the_stack() {
    let resources = template()["Resources"].clone();
    for name in ["Table", "SigningKey"] {
        assert_eq!(resources[name]["DeletionPolicy"], "Retain");
        assert_eq!(resources[name]["UpdateReplacePolicy"], "Retain");
    }
    let table = &resources["Table"]["Properties"];
    assert_eq!(table["DeletionProtectionEnabled"], true);
    assert_eq!(table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true);
    // A restore to any second of the last 35 days needs the log of later sales.
    assert!(template()["Parameters"]["LogRetentionDays"]["Default"].as_u64() >= Some(36));
    let key = &resources["SigningKey"]["Properties"];
    assert_eq!(key["MultiRegion"], true);
    assert_eq!((&key["KeySpec"], &key["KeyUsage"]), (&json!("RSA_2048"), &json!("SIGN_VERIFY")));
}

#[test]
fn an_existing_table_replaces_the_stacks_own_everywhere() {
    let template = template();
    let table = json!({"Fn::If": ["MakesTable", {"Ref": "Table"}, {"Ref": "ExistingTable"}]});
    assert_eq!(template["Parameters"]["ExistingTable"]["Default"], "");
    assert_eq!(template["Conditions"]["MakesTable"], json!({"Fn::Equals": [{"Ref": "ExistingTable"}, ""]}));
    assert_eq!(template["Resources"]["Table"]["Condition"], "MakesTable");
    assert_eq!(template["Globals"]["Function"]["Environment"]["Variables"]["KEYPOOL_TABLE"], table);
    assert_eq!(template["Outputs"]["TableName"]["Value"], table);
    // Only the roles name the table elsewhere. Other tests read them with the same condition.
    let text = template.to_string();
    assert_eq!(text.matches(r#"{"Ref":"Table"}"#).count(), text.matches(&table.to_string()).count());
    assert!(!text.contains(r#""Fn::GetAtt":["Table""#) && !text.contains("${Table."));
}

/// The `cpu` benchmark shows that 1,000 keys arrive in time with this memory.
#[test]
fn functions_have_enough_memory_and_log_little() {
    let template = template();
    let parameters = &template["Parameters"];
    assert_eq!(
        (&parameters["MemorySize"]["Default"], &parameters["MemorySize"]["MinValue"]),
        (&json!(512), &json!(256))
    );
    // Log lines must outlive the 35 days to which a table can be restored.
    assert!(parameters["LogRetentionDays"]["Default"].as_u64().unwrap() > 35);
    assert_eq!(parameters["SystemLogLevel"]["Default"], "WARN");
    let logging = &template["Globals"]["Function"]["LoggingConfig"];
    assert_eq!((&logging["LogFormat"], &logging["ApplicationLogLevel"]), (&json!("JSON"), &json!("TRACE")));
    // A p99 needs more samples than three slow answers of a quiet night.
    let latency = &template["Resources"]["LatencyAlarm"]["Properties"];
    assert_eq!(latency["EvaluateLowSampleCountPercentile"], "ignore");
}

#[test]
fn access_logs_hold_no_secret() {
    let format = template()["Resources"]["Api"]["Properties"]["AccessLogSettings"]["Format"].clone();
    let format = format.as_str().unwrap();
    let record: Value = serde_json::from_str(format).unwrap();
    // `$context` holds no headers, query string or body. `$context.path` would be safe too, but the route is
    // enough.
    assert!(
        record.as_object().unwrap().values().all(|value| value.as_str().unwrap().starts_with("$context."))
    );
    for secret in ["authorizer", "requestBody", "querystring", "header"] {
        assert!(!format.contains(secret), "{format}");
    }
}

/// Every shop checks on close that each call had a grant. This test checks the reverse: it takes every path
/// through every function, and uses every grant.
#[tokio::test(flavor = "multi_thread")]
async fn no_grant_is_unused() {
    let shop = Shop::open().await;
    shop.warm_up().await;
    shop.stock(1, 10).await;
    let keys = shop.post("generate", &[("generator_id", "1"), ("quantity", "2")]).await.license_keys();
    assert_eq!(shop.post("assign-license-key", &[("license_key", &keys[0])]).await.code(), 800);
    for (quantity, generate) in [("1", "0"), ("2", "0"), ("1", "1"), ("99", "1")] {
        let order = [("product_id", "1"), ("quantity", quantity), ("generate", generate)];
        assert_eq!(shop.post("random-assign-license-keys", &order).await.code(), 803);
    }
    let by_name = shop.stock(3, 1).await.remove(0);
    let changes = Endpoint::ALL.into_iter().filter(|endpoint| !endpoint.only_reads());
    for endpoint in changes {
        // A refusal leaves no record.
        let unknown =
            [("product_id", "9"), ("generator_id", "9"), ("license_key", "none"), ("quantity", "1")];
        let keys = [("license_keys", r#"["a"]"#), ("activation_limit", "0"), ("validity", "0")];
        let webhook = ("webhook_url", "https://shop.example/?keevault-webhook=a-key");
        let parameters =
            [&unknown[..], &keys, &[webhook, ("status", "available"), ("reason", "a test")]].concat();
        let refused = shop.post_once(endpoint.name(), "key", &parameters).await;
        assert!(matches!(refused.code(), 801 | 805 | 806 | 862 | 952), "{}", refused.text);
        if let Endpoint::UpdateLicenseKey | Endpoint::ReplaceLicenseKey = endpoint {
            continue;
        }
        // These requests leave records with a response.
        let known = [("product_id", "1"), ("generator_id", "1"), ("license_key", &by_name)];
        let keys = [("license_keys", r#"["b"]"#), ("quantity", "1")];
        let parameters = [&known[..], &keys, &parameters[4..]].concat();
        let done = shop.post_once(endpoint.name(), "other", &parameters).await;
        assert!(matches!(done.code(), 800 | 803 | 807 | 815 | 900), "{}", done.text);
    }
    shop.stock(2, 250).await;
    let order = [("product_id", "2"), ("quantity", "200")];
    // The order takes some keys, fails to sign, and undoes that.
    let large = [("product_id", "2"), ("quantity", "140")];
    shop.kms.disturb("Sign", vec![Fault::error("KMSInternalException"); 100]);
    assert_eq!(shop.post("random-assign-license-keys", &large).await.status, 503);
    shop.kms.calm();
    let sold = shop.post_once("random-assign-license-keys", "large", &order).await;
    assert_eq!(sold.code(), 803, "{}", sold.text);
    // The failed order deletes the fresh keys it made.
    let order = [("product_id", "1"), ("quantity", "120"), ("generate", "1")];
    shop.kms.disturb("Sign", vec![Fault::error("KMSInternalException"); 100]);
    assert_eq!(shop.post("random-assign-license-keys", &order).await.status, 503);
    shop.kms.calm();
    // A dead order holds keys that a buyer needs.
    let given_up = shop.dead_order(2, 3).await;
    let order = [("product_id", "2"), ("quantity", "1000")];
    assert_eq!(shop.post("random-assign-license-keys", &order).await.code(), 802);
    for key in given_up {
        assert_eq!(shop.status(&key).await, keypool_domain::Status::Available);
    }
    // Only the sweep settles an order of the first version.
    shop.stock_named(1, "FORMER-", 10).await;
    let keys = shop.draw(3).await.candidates;
    shop.former_order(&keys[..3], keypool_tests::FormerState::Reserving).await;
    // These dead orders are for the sweep.
    let given_up = shop.dead_order(2, 3).await;
    let made = shop.dead_order_of_a_fresh_key(2).await;
    shop.clock.advance_seconds(600);
    shop.sweep_orders().await;
    for key in given_up {
        assert_eq!(shop.status(&key).await, keypool_domain::Status::Available);
    }
    let made = shop.store.license_key(&made.parse().unwrap()).await.unwrap();
    assert!(made.is_none(), "{made:?}");
    // Requests count towards the limit of an API key. A refusal that reveals the stock reads the count first.
    requests_within_a_limit(&shop).await;
    // These responses fill several items. They are stored and read back.
    shop.add_generator(generator_of_keys_that_do_not_compress()).await;
    for (endpoint, of) in
        [("generate", ("generator_id", "3")), ("random-assign-license-keys", ("product_id", "3"))]
    {
        let request = [of, ("quantity", "1000")];
        let first = shop.post_once(endpoint, "long", &request).await;
        assert_eq!(first.license_keys().len(), 1_000, "{:.300}", first.text);
        assert_eq!(shop.post_once(endpoint, "long", &request).await.text, first.text);
    }
    // A repeated call finds its own keys and reads them to check who owns them.
    shop.dynamodb.disturb("BatchExecuteStatement", [Fault::LoseResponse]);
    shop.stock_named(1, "AGAIN-", 1).await;
    shop.dynamodb.disturb("BatchExecuteStatement", [Fault::LoseResponse]);
    assert_eq!(
        shop.post("generate", &[("generator_id", "1"), ("quantity", "1")]).await.license_keys().len(),
        1
    );
    // Resolving an unknown outcome needs a privilege of its own.
    shop.dynamodb.disturb("TransactWriteItems", vec![Fault::LoseResponse; 5]);
    let order = [("product_id", "1"), ("quantity", "90"), ("generate", "1")];
    assert_eq!(shop.post("random-assign-license-keys", &order).await.code(), 803);
    let lost = [vec![Fault::LoseResponse; 5], vec![Fault::error("TransactionConflictException")]].concat();
    shop.dynamodb.disturb("UpdateItem", lost);
    let order = [("product_id", "1"), ("quantity", "1")];
    assert_eq!(shop.post("random-assign-license-keys", &order).await.code(), 803);

    after_the_sale(&shop).await;
    orders_of_every_kind(&shop).await;
    let used =
        [shop.dynamodb.privileges_used(), shop.kms.privileges_used(), shop.sqs.privileges_used()].concat();
    let used: BTreeSet<Privilege> = used.into_iter().collect();
    let unused: Vec<_> = Privileges::granted().all().difference(&used).collect();
    assert!(unused.is_empty(), "the template has unused grants: {unused:?}");
}

/// Sells a key, then finds, changes, counts and replaces it.
async fn after_the_sale(shop: &Shop) {
    shop.stock_named(3, "AFTER-", 2).await;
    let order = [("product_id", "3"), ("quantity", "1"), ("identifier", "31")];
    let sold = shop.post("random-assign-license-keys", &order).await.license_keys().remove(0);
    let found = shop.post("get-license-keys", &[("identifier", "31")]).await;
    assert_eq!(found.license_keys(), [sold.as_str()]);
    let change = [("license_key", sold.as_str()), ("owner_name", "Ada"), ("status", "assigned")];
    assert_eq!(shop.post_once("update-license-key", "update", &change).await.code(), 950);
    assert_eq!(shop.post("get-available-license-keys-count", &[("product_id", "3")]).await.code(), 741);
    let replaced =
        shop.post_once("replace-license-key", "r", &[("license_key", &sold), ("reason", "r")]).await;
    assert_eq!(replaced.code(), 860, "{}", replaced.text);
    // The stock is short, so keys of dead orders come back.
    let replace = async |key: &str, generate: &str| {
        let request = [("license_key", key), ("reason", "r"), ("generate", generate)];
        let replaced = shop.post("replace-license-key", &request).await;
        assert_eq!(replaced.code(), 860, "{}", replaced.text);
        replaced.license_keys().remove(0)
    };
    let drain = async || {
        let rest = shop.in_stock(3).await.to_string();
        let order = [("product_id", "3"), ("quantity", rest.as_str())];
        assert!([803, 804].contains(&shop.post("random-assign-license-keys", &order).await.code()));
    };
    drain().await;
    shop.stock_named(3, "HELD-", 3).await;
    shop.dead_order(3, 3).await;
    shop.dead_order_of_a_fresh_key(3).await;
    let successor = replace(&replaced.license_keys()[0], "0").await;
    // The stock is empty, so the successor is generated.
    drain().await;
    replace(&successor, "1").await;
}

/// Sends requests to each endpoint with the API key that has a limit.
async fn requests_within_a_limit(shop: &Shop) {
    let settings = ApiKeySettings { keys_per_hour: "1000".parse().ok(), ..ApiKeySettings::default() };
    let record = ApiKeyRecord {
        hash: "limited-key".parse::<ApiKey>().unwrap().hash(),
        name: "a test's".parse().unwrap(),
        activity: Activity::Active,
        capabilities: Endpoint::ALL.into(),
        networks: vec![],
        valid_until: None,
        settings,
    };
    shop.add_api_key(record).await;
    let webhook = ("webhook_url", "https://shop.example/?keevault-webhook=a-key");
    for (endpoint, form, code) in [
        ("generate", vec![("generator_id", "1"), ("quantity", "1")], 815),
        ("random-assign-license-keys", vec![("product_id", "1"), ("quantity", "1"), ("generate", "1")], 803),
        ("random-assign-license-keys", vec![("product_id", "3"), ("quantity", "100")], 802),
        ("random-assign-license-keys-queued", vec![("product_id", "1"), ("quantity", "1"), webhook], 807),
        ("assign-license-key", vec![("license_key", "NO-SUCH-KEY")], 801),
        ("replace-license-key", vec![("license_key", "NO-SUCH-KEY"), ("reason", "r")], 862),
    ] {
        let form = [&[("api_key", "limited-key")], &form[..]].concat();
        let response = shop.post_form(endpoint, &form).await;
        assert_eq!(response.code(), code, "{endpoint}: {}", response.text);
    }
    let named = shop.stock_named(1, "LIMITED-", 1).await;
    let form = [("api_key", "limited-key"), ("license_key", &named[0])];
    assert_eq!(shop.post_form("assign-license-key", &form).await.code(), 800);
    let form = [&form[..], &[("reason", "r"), ("generate", "1")]].concat();
    assert_eq!(shop.post_form("replace-license-key", &form).await.code(), 860);
}

/// Queues orders that are filled in every way, wait, end, are not delivered, or fail on the way.
async fn orders_of_every_kind(shop: &Shop) {
    let receiver = Receiver::start().await;
    let queue = async |parameters: &[(&str, &str)]| {
        let url = ("webhook_url", receiver.url.as_str());
        shop.clock.advance_seconds(1);
        shop.post("random-assign-license-keys-queued", &[&[url], parameters].concat()).await
    };
    shop.stock_named(2, "QUEUED-", 400).await;
    let long = [("generator_id", "3"), ("quantity", "1000")];
    assert_eq!(shop.post("generate", &long).await.code(), 815);
    receiver.respond(&[500]);
    for (product, quantity, generate) in [
        ("2", "1", "0"),
        ("2", "2", "0"),
        ("2", "200", "0"),
        ("3", "1000", "0"),
        ("1", "1", "1"),
        ("1", "2", "1"),
        ("1", "120", "1"),
    ] {
        let order = [("product_id", product), ("quantity", quantity), ("generate", generate)];
        assert_eq!(queue(&order).await.code(), 807);
        shop.process_orders().await;
    }
    // The signature fails, so the order is withdrawn or its keys are undone.
    shop.kms.disturb("Sign", vec![Fault::error("KMSInternalException"); 10]);
    assert_eq!(queue(&[("product_id", "2"), ("quantity", "1")]).await.status, 503);
    shop.kms.calm();
    for (product, generate) in [("2", "0"), ("1", "1")] {
        assert_eq!(
            queue(&[("product_id", product), ("quantity", "120"), ("generate", generate)]).await.code(),
            807
        );
        shop.kms.disturb("Sign", vec![Fault::error("KMSInternalException"); 100]);
        shop.process_orders().await;
        shop.kms.calm();
    }
    // The outcomes of these writes are unknown at first.
    shop.dynamodb.disturb("TransactWriteItems", vec![Fault::LoseResponse; 5]);
    shop.dynamodb.disturb("UpdateItem", [Fault::error("TransactionConflictException")]);
    assert_eq!(queue(&[("product_id", "2"), ("quantity", "2")]).await.code(), 807);
    shop.process_orders().await;
    shop.dynamodb.calm();
    // This order waits for stock.
    assert_eq!(queue(&[("product_id", "3"), ("quantity", "1")]).await.code(), 807);
    shop.process_orders().await;
    shop.stock_named(3, "WAITED-", 1).await;
    shop.sweep_orders().await;
    shop.process_orders().await;
    // The stock is too small and a dead order holds some of it. The order waits and ends without keys.
    let given_up = shop.dead_order(2, 3).await;
    assert_eq!(queue(&[("product_id", "2"), ("quantity", "1000")]).await.code(), 807);
    shop.process_orders().await;
    assert_eq!(shop.status(&given_up[0]).await, keypool_domain::Status::Available);
    for _ in 0..2 {
        shop.clock.advance_seconds(4 * 24 * 60 * 60);
        shop.sweep_orders().await;
        shop.process_orders().await;
    }
}

/// Makes keys of 255 characters of three bytes each, from 256 characters with distant code points.
fn generator_of_keys_that_do_not_compress() -> Generator {
    let charset: String = (0..256).filter_map(|number| char::from_u32(0x4e00 + 67 * number)).collect();
    Generator {
        id: "3".parse().unwrap(),
        product_id: "3".parse().unwrap(),
        activity: Activity::Active,
        method: Method::ChunkSystem(ChunkSystem {
            charset: charset.parse().unwrap(),
            number_of_chunks: 1,
            chunk_length: 255,
        }),
        prefix: String::new(),
        suffix: String::new(),
        activation_limit: "1".parse().unwrap(),
        validity: "365".parse().unwrap(),
    }
}

/// An alarm on a metric that no function writes never rings.
#[test]
fn alarms_and_dashboard_use_existing_metrics() {
    let ours: BTreeSet<&str> = COUNTERS.into_iter().chain(distributions().map(|(name, _)| name)).collect();
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
            // Our metrics have no dimension, except for that of the stock.
            assert_eq!(properties["Dimensions"], Value::Null);
        }
    }
    assert_eq!(alarms, 13);
    let dead = &resources["DeadLettersAlarm"]["Properties"];
    assert_eq!(
        (&dead["Namespace"], &dead["MetricName"]),
        (&json!("AWS/SQS"), &json!("ApproximateNumberOfMessagesVisible"))
    );
    assert_eq!(dead["Dimensions"][0]["Value"]["Fn::GetAtt"][0], "OrdersDeadLetterQueue");
    let used = &resources["KmsUsageAlarm"]["Properties"];
    let quota = "100 * calls / SERVICE_QUOTA(calls)";
    assert_eq!((&used["Metrics"][0]["Expression"], &used["Threshold"]), (&json!(quota), &json!(80)));
    let query = resources["StockLowAlarm"]["Properties"]["Metrics"][0]["Expression"]["Fn::Sub"].clone();
    assert_eq!(query, r#"SELECT MIN(StockEstimate) FROM SCHEMA("${AWS::StackName}", Product)"#);
    let namespace =
        &template()["Globals"]["Function"]["Environment"]["Variables"]["KEYPOOL_METRICS_NAMESPACE"];
    assert_eq!(namespace["Ref"], "AWS::StackName");

    let dashboard =
        resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"].as_str().unwrap().to_owned();
    let parsed: Value = serde_json::from_str(&dashboard).unwrap();
    assert_eq!(parsed["widgets"].as_array().unwrap().len(), 8);
    for name in &ours {
        assert!(dashboard.contains(name), "the dashboard does not show {name}");
    }
}
