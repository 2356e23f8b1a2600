//! Rules of DynamoDB that the emulator does not enforce. `tests/conformance.rs` lists these rules and those
//! that it enforces.
//!
//! They apply to keypool's table, and know it by the names of its key attributes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The time for which DynamoDB remembers the `ClientRequestToken` of a transaction (API Reference,
/// `TransactWriteItems`).
const TOKEN_REMEMBERED_FOR: Duration = Duration::from_mins(10);

const INVALID: &str = "ValidationException";

/// An error of DynamoDB: its name and its message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) error: &'static str,
    pub(super) message: String,
}

impl Refusal {
    fn invalid(message: impl Into<String>) -> Self {
        Self { error: INVALID, message: message.into() }
    }
}

/// The rules, and the recent transactions.
#[derive(Debug, Default)]
pub(super) struct Rules {
    transactions: Mutex<HashMap<String, (Instant, String)>>,
}

impl Rules {
    /// Checks a request. Leaves an unreadable request to the emulator, which refuses it.
    pub(super) fn check(&self, operation: &str, body: &[u8]) -> Result<(), Refusal> {
        if operation == "TransactWriteItems" {
            self.check_token(body)?;
        }
        let Ok(request) = serde_json::from_slice::<Value>(body) else { return Ok(()) };
        match operation {
            "Query" => check_compared(&request, "KeyConditionExpression"),
            "UpdateItem" => check_compared(&request, "UpdateExpression"),
            "PutItem" => check_item(&request["Item"]),
            "TransactWriteItems" => list(&request["TransactItems"]).try_for_each(|write| {
                check_item(&write["Put"]["Item"])?;
                check_compared(&write["Update"], "UpdateExpression")
            }),
            "BatchWriteItem" => {
                let tables = request["RequestItems"].as_object().into_iter().flatten();
                let mut writes = tables.flat_map(|(_, writes)| list(writes));
                writes.try_for_each(|write| check_item(&write["PutRequest"]["Item"]))
            }
            _ => Ok(()),
        }
    }

    /// Checks that a token belongs to one transaction, byte for byte. The emulator accepts a transaction
    /// whose members have another order.
    fn check_token(&self, body: &[u8]) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Transaction<'a> {
            client_request_token: Option<String>,
            #[serde(borrow)]
            transact_items: &'a RawValue,
        }
        let Ok(sent) = serde_json::from_slice::<Transaction<'_>>(body) else { return Ok(()) };
        let Some(token) = sent.client_request_token else { return Ok(()) };
        let mut seen = self.transactions.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, (at, _)| at.elapsed() < TOKEN_REMEMBERED_FOR);
        let writes = sent.transact_items.get();
        match seen.get(&token) {
            Some((_, before)) if before != writes => Err(Refusal {
                error: "IdempotentParameterMismatchException",
                message: "The request uses the same client token as a previous, but non-identical request."
                    .to_owned(),
            }),
            Some(_) => Ok(()),
            None => {
                seen.insert(token, (Instant::now(), writes.to_owned()));
                Ok(())
            }
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The size of the largest value of a key attribute, in bytes, and DynamoDB's message about a larger one.
/// (Developer Guide, "Constraints in Amazon DynamoDB", Partition key length and Sort key length.)
fn key_limit(attribute: &str) -> Option<(usize, &'static str)> {
    const HASH: &str = "One or more parameter values were invalid: Size of hashkey has exceeded the maximum \
                        size limit of2048 bytes";
    const RANGE: &str = "One or more parameter values were invalid: Aggregated size of all range keys has \
                         exceeded the size limit of 1024 bytes";
    match attribute {
        "pk" | "stock" => Some((2_048, HASH)),
        "sk" | "draw" => Some((1_024, RANGE)),
        _ => None,
    }
}

/// Checks that a value of a key attribute is neither empty nor too long.
fn check_key_value(attribute: &str, value: &Value) -> Result<(), Refusal> {
    let (Some((bytes_max, too_long)), Some(text)) = (key_limit(attribute), value["S"].as_str()) else {
        return Ok(());
    };
    if text.is_empty() {
        return Err(Refusal::invalid(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
             empty string value. Key: {attribute}"
        )));
    }
    if text.len() > bytes_max {
        return Err(Refusal::invalid(too_long));
    }
    Ok(())
}

fn check_item(item: &Value) -> Result<(), Refusal> {
    let mut attributes = item.as_object().into_iter().flatten();
    attributes.try_for_each(|(name, value)| check_key_value(name, value))
}

/// Checks each value that an expression compares with a key attribute, or sets one to.
fn check_compared(request: &Value, expression: &str) -> Result<(), Refusal> {
    let Some(expression) = request[expression].as_str() else { return Ok(()) };
    let is_part_of_a_token = |c: char| c.is_ascii_alphanumeric() || "_#:".contains(c);
    let mut attribute = "";
    for token in expression.split(|c| !is_part_of_a_token(c)).filter(|token| !token.is_empty()) {
        if token.starts_with(':') {
            check_key_value(attribute, &request["ExpressionAttributeValues"][token])?;
        } else if token.starts_with('#') {
            attribute = request["ExpressionAttributeNames"][token].as_str().unwrap_or_default();
        } else if key_limit(token).is_some() {
            attribute = token;
        }
    }
    Ok(())
}
