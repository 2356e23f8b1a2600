//! Requests that AWS refuses. The embedded services must refuse them with the same error. Otherwise the first
//! customer would find the fault on AWS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keypool_local::{Services, TABLE};
use reqwest::Client;
use serde_json::{Value, json};

const DYNAMODB: &str = "DynamoDB_20120810";
const KMS: &str = "TrentService";

const INVALID: &str = "ValidationException";

/// A rule, the operation and the request that break it, and a part of AWS's message.
type Refused = (&'static str, &'static str, Value, &'static str);

/// The services with keypool's table, and a client.
struct Aws {
    services: Services,
    client: Client,
}

impl Aws {
    async fn start() -> Self {
        let services = Services::start(None).await.unwrap();
        Self { services, client: Client::new() }
    }

    /// Calls a service. Returns the response, or the error and the message.
    async fn call(&self, api: &str, operation: &str, request: &Value) -> Result<Value, (String, String)> {
        self.send(api, operation, request.to_string()).await
    }

    async fn send(&self, api: &str, operation: &str, request: String) -> Result<Value, (String, String)> {
        let url = if api == KMS { self.services.kms_url() } else { self.services.dynamodb_url() };
        let request = self
            .client
            .post(url)
            .header("x-amz-target", format!("{api}.{operation}"))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=local/20260101/eu-central-1/dynamodb/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=00",
            )
            .body(request);
        let response = request.send().await.unwrap();
        let is_accepted = response.status().is_success();
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        if is_accepted {
            return Ok(answer);
        }
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let error = text("__type").unwrap_or_default();
        let error = error.rsplit('#').next().unwrap_or_default().to_owned();
        Err((error, text("message").or_else(|| text("Message")).unwrap_or_default()))
    }

    async fn dynamodb(&self, operation: &str, request: &Value) -> Result<Value, (String, String)> {
        self.call(DYNAMODB, operation, request).await
    }

    /// Sends each request, and fails if one is not refused as AWS refuses it.
    async fn check(&self, cases: impl IntoIterator<Item = Refused>) {
        let mut wrong = Vec::new();
        for (rule, operation, request, says) in cases {
            match self.dynamodb(operation, &request).await {
                Err((name, message)) if name == INVALID && message.contains(says) => {}
                answer => wrong.push(format!("{rule}: {answer:?}")),
            }
        }
        assert!(
            wrong.is_empty(),
            "{}",
            wrong.join(
                "
"
            )
        );
    }
}

fn key(pk: &str) -> Value {
    json!({"pk": {"S": pk}, "sk": {"S": "KEY"}})
}

/// The key of an item with another attribute.
fn item(pk: &str, attribute: &str, value: &Value) -> Value {
    let mut item = key(pk);
    item[attribute] = value.clone();
    item
}

fn put_item(item: &Value) -> Value {
    json!({"TableName": TABLE, "Item": item})
}

fn put(pk: &str) -> Value {
    json!({"Put": put_item(&key(pk))})
}

fn transaction(writes: &[Value]) -> Value {
    json!({"TransactItems": writes})
}

fn read(keys: &[Value]) -> Value {
    json!({"RequestItems": {TABLE: {"Keys": keys}}})
}

fn update(expression: &str, names: Value, values: Value) -> Value {
    let mut request = json!({"TableName": TABLE, "Key": key("KEY#a"), "UpdateExpression": expression});
    for (member, value) in [("ExpressionAttributeNames", names), ("ExpressionAttributeValues", values)] {
        if !value.is_null() {
            request[member] = value;
        }
    }
    request
}

fn query(condition: &str, values: Value) -> Value {
    let request = json!({"TableName": TABLE, "KeyConditionExpression": condition});
    with(request, "ExpressionAttributeValues", values)
}

/// The same request with another member.
fn with(mut request: Value, member: &str, value: Value) -> Value {
    request[member] = value;
    request
}

fn text(value: &str) -> Value {
    json!({"S": value})
}

/// Developer Guide, "Constraints in Amazon DynamoDB": String.
fn empty_values_in_items_and_keys() -> Vec<Refused> {
    let says = "empty string value";
    let set_stock = update("SET stock = :v", Value::Null, json!({":v": text("")}));
    let in_index =
        |attribute: &str, other: &str| put_item(&with(item("KEY#a", attribute, &text("")), other, text("0")));
    let by_key = json!({"TableName": TABLE, "Key": key("")});
    let written = json!({"RequestItems": {TABLE: [{"PutRequest": {"Item": key("")}}]}});
    vec![
        ("hash key of an item", "PutItem", put_item(&key("")), says),
        ("range key of an item", "PutItem", put_item(&item("a", "sk", &text(""))), says),
        ("hash key of an index", "PutItem", in_index("stock", "draw"), says),
        ("range key of an index", "PutItem", in_index("draw", "stock"), says),
        ("update of a key of an index", "UpdateItem", set_stock, says),
        ("key of a read", "GetItem", by_key.clone(), says),
        ("key of an update", "UpdateItem", with(by_key.clone(), "UpdateExpression", json!("REMOVE a")), says),
        ("key of a deletion", "DeleteItem", by_key, says),
        ("key of a batch of reads", "BatchGetItem", read(&[key("")]), says),
        ("key of a batch of writes", "BatchWriteItem", written, says),
        ("key of a transaction", "TransactWriteItems", transaction(&[put("")]), says),
    ]
}

/// The same page. Its limits of key values also apply to key conditions.
fn empty_values_in_key_conditions() -> Vec<Refused> {
    let says = "empty string value";
    let compared = |condition: &str| query(condition, json!({":pk": text("a"), ":sk": text("")}));
    let in_index = query("stock = :s AND draw >= :d", json!({":s": text("PRODUCT#1"), ":d": text("")}));
    let named = with(
        compared("#pk = :pk AND begins_with(#sk, :sk)"),
        "ExpressionAttributeNames",
        json!({"#pk": "pk", "#sk": "sk"}),
    );
    let from = json!({"pk": text("a"), "sk": text("")});
    vec![
        ("hash key", "Query", query("pk = :pk", json!({":pk": text("")})), says),
        ("prefix", "Query", compared("pk = :pk AND begins_with(sk, :sk)"), says),
        ("prefix of a named attribute", "Query", named, says),
        ("range key", "Query", compared("pk = :pk AND sk > :sk"), says),
        ("bound", "Query", compared("pk = :pk AND sk BETWEEN :sk AND :pk"), says),
        ("place in an index", "Query", with(in_index, "IndexName", json!("available")), says),
        (
            "place to go on from",
            "Query",
            with(query("pk = :pk", json!({":pk": text("a")})), "ExclusiveStartKey", from),
            says,
        ),
    ]
}

/// Developer Guide, "Constraints in Amazon DynamoDB": Partition key length, Sort key length.
fn long_values() -> Vec<Refused> {
    let (hash, range) = (text(&"a".repeat(2_049)), text(&"a".repeat(1_025)));
    let says = "2048 bytes";
    let by_key = json!({"TableName": TABLE, "Key": item("", "pk", &hash)});
    let in_index = with(item("a", "stock", &hash), "draw", text("0"));
    let compared = query("pk = :pk AND sk = :sk", json!({":pk": text("a"), ":sk": range}));
    vec![
        ("hash key", "PutItem", put_item(&item("", "pk", &hash)), says),
        ("range key", "PutItem", put_item(&item("a", "sk", &range)), "1024 bytes"),
        ("hash key of a read", "GetItem", by_key, says),
        ("hash key of a condition", "Query", query("pk = :pk", json!({":pk": hash})), says),
        ("range key of a condition", "Query", compared, "1024 bytes"),
        ("hash key of an index", "PutItem", put_item(&in_index), says),
        (
            "hash key of an index in a transaction",
            "TransactWriteItems",
            transaction(&[json!({"Put": put_item(&in_index)})]),
            says,
        ),
    ]
}

/// Developer Guide, "Expression attribute names (aliases)", "Using expression attribute values".
fn names_and_values() -> Vec<Refused> {
    let (v, b) = (json!({":v": text("x")}), json!({"#b": "b"}));
    let two = json!({":v": text("x"), ":w": text("x")});
    let check = json!({"ConditionCheck": {"TableName": TABLE, "Key": key("a"),
        "ConditionExpression": "attribute_exists(pk)", "ExpressionAttributeValues": v}});
    let projected = json!({"RequestItems": {TABLE: {"Keys": [key("a")], "ProjectionExpression": "pk",
        "ExpressionAttributeNames": b}}});
    let in_transaction = transaction(&[json!({"Update": update("SET a = :v", b.clone(), v.clone())})]);
    let (unused_b, unused_w) = ("unused in expressions: keys: {#b}", "unused in expressions: keys: {:w}");
    let no_names = update("SET a = :v", json!({}), v.clone());
    let no_values = update("REMOVE a", Value::Null, json!({}));
    vec![
        ("unused name", "UpdateItem", update("SET a = :v", b, v.clone()), unused_b),
        ("unused value", "UpdateItem", update("SET a = :v", Value::Null, two), unused_w),
        ("undefined name", "UpdateItem", update("SET #a = :v", Value::Null, v.clone()), "#a"),
        ("undefined value", "UpdateItem", update("SET a = :w", Value::Null, v.clone()), ":w"),
        ("no names", "UpdateItem", no_names, "ExpressionAttributeNames must not be empty"),
        ("no values", "UpdateItem", no_values, "ExpressionAttributeValues must not be empty"),
        ("undefined name of a condition", "Query", query("#pk = :v", v), "#pk"),
        (
            "unused value of a query",
            "Query",
            query("pk = :pk", json!({":pk": text("a"), ":w": text("a")})),
            unused_w,
        ),
        ("unused name in a transaction", "TransactWriteItems", in_transaction, unused_b),
        ("unused value in a check", "TransactWriteItems", transaction(&[check]), "keys: {:v}"),
        ("unused name of a batch", "BatchGetItem", projected, unused_b),
    ]
}

/// Developer Guide, "Reserved words in DynamoDB"; API Reference, `UpdateItem`, `Query`.
fn words_and_paths() -> Vec<Refused> {
    let v = json!({":v": text("x")});
    let condition = with(put_item(&key("a")), "ConditionExpression", json!("attribute_not_exists(owner)"));
    let projection = json!({"TableName": TABLE, "Key": key("a"), "ProjectionExpression": "name"});
    let filter = with(query("pk = :v", v.clone()), "FilterExpression", json!("sk = :v"));
    let only = "Filter Expression can only contain non-primary key attributes";
    let too_long = update(&format!("REMOVE {}", "a".repeat(4_097)), Value::Null, Value::Null);
    let set = |expression| update(expression, Value::Null, v.clone());
    vec![
        ("word of an update", "UpdateItem", set("SET status = :v"), "reserved keyword: status"),
        ("word of a condition", "PutItem", condition, "reserved keyword: owner"),
        ("word of a projection", "GetItem", projection, "reserved keyword: name"),
        ("update of a key", "UpdateItem", set("SET sk = :v"), "part of the key"),
        ("one attribute set twice", "UpdateItem", set("SET a = :v REMOVE a"), "overlap"),
        ("a filter on a key", "Query", filter, only),
        ("an expression over 4 KB", "UpdateItem", too_long, "Expression size has exceeded"),
    ]
}

/// API Reference, `TransactWriteItems`, `BatchExecuteStatement`, `BatchGetItem`, `BatchWriteItem`, `Query`;
/// Developer Guide, "Constraints in Amazon DynamoDB".
fn too_much_for_one_call() -> Vec<Refused> {
    let numbered = |count: usize| (0..count).map(|n| key(&format!("KEY#{n}"))).collect::<Vec<_>>();
    let puts = |count: usize| (0..count).map(|n| put(&format!("KEY#{n}"))).collect::<Vec<_>>();
    let of_size = |pk: &str, bytes: usize| put_item(&item(pk, "a", &text(&"x".repeat(bytes))));
    let large: Vec<Value> = (0..12).map(|n| json!({"Put": of_size(&format!("KEY#{n}"), 380_000)})).collect();
    let check = json!({"ConditionCheck": {"TableName": TABLE, "Key": key("a"),
        "ConditionExpression": "attribute_exists(pk)"}});
    let insert = json!({"Statement": format!("INSERT INTO \"{TABLE}\" VALUE {{'pk':'a','sk':'KEY'}}")});
    let written = |writes: Vec<Value>| json!({"RequestItems": {TABLE: writes}});
    let one_twice =
        vec![json!({"PutRequest": {"Item": key("a")}}), json!({"DeleteRequest": {"Key": key("a")}})];
    let many = numbered(26).iter().map(|key| json!({"PutRequest": {"Item": key}})).collect();
    let of_index = query("stock = :s", json!({":s": text("PRODUCT#1")}));
    let of_index = with(with(of_index, "IndexName", json!("available")), "ConsistentRead", json!(true));
    let none = with(query("pk = :v", json!({":v": text("a")})), "Limit", json!(0));
    let empty_set = put_item(&item("a", "b", &json!({"SS": []})));
    let (most, least) = ("less than or equal to", "greater than or equal to 1");
    vec![
        ("101 actions", "TransactWriteItems", transaction(&puts(101)), most),
        ("no action", "TransactWriteItems", transaction(&[]), least),
        ("4 MB in a transaction", "TransactWriteItems", transaction(&large), ""),
        ("two actions on one item", "TransactWriteItems", transaction(&[put("a"), check]), "on one item"),
        ("an item over 400 KB", "PutItem", of_size("a", 409_600), "Item size has exceeded"),
        (
            "an item over 400 KB in a transaction",
            "TransactWriteItems",
            transaction(&[json!({"Put": of_size("a", 409_600)})]),
            "Item size",
        ),
        ("26 statements", "BatchExecuteStatement", json!({"Statements": vec![insert; 26]}), most),
        ("26 writes", "BatchWriteItem", written(many), "25"),
        ("one item written twice", "BatchWriteItem", written(one_twice), "contains duplicates"),
        ("101 keys", "BatchGetItem", read(&numbered(101)), most),
        ("one key twice", "BatchGetItem", read(&[key("a"), key("a")]), "contains duplicates"),
        ("no keys", "BatchGetItem", read(&[]), least),
        ("consistent read of an index", "Query", of_index, "Consistent reads are not supported"),
        ("limit of nothing", "Query", none, least),
        ("an empty set", "PutItem", empty_set, "may not be empty"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_refuses_what_aws_refuses() {
    let aws = Aws::start().await;
    let values = [empty_values_in_items_and_keys(), empty_values_in_key_conditions(), long_values()];
    aws.check(values.into_iter().flatten()).await;
    let requests = [names_and_values(), words_and_paths(), too_much_for_one_call()];
    aws.check(requests.into_iter().flatten()).await;
}

/// Statements of a batch fail one by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_with_an_empty_key_is_refused_in_its_place() {
    let aws = Aws::start().await;
    let insert =
        |pk: &str| json!({"Statement": format!("INSERT INTO \"{TABLE}\" VALUE {{'pk':'{pk}','sk':'KEY'}}")});
    let answer =
        aws.dynamodb("BatchExecuteStatement", &json!({"Statements": [insert(""), insert("KEY#a")]})).await;
    let responses = answer.unwrap()["Responses"].clone();
    assert_eq!(responses[0]["Error"]["Code"], "ValidationError");
    assert!(responses[0]["Error"]["Message"].as_str().unwrap().contains("empty string value"));
    assert!(responses[1]["Error"].is_null(), "{responses}");
}

/// An update can make an item too large, which the request alone does not show.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_does_not_make_an_item_too_large() {
    let aws = Aws::start().await;
    let value = json!({":v": {"S": "x".repeat(300_000)}});
    assert!(aws.dynamodb("UpdateItem", &update("SET a = :v", Value::Null, value.clone())).await.is_ok());
    let (error, message) =
        aws.dynamodb("UpdateItem", &update("SET b = :v", Value::Null, value)).await.unwrap_err();
    assert_eq!(error, INVALID);
    assert!(message.contains("Item size to update has exceeded the maximum allowed size"), "{message}");
}

/// API Reference, `TransactWriteItems`, `ClientRequestToken`: idempotent for 10 minutes, unless the request
/// changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_belongs_to_one_transaction_byte_for_byte() {
    let aws = Aws::start().await;
    let add = r#"{"Update":{"Key":{"pk":{"S":"C"},"sk":{"S":"C"}},"TableName":"keypool","UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}}}}"#;
    let turned = add.replace(r#"{"pk":{"S":"C"},"sk":{"S":"C"}}"#, r#"{"sk":{"S":"C"},"pk":{"S":"C"}}"#);
    let other = add.replace(r#""1""#, r#""2""#);
    let transaction =
        |write: &str| format!(r#"{{"ClientRequestToken":"a-token","TransactItems":[{write}]}}"#);
    for _ in 0..3 {
        assert!(aws.send(DYNAMODB, "TransactWriteItems", transaction(add)).await.is_ok());
    }
    for changed in [turned.as_str(), other.as_str()] {
        let (error, _) = aws.send(DYNAMODB, "TransactWriteItems", transaction(changed)).await.unwrap_err();
        assert_eq!(error, "IdempotentParameterMismatchException");
    }
    let key = json!({"pk": {"S": "C"}, "sk": {"S": "C"}});
    let read = aws.dynamodb("GetItem", &json!({"TableName": TABLE, "Key": key})).await.unwrap();
    assert_eq!(read["Item"]["n"]["N"], "1", "it was done once");
}

/// API Reference, `Sign`: up to 4,096 bytes with the message type `RAW`; a digest has the length of its
/// algorithm.
#[tokio::test(flavor = "multi_thread")]
async fn kms_limits_messages_and_digests_to_their_lengths() {
    let aws = Aws::start().await;
    let made = json!({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"});
    let id = aws.call(KMS, "CreateKey", &made).await.unwrap()["KeyMetadata"]["KeyId"].clone();
    let sign = |message_type: &str, bytes: usize| {
        json!({"KeyId": id, "MessageType": message_type, "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256",
            "Message": STANDARD.encode(vec![b'a'; bytes])})
    };
    for (message_type, bytes) in [("RAW", 1), ("RAW", 4_096), ("DIGEST", 32)] {
        assert!(aws.call(KMS, "Sign", &sign(message_type, bytes)).await.is_ok(), "{message_type} {bytes}");
    }
    for (message_type, bytes, says) in [
        ("RAW", 0, "4096"),
        ("RAW", 4_097, "4096"),
        ("DIGEST", 0, "invalid length"),
        ("DIGEST", 31, "invalid length"),
        ("DIGEST", 33, "invalid length"),
        ("DIGEST", 64, "invalid length"),
        ("EXTERNAL", 32, "MessageType"),
    ] {
        let (error, message) = aws.call(KMS, "Sign", &sign(message_type, bytes)).await.unwrap_err();
        assert_eq!(error, INVALID, "{message_type} {bytes}");
        assert!(message.contains(says), "{message}");
    }
}
