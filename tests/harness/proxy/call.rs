use axum::http::HeaderMap;
use serde_json::Value;

/// A call of an AWS operation through a [`Proxy`](crate::Proxy).
#[derive(Debug, Clone, PartialEq)]
pub struct AwsCall {
    /// The operation, like `UpdateItem`. A query for the waiting orders of a product is `QueryLine`.
    /// `UpdateLimit` and `GetLimit` access the count of an API key.
    pub operation: String,
    /// The capacity units of the table, as DynamoDB reports them.
    pub table_units: f64,
    /// The capacity units of the index, as DynamoDB reports them.
    pub index_units: f64,
    /// The number of other calls under way at the start of this one.
    pub overlapping: usize,
}

/// The caller: a function, and its environment if known. Clients encode both in the path of their endpoint's
/// URL: `/generate` or `/generate/7`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) function: String,
    pub(crate) environment: Option<u32>,
}

impl Caller {
    pub(crate) fn of_path(path: &str) -> Self {
        let mut parts = path.trim_matches('/').split('/');
        let function = parts.next().unwrap_or_default().to_owned();
        Self { function, environment: parts.next().and_then(|number| number.parse().ok()) }
    }

    /// True if its calls need a role's privileges.
    pub(crate) fn has_role(&self) -> bool {
        !self.function.is_empty() && self.function != "gateway"
    }
}

/// The name of a query for the waiting orders of a product.
const QUERY_LINE: &str = "QueryLine";

/// The names of the update and the read of an API key's count.
const UPDATE_LIMIT: &str = "UpdateLimit";
const GET_LIMIT: &str = "GetLimit";

/// A call on its way to the service.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) operation: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The body as forwarded, with its members in their original order, because a `ClientRequestToken`
    /// depends on it.
    pub(crate) text: String,
}

impl Request {
    /// Makes a call with the body `text`. The query of a line and the count of an API key get names of their
    /// own. So a test can disturb draws or sales without them.
    pub(crate) fn new(operation: String, headers: HeaderMap, text: String) -> Self {
        let body: Value = serde_json::from_str(&text).unwrap();
        let hash = body["ExpressionAttributeValues"][":hash"]["S"].as_str();
        let is_line = operation == "Query" && hash.is_some_and(|hash| hash.starts_with("WAITING#"));
        let is_limit = body["Key"]["pk"]["S"].as_str().is_some_and(|key| key.starts_with("LIMIT#"));
        let operation = match operation.as_str() {
            _ if is_line => QUERY_LINE.to_owned(),
            "UpdateItem" if is_limit => UPDATE_LIMIT.to_owned(),
            "GetItem" if is_limit => GET_LIMIT.to_owned(),
            _ => operation,
        };
        Self { operation, headers, body, text }
    }

    /// Returns the same call with another body.
    pub(crate) fn with_body(&self, body: Value) -> Self {
        Self { text: body.to_string(), body, ..self.clone() }
    }

    /// Makes DynamoDB report the capacity units, where it can.
    pub(crate) fn ask_for_units(&mut self) {
        let target = self.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let takes_units = matches!(
            self.operation.as_str(),
            "GetItem"
                | "BatchGetItem"
                | "TransactGetItems"
                | "Query"
                | QUERY_LINE
                | UPDATE_LIMIT
                | GET_LIMIT
                | "Scan"
                | "PutItem"
                | "UpdateItem"
                | "DeleteItem"
                | "BatchWriteItem"
                | "TransactWriteItems"
                | "BatchExecuteStatement"
        );
        if takes_units && target.is_some_and(|target| target.starts_with("DynamoDB")) {
            // The SDK never asks for units, so the body does not have the member yet.
            self.text.insert_str(1, r#""ReturnConsumedCapacity":"INDEXES","#);
        }
    }

    /// True if the call queries the index for keys in stock.
    pub(crate) fn reads_index(&self) -> bool {
        self.operation == "Query" && self.body.get("IndexName").is_some()
    }

    /// True if the call is a read whose response may be stale.
    pub(crate) fn may_be_stale(&self) -> bool {
        let is_consistent = |read: &Value| read["ConsistentRead"] == true;
        match self.operation.as_str() {
            "GetItem" | "Query" | QUERY_LINE => !is_consistent(&self.body),
            "BatchGetItem" => {
                let mut tables = self.body["RequestItems"].as_object().into_iter().flatten();
                !tables.any(|(_, read)| is_consistent(read))
            }
            _ => false,
        }
    }
}

/// Sums the units of the table and its indexes in one response.
pub(crate) fn consumed(report: &Value) -> (f64, f64) {
    match report {
        Value::Array(reports) => reports.iter().map(consumed).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1)),
        Value::Object(_) => {
            let units = |value: &Value| value["CapacityUnits"].as_f64().unwrap_or(0.0);
            let indexes = report["GlobalSecondaryIndexes"].as_object();
            (units(&report["Table"]), indexes.into_iter().flatten().map(|(_, index)| units(index)).sum())
        }
        _ => (0.0, 0.0),
    }
}
