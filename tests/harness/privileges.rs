//! What the functions' roles grant, read from the deployment template, and what the functions need, seen by the proxies.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use keypool_domain::Endpoint;
use serde_json::Value;

/// One action on one resource that a function needs, or that its role grants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Privilege {
    /// The function, by its endpoint's name.
    pub function: String,
    /// The action, like `dynamodb:UpdateItem`.
    pub action: String,
    /// `table`, `index available`, or `key` with the algorithm and message type it signs by.
    pub resource: String,
}

impl Privilege {
    fn new(function: &str, action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { function: function.to_owned(), action: action.into(), resource: resource.into() }
    }

    /// What IAM asks for when a function makes this call.
    pub(crate) fn of_call(function: &str, operation: &str, request: &Value) -> Vec<Self> {
        match operation {
            "Sign" => {
                let text = |name: &str| request[name].as_str().unwrap_or("?").to_owned();
                let resource = format!("key {} {}", text("SigningAlgorithm"), text("MessageType"));
                vec![Self::new(function, "kms:Sign", resource)]
            }
            // Service Authorization Reference: a transaction needs the permissions of what is in it.
            "TransactWriteItems" => {
                let items = request["TransactItems"].as_array().into_iter().flatten();
                let actions =
                    items.flat_map(|item| item.as_object().into_iter().flat_map(|item| item.keys()));
                actions
                    .map(|action| match action.as_str() {
                        "Put" => "dynamodb:PutItem",
                        "Update" => "dynamodb:UpdateItem",
                        "Delete" => "dynamodb:DeleteItem",
                        _ => "dynamodb:ConditionCheckItem",
                    })
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .map(|action| Self::new(function, action, "table"))
                    .collect()
            }
            _ => {
                let resource = match request["IndexName"].as_str() {
                    Some(index) => format!("index {index}"),
                    None => "table".to_owned(),
                };
                vec![Self::new(function, format!("dynamodb:{operation}"), resource)]
            }
        }
    }
}

/// What the roles in the template grant.
#[derive(Debug)]
pub struct Privileges(BTreeSet<Privilege>);

impl Privileges {
    /// Reads the template.
    ///
    /// # Panics
    /// If it grants something in a form that this does not know.
    pub fn granted() -> &'static Self {
        static GRANTED: OnceLock<Privileges> = OnceLock::new();
        GRANTED.get_or_init(|| {
            let template = template();
            let grants = functions().flat_map(|name| {
                let function = &template["Resources"][function_resource(name)];
                let policies = function["Properties"]["Policies"].as_array().unwrap().clone();
                let statements =
                    policies.into_iter().flat_map(|policy| policy["Statement"].as_array().unwrap().clone());
                statements.flat_map(move |statement| grants(name, &statement)).collect::<Vec<_>>()
            });
            Self(grants.collect())
        })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &BTreeSet<Privilege> {
        &self.0
    }

    /// Asserts that everything used is granted.
    ///
    /// # Panics
    /// If it is not: deployed, this call would be refused.
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

/// The names of all functions: those of the endpoints, and the one that a schedule calls.
pub fn functions() -> impl Iterator<Item = &'static str> {
    Endpoint::ALL.into_iter().map(Endpoint::name).chain([SWEEP_ORDERS])
}

/// The name of a function in the template: `generate` is `GenerateFunction`.
#[must_use]
pub fn function_resource(function: &str) -> String {
    let words = function.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect::<String>() + "Function"
}

fn grants(function: &str, statement: &Value) -> Vec<Privilege> {
    assert_eq!(statement["Effect"], "Allow");
    let resource = match statement["Resource"].to_string().as_str() {
        r#"{"Fn::GetAtt":["Table","Arn"]}"# => "table".to_owned(),
        r#"{"Fn::Sub":"${Table.Arn}/index/available"}"# => "index available".to_owned(),
        r#"{"Fn::Sub":"arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*"}"# => {
            // Any key of the account, but only those with the stack's tag, and only for what is signed here.
            let condition = statement["Condition"]["StringEquals"].as_object().unwrap();
            assert_eq!(condition["aws:ResourceTag/keypool"]["Ref"], "AWS::StackName");
            let text = |name: &str| condition[name].as_str().unwrap().to_owned();
            format!("key {} {}", text("kms:SigningAlgorithm"), text("kms:MessageType"))
        }
        other => panic!("{function}: what is {other}?"),
    };
    let actions = statement["Action"].as_array().unwrap().iter();
    actions.map(|action| Privilege::new(function, action.as_str().unwrap(), resource.as_str())).collect()
}
