//! Compares the grants of the functions' roles, from the deployment template, with the needs that the proxies
//! observe.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use keypool_domain::Endpoint;
use serde_json::{Value, json};

/// An action on a resource that a function needs or its role grants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Privilege {
    /// The function, by its endpoint's name.
    pub function: String,
    /// The action, like `dynamodb:UpdateItem`.
    pub action: String,
    /// `table`, `index available`, `index orders`, `queue`, or `key` with the algorithm and the message type
    /// of the signature.
    pub resource: String,
    /// The records, by hash key in the form of `dynamodb:LeadingKeys`: `KEY#*`, `ORDERS`. Empty for a key of
    /// KMS and for the queue.
    pub records: String,
}

impl Privilege {
    fn new(function: &str, action: impl Into<String>, resource: impl Into<String>, records: &str) -> Self {
        let (action, resource) = (action.into(), resource.into());
        Self { function: function.to_owned(), action, resource, records: records.to_owned() }
    }

    /// Returns the privileges that IAM demands for this call of a function.
    pub(crate) fn of_call(function: &str, operation: &str, request: &Value) -> Vec<Self> {
        let on_table = |action: &str, hash_key: &Value| {
            Self::new(function, format!("dynamodb:{action}"), "table", &records(hash_key))
        };
        match operation {
            "Sign" => {
                let text = |name: &str| request[name].as_str().unwrap_or("?").to_owned();
                let resource = format!("key {} {}", text("SigningAlgorithm"), text("MessageType"));
                vec![Self::new(function, "kms:Sign", resource, "")]
            }
            "SendMessage" | "ChangeMessageVisibility" => {
                vec![Self::new(function, format!("sqs:{operation}"), "queue", "")]
            }
            // A transaction needs the permissions of its writes (Service Authorization Reference).
            "TransactWriteItems" => {
                let items = request["TransactItems"].as_array().into_iter().flatten();
                let writes = items.flat_map(|item| item.as_object().into_iter().flatten());
                let needed = writes.map(|(action, write)| match action.as_str() {
                    "Put" => on_table("PutItem", &write["Item"]["pk"]),
                    "Update" => on_table("UpdateItem", &write["Key"]["pk"]),
                    "Delete" => on_table("DeleteItem", &write["Key"]["pk"]),
                    _ => on_table("ConditionCheckItem", &write["Key"]["pk"]),
                });
                needed.collect::<BTreeSet<_>>().into_iter().collect()
            }
            "BatchGetItem" => {
                let tables = request["RequestItems"].as_object().into_iter().flatten();
                let keys = tables.flat_map(|(_, asked)| asked["Keys"].as_array().into_iter().flatten());
                let needed = keys.map(|key| on_table(operation, &key["pk"]));
                needed.collect::<BTreeSet<_>>().into_iter().collect()
            }
            "Query" | "QueryLine" => {
                let hash_key = equal_to_hash_key(request);
                match request["IndexName"].as_str() {
                    Some(index) => {
                        let resource = format!("index {index}");
                        vec![Self::new(function, "dynamodb:Query", resource, &records(hash_key))]
                    }
                    None => vec![on_table("Query", hash_key)],
                }
            }
            // Each statement inserts the item in its parameters, in the order that the statement names them.
            "BatchExecuteStatement" => {
                let statements = request["Statements"].as_array().into_iter().flatten();
                let needed = statements.map(|statement| {
                    let text = statement["Statement"].as_str().unwrap_or_default();
                    let position = text.split(": ?").position(|name| name.ends_with("'pk'"));
                    on_table("PartiQLInsert", &statement["Parameters"][position.unwrap_or(usize::MAX)])
                });
                needed.collect::<BTreeSet<_>>().into_iter().collect()
            }
            "PutItem" => vec![on_table(operation, &request["Item"]["pk"])],
            "UpdateLimit" => vec![on_table("UpdateItem", &request["Key"]["pk"])],
            "GetLimit" => vec![on_table("GetItem", &request["Key"]["pk"])],
            _ => vec![on_table(operation, &request["Key"]["pk"])],
        }
    }
}

/// Returns the group of records of a hash key. Each counter is its own group, because there are only a few.
fn records(hash_key: &Value) -> String {
    let hash_key = hash_key["S"].as_str().unwrap_or("?");
    match hash_key.split_once('#') {
        Some((kind, _)) if kind != "COUNTER" => format!("{kind}#*"),
        _ => hash_key.to_owned(),
    }
}

/// Returns the value that a query compares with the hash key of the table or the index.
fn equal_to_hash_key(query: &Value) -> &Value {
    let condition = query["KeyConditionExpression"].as_str().unwrap_or_default();
    let compared = condition.split(" AND ").filter_map(|comparison| comparison.split_once(" = "));
    compared
        .filter(|(name, _)| {
            ["pk", "stock", "order_reference"]
                .contains(&query["ExpressionAttributeNames"][name.trim()].as_str().unwrap_or(name))
        })
        .map(|(_, value)| &query["ExpressionAttributeValues"][value.trim()])
        .next()
        .unwrap_or(&Value::Null)
}

/// The grants of the roles in the template.
#[derive(Debug)]
pub struct Privileges(BTreeSet<Privilege>);

impl Privileges {
    /// Reads the template.
    ///
    /// # Panics
    /// If the template has a grant of an unknown form.
    pub fn granted() -> &'static Self {
        static GRANTED: OnceLock<Privileges> = OnceLock::new();
        GRANTED.get_or_init(|| {
            let template = template();
            let grants = functions().flat_map(|name| {
                let resource = function_resource(name);
                let role = format!("{resource}Role");
                let function = &template["Resources"][&resource]["Properties"];
                assert_eq!(function["Role"], json!({"Fn::GetAtt": [role, "Arn"]}));
                let policies =
                    template["Resources"][&role]["Properties"]["Policies"].as_array().unwrap().clone();
                let statements = policies
                    .into_iter()
                    .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap().clone());
                statements.flat_map(move |statement| grants(name, &statement)).collect::<Vec<_>>()
            });
            Self(grants.collect())
        })
    }

    /// All grants.
    #[must_use]
    pub fn all(&self) -> &BTreeSet<Privilege> {
        &self.0
    }

    /// Asserts that every used privilege is granted.
    ///
    /// # Panics
    /// If one is not: IAM would refuse this call in a deployed stack.
    pub fn check(&self, used: &[Privilege]) {
        for privilege in used {
            assert!(self.0.contains(privilege), "the template does not grant {privilege:?}");
        }
    }
}

/// The deployment template.
///
/// # Panics
/// If it is not YAML.
#[must_use]
pub fn template() -> Value {
    serde_saphyr::from_str(include_str!("../../infra/template.yaml")).unwrap()
}

/// The function that a schedule calls.
pub const SWEEP_ORDERS: &str = "sweep-orders";
/// The function that the queue of orders calls.
pub const PROCESS_ORDERS: &str = "process-orders";

/// Returns the names of all functions: of the endpoints, the queue and the schedule.
pub fn functions() -> impl Iterator<Item = &'static str> {
    Endpoint::ALL.into_iter().map(Endpoint::name).chain([PROCESS_ORDERS, SWEEP_ORDERS])
}

/// Returns the name of a function in the template: `generate` is `GenerateFunction`.
#[must_use]
pub fn function_resource(function: &str) -> String {
    let words = function.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect::<String>() + "Function"
}

fn grants(function: &str, statement: &Value) -> Vec<Privilege> {
    assert_eq!(statement["Effect"], "Allow");
    let log = function_resource(function).replace("Function", "Log");
    let of_table = |suffix: &str| {
        let arn = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${Table}";
        let table = json!({"Fn::If": ["MakesTable", {"Ref": "Table"}, {"Ref": "ExistingTable"}]});
        json!({"Fn::Sub": [format!("{arn}{suffix}"), {"Table": table}]})
    };
    let actions = statement["Action"].as_array().unwrap().iter().map(|action| action.as_str().unwrap());
    let queue = json!({"Fn::GetAtt": ["OrdersQueue", "Arn"]});
    let (resource, records) = match &statement["Resource"] {
        // Lambda writes the log with the function's role.
        resource if *resource == json!({"Fn::GetAtt": [log, "Arn"]}) => {
            assert_eq!(actions.collect::<Vec<_>>(), ["logs:CreateLogStream", "logs:PutLogEvents"]);
            return Vec::new();
        }
        // Lambda polls the queue with the function's role.
        resource if *resource == queue && statement["Sid"] == "TakeMessages" => {
            assert_eq!(function, PROCESS_ORDERS);
            let polling = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
            assert_eq!(actions.collect::<Vec<_>>(), polling);
            return Vec::new();
        }
        resource if *resource == queue => ("queue".to_owned(), vec![String::new()]),
        resource if *resource == of_table("") => ("table".to_owned(), leading_keys(statement)),
        resource if *resource == of_table("/index/available") => {
            ("index available".to_owned(), leading_keys(statement))
        }
        resource if *resource == of_table("/index/orders") => {
            ("index orders".to_owned(), leading_keys(statement))
        }
        Value::Object(resource)
            if resource["Fn::Sub"] == "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*" =>
        {
            // The grant covers any key of the account, but only with the stack's tag and for this kind of
            // signature.
            let condition = statement["Condition"]["StringEquals"].as_object().unwrap();
            assert_eq!(condition["aws:ResourceTag/keypool"]["Ref"], "AWS::StackName");
            let text = |name: &str| condition[name].as_str().unwrap();
            let resource = format!("key {} {}", text("kms:SigningAlgorithm"), text("kms:MessageType"));
            (resource, vec![String::new()])
        }
        other => panic!("{function}: unknown resource {other}"),
    };
    let grant = |action| records.iter().map(move |records| (action, records.clone()));
    actions
        .flat_map(grant)
        .map(|(action, records)| Privilege::new(function, action, resource.as_str(), &records))
        .collect()
}

/// Returns the records that a statement allows. `ForAllValues` alone would also be true for a request without
/// keys.
fn leading_keys(statement: &Value) -> Vec<String> {
    let condition = &statement["Condition"];
    let records = condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"].clone();
    let expected = json!({
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": records},
        "Null": {"dynamodb:LeadingKeys": "false"},
    });
    assert_eq!(*condition, expected, "{statement}");
    serde_json::from_value(records).unwrap()
}
