//! Requests that AWS refuses: the embedded services must refuse them, too, with the same error. What passes here
//! and fails on AWS is found by the first customer.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keypool_local::{Services, TABLE};
use reqwest::Client;
use serde_json::{Value, json};

const DYNAMODB: &str = "DynamoDB_20120810";
const KMS: &str = "TrentService";

/// A request that AWS refuses.
struct Refused {
    /// The rule, and where AWS states it.
    rule: &'static str,
    operation: &'static str,
    request: Value,
    error: &'static str,
    /// A part of AWS's message.
    says: &'static str,
}

fn refused(
    rule: &'static str,
    operation: &'static str,
    request: Value,
    error: &'static str,
    says: &'static str,
) -> Refused {
    Refused { rule, operation, request, error, says }
}

/// The services, with the table of keypool, and a client.
struct Aws {
    services: Services,
    client: Client,
}

impl Aws {
    async fn start() -> Self {
        let services = Services::start(None).await.unwrap();
        let settings = Services::settings(services.dynamodb_url(), services.kms_url());
        let clients = settings.clients(keypool_http::Patience::Operator);
        let randomness = std::sync::Arc::new(keypool_domain::OperatingSystemRandomness);
        keypool_store::Store::new(clients.dynamodb, TABLE, randomness).create_table().await.unwrap();
        Self { services, client: Client::new() }
    }

    /// The error and the message of a call; the answer itself if it is accepted.
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

    /// Sends each request, and reports all that were not refused as AWS refuses them.
    async fn check(&self, api: &str, cases: Vec<Refused>) {
        let mut wrong = Vec::new();
        for Refused { rule, operation, request, error, says } in cases {
            match self.call(api, operation, &request).await {
                Err((name, message)) if name == error && message.contains(says) => {}
                answer => wrong.push(format!("{rule}: {answer:?}")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn key(pk: &str) -> Value {
    json!({"pk": {"S": pk}, "sk": {"S": "KEY"}})
}

fn put(pk: &str) -> Value {
    json!({"Put": {"TableName": TABLE, "Item": key(pk)}})
}

fn update(expression: &str, names: &Value, values: &Value) -> Value {
    let mut request = json!({"TableName": TABLE, "Key": key("KEY#a"), "UpdateExpression": expression});
    if !names.is_null() {
        request["ExpressionAttributeNames"] = names.clone();
    }
    if !values.is_null() {
        request["ExpressionAttributeValues"] = values.clone();
    }
    request
}

fn query(condition: &str, values: &Value) -> Value {
    json!({"TableName": TABLE, "KeyConditionExpression": condition, "ExpressionAttributeValues": values})
}

const INVALID: &str = "ValidationException";

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_long_key_values_are_refused() {
    let aws = Aws::start().await;
    let empty = "empty string value";
    let (long_pk, long_sk) = ("a".repeat(2_049), "a".repeat(1_025));
    let item = |extra: Value| {
        let mut item = key("KEY#a");
        item.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"TableName": TABLE, "Item": item})
    };
    // Developer Guide, "Constraints in Amazon DynamoDB", String, Partition key length, Sort key length.
    aws.check(
        DYNAMODB,
        vec![
            refused(
                "empty hash key of an item",
                "PutItem",
                json!({"TableName": TABLE, "Item": key("")}),
                INVALID,
                empty,
            ),
            refused(
                "empty range key of an item",
                "PutItem",
                json!({"TableName": TABLE, "Item": {"pk": {"S": "a"}, "sk": {"S": ""}}}),
                INVALID,
                empty,
            ),
            refused(
                "empty hash key of an index",
                "PutItem",
                item(json!({"stock": {"S": ""}, "draw": {"S": "0"}})),
                INVALID,
                empty,
            ),
            refused(
                "empty range key of an index",
                "PutItem",
                item(json!({"stock": {"S": "P"}, "draw": {"S": ""}})),
                INVALID,
                empty,
            ),
            refused(
                "update to an empty key of an index",
                "UpdateItem",
                update("SET stock = :v", &Value::Null, &json!({":v": {"S": ""}})),
                INVALID,
                empty,
            ),
            refused(
                "empty key of a read",
                "GetItem",
                json!({"TableName": TABLE, "Key": key("")}),
                INVALID,
                empty,
            ),
            refused(
                "empty key of an update",
                "UpdateItem",
                json!({"TableName": TABLE, "Key": key(""), "UpdateExpression": "REMOVE a"}),
                INVALID,
                empty,
            ),
            refused(
                "empty key of a deletion",
                "DeleteItem",
                json!({"TableName": TABLE, "Key": key("")}),
                INVALID,
                empty,
            ),
            refused(
                "empty key of a batch",
                "BatchGetItem",
                json!({"RequestItems": {TABLE: {"Keys": [key("")]}}}),
                INVALID,
                empty,
            ),
            refused(
                "empty key of a batch of writes",
                "BatchWriteItem",
                json!({"RequestItems": {TABLE: [{"PutRequest": {"Item": key("")}}]}}),
                INVALID,
                empty,
            ),
            refused(
                "empty key of a transaction",
                "TransactWriteItems",
                json!({"TransactItems": [put("")]}),
                INVALID,
                empty,
            ),
            refused(
                "empty hash key of a condition",
                "Query",
                query("pk = :pk", &json!({":pk": {"S": ""}})),
                INVALID,
                empty,
            ),
            refused(
                "empty prefix of a condition",
                "Query",
                query("pk = :pk AND begins_with(sk, :sk)", &json!({":pk": {"S": "a"}, ":sk": {"S": ""}})),
                INVALID,
                empty,
            ),
            refused(
                "empty range key of a condition",
                "Query",
                query("pk = :pk AND sk > :sk", &json!({":pk": {"S": "a"}, ":sk": {"S": ""}})),
                INVALID,
                empty,
            ),
            refused(
                "empty place in an index",
                "Query",
                {
                    let mut asked = query(
                        "stock = :s AND draw >= :d",
                        &json!({":s": {"S": "PRODUCT#1"}, ":d": {"S": ""}}),
                    );
                    asked["IndexName"] = json!("available");
                    asked
                },
                INVALID,
                empty,
            ),
            refused(
                "empty place to go on from",
                "Query",
                {
                    let mut asked = query("pk = :pk", &json!({":pk": {"S": "a"}}));
                    asked["ExclusiveStartKey"] = json!({"pk": {"S": "a"}, "sk": {"S": ""}});
                    asked
                },
                INVALID,
                empty,
            ),
            refused(
                "long hash key",
                "PutItem",
                json!({"TableName": TABLE, "Item": key(&long_pk)}),
                INVALID,
                "2048 bytes",
            ),
            refused(
                "long range key",
                "PutItem",
                json!({"TableName": TABLE, "Item": {"pk": {"S": "a"}, "sk": {"S": long_sk}}}),
                INVALID,
                "1024 bytes",
            ),
            refused(
                "long hash key of a read",
                "GetItem",
                json!({"TableName": TABLE, "Key": key(&long_pk)}),
                INVALID,
                "2048 bytes",
            ),
            refused(
                "long key of a transaction",
                "TransactWriteItems",
                json!({"TransactItems": [put(&long_pk)]}),
                INVALID,
                "2048 bytes",
            ),
            refused(
                "long hash key of a condition",
                "Query",
                query("pk = :pk", &json!({":pk": {"S": long_pk}})),
                INVALID,
                "2048 bytes",
            ),
            refused(
                "long hash key of an index",
                "PutItem",
                item(json!({"stock": {"S": long_pk}, "draw": {"S": "0"}})),
                INVALID,
                "2048 bytes",
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_name_what_they_use_and_use_what_they_name() {
    let aws = Aws::start().await;
    let none = &Value::Null;
    let v = &json!({":v": {"S": "x"}});
    // Developer Guide, "Expression attribute names (aliases)", "Reserved words in DynamoDB".
    aws.check(
        DYNAMODB,
        vec![
            refused("unused name", "UpdateItem", update("SET a = :v", &json!({"#b": "b"}), v), INVALID, "unused in expressions: keys: {#b}"),
            refused("unused value", "UpdateItem",
                update("SET a = :v", none, &json!({":v": {"S": "x"}, ":w": {"S": "x"}})), INVALID, "unused in expressions: keys: {:w}"),
            refused("undefined name", "UpdateItem", update("SET #a = :v", none, v), INVALID, "#a"),
            refused("undefined value", "UpdateItem", update("SET a = :w", none, v), INVALID, ":w"),
            refused("no names", "UpdateItem", update("SET a = :v", &json!({}), v), INVALID, "ExpressionAttributeNames must not be empty"),
            refused("no values", "UpdateItem", update("REMOVE a", none, &json!({})), INVALID, "ExpressionAttributeValues must not be empty"),
            refused("reserved word in an update", "UpdateItem", update("SET status = :v", none, v), INVALID, "reserved keyword: status"),
            refused("reserved word in a condition", "PutItem",
                json!({"TableName": TABLE, "Item": key("a"), "ConditionExpression": "attribute_not_exists(owner)"}), INVALID, "reserved keyword: owner"),
            refused("reserved word in a projection", "GetItem",
                json!({"TableName": TABLE, "Key": key("a"), "ProjectionExpression": "name"}), INVALID, "reserved keyword: name"),
            refused("undefined name of a condition", "Query", query("#pk = :pk", &json!({":pk": {"S": "a"}})), INVALID, "#pk"),
            refused("unused value of a query", "Query",
                query("pk = :pk", &json!({":pk": {"S": "a"}, ":w": {"S": "a"}})), INVALID, "unused in expressions: keys: {:w}"),
            refused("unused name in a transaction", "TransactWriteItems",
                json!({"TransactItems": [{"Update": update("SET a = :v", &json!({"#b": "b"}), v)}]}), INVALID, "unused in expressions: keys: {#b}"),
            refused("unused value in a check", "TransactWriteItems",
                json!({"TransactItems": [{"ConditionCheck": {"TableName": TABLE, "Key": key("a"),
                    "ConditionExpression": "attribute_exists(pk)", "ExpressionAttributeValues": v}}]}), INVALID, "unused in expressions: keys: {:v}"),
            refused("unused name of a batch", "BatchGetItem",
                json!({"RequestItems": {TABLE: {"Keys": [key("a")], "ProjectionExpression": "pk", "ExpressionAttributeNames": {"#b": "b"}}}}), INVALID, "unused in expressions: keys: {#b}"),
            refused("update of a key", "UpdateItem", update("SET sk = :v", none, v), INVALID, "part of the key"),
            refused("one attribute set twice", "UpdateItem", update("SET a = :v REMOVE a", none, v), INVALID, "overlap"),
            refused("a filter on a key", "Query", {
                let mut asked = query("pk = :pk", &json!({":pk": {"S": "a"}}));
                asked["FilterExpression"] = json!("sk = :pk");
                asked
            }, INVALID, "Filter Expression can only contain non-primary key attributes"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_one_call_is_refused() {
    let aws = Aws::start().await;
    let puts = |count: usize| (0..count).map(|n| put(&format!("KEY#{n}"))).collect::<Vec<_>>();
    let big = |pk: &str, bytes: usize| {
        let mut item = key(pk);
        item["a"] = json!({"S": "x".repeat(bytes)});
        item
    };
    let large: Vec<Value> = (0..12)
        .map(|n| json!({"Put": {"TableName": TABLE, "Item": big(&format!("KEY#{n}"), 380_000)}}))
        .collect();
    let statement = |n: usize| json!({"Statement": format!("INSERT INTO \"{TABLE}\" VALUE {{'pk':'KEY#{n}','sk':'KEY'}}")});
    let keys = |count: usize| (0..count).map(|n| key(&format!("KEY#{n}"))).collect::<Vec<_>>();
    // API Reference, TransactWriteItems, BatchExecuteStatement, BatchGetItem, BatchWriteItem, Query; Developer Guide, "Constraints".
    aws.check(
        DYNAMODB,
        vec![
            refused("101 actions", "TransactWriteItems", json!({"TransactItems": puts(101)}), INVALID, "less than or equal to 100"),
            refused("no action", "TransactWriteItems", json!({"TransactItems": []}), INVALID, "greater than or equal to 1"),
            refused("4 MB in a transaction", "TransactWriteItems", json!({"TransactItems": large}), INVALID, ""),
            refused("two actions on one item", "TransactWriteItems",
                json!({"TransactItems": [put("KEY#a"), {"ConditionCheck": {"TableName": TABLE, "Key": key("KEY#a"),
                    "ConditionExpression": "attribute_exists(pk)"}}]}), INVALID, "multiple operations on one item"),
            refused("an item over 400 KB", "PutItem", json!({"TableName": TABLE, "Item": big("KEY#a", 409_600)}), INVALID, "Item size has exceeded"),
            refused("an item over 400 KB in a transaction", "TransactWriteItems",
                json!({"TransactItems": [{"Put": {"TableName": TABLE, "Item": big("KEY#a", 409_600)}}]}), INVALID, "Item size"),
            refused("26 statements", "BatchExecuteStatement", json!({"Statements": (0..26).map(statement).collect::<Vec<_>>()}), INVALID, "less than or equal to 25"),
            refused("26 writes", "BatchWriteItem", json!({"RequestItems": {TABLE: keys(26).into_iter()
                .map(|key| json!({"PutRequest": {"Item": key}})).collect::<Vec<_>>()}}), INVALID, "25"),
            refused("one item twice in a batch of writes", "BatchWriteItem", json!({"RequestItems": {TABLE: [
                {"PutRequest": {"Item": key("a")}}, {"DeleteRequest": {"Key": key("a")}}]}}), INVALID, "contains duplicates"),
            refused("101 keys", "BatchGetItem", json!({"RequestItems": {TABLE: {"Keys": keys(101)}}}), INVALID, "less than or equal to 100"),
            refused("one key twice", "BatchGetItem", json!({"RequestItems": {TABLE: {"Keys": [key("a"), key("a")]}}}), INVALID, "contains duplicates"),
            refused("no keys", "BatchGetItem", json!({"RequestItems": {TABLE: {"Keys": []}}}), INVALID, "greater than or equal to 1"),
            refused("consistent read of an index", "Query", {
                let mut asked = query("stock = :s", &json!({":s": {"S": "PRODUCT#1"}}));
                asked["IndexName"] = json!("available");
                asked["ConsistentRead"] = json!(true);
                asked
            }, INVALID, "Consistent reads are not supported on global secondary indexes"),
            refused("limit of nothing", "Query", {
                let mut asked = query("pk = :pk", &json!({":pk": {"S": "a"}}));
                asked["Limit"] = json!(0);
                asked
            }, INVALID, "greater than or equal to 1"),
            refused("an expression over 4 KB", "UpdateItem",
                update(&format!("REMOVE {}", "a".repeat(4_097)), &Value::Null, &Value::Null), INVALID, "Expression size has exceeded the maximum allowed size"),
            refused("an empty set", "PutItem", json!({"TableName": TABLE, "Item": {"pk": {"S": "a"}, "sk": {"S": "b"}, "c": {"SS": []}}}), INVALID, "may not be empty"),
        ],
    )
    .await;
}

/// A statement of a batch fails by itself.
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

/// An update can make an item too large, which no look at the request shows.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_does_not_make_an_item_too_large() {
    let aws = Aws::start().await;
    let value = json!({":v": {"S": "x".repeat(300_000)}});
    assert!(aws.dynamodb("UpdateItem", &update("SET a = :v", &Value::Null, &value)).await.is_ok());
    let (error, message) =
        aws.dynamodb("UpdateItem", &update("SET b = :v", &Value::Null, &value)).await.unwrap_err();
    assert_eq!(error, INVALID);
    assert!(message.contains("Item size to update has exceeded the maximum allowed size"), "{message}");
}

/// API Reference, `TransactWriteItems`, `ClientRequestToken`: idempotent for 10 minutes, unless the request changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_stands_for_one_transaction_byte_for_byte() {
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

/// API Reference, `Sign`: up to 4,096 bytes with the message type `RAW`; a digest has the length of its algorithm.
#[tokio::test(flavor = "multi_thread")]
async fn kms_signs_messages_of_4096_bytes_and_digests_of_their_length() {
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
    let refused_bytes = |message_type: &'static str, bytes: usize, says: &'static str| {
        refused("length of a message", "Sign", sign(message_type, bytes), INVALID, says)
    };
    aws.check(
        KMS,
        vec![
            refused_bytes("RAW", 0, "4096"),
            refused_bytes("RAW", 4_097, "4096"),
            refused_bytes("DIGEST", 0, "invalid length"),
            refused_bytes("DIGEST", 31, "invalid length"),
            refused_bytes("DIGEST", 33, "invalid length"),
            refused_bytes("DIGEST", 64, "invalid length"),
            refused_bytes("EXTERNAL", 32, "MessageType"),
        ],
    )
    .await;
}
