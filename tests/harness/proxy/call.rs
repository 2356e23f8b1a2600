use axum::http::HeaderMap;
use serde_json::Value;

/// One call of an AWS operation, as it passed a [`Proxy`](crate::Proxy).
#[derive(Debug, Clone, PartialEq)]
pub struct AwsCall {
    /// The operation, like `UpdateItem`; `QueryLine` for a query for the orders that wait for a product,
    /// `UpdateLimit` and `GetLimit` for the count of an API key.
    pub operation: String,
    /// The capacity units that DynamoDB says it took from the table.
    pub table_units: f64,
    /// The capacity units that DynamoDB says it took from the index.
    pub index_units: f64,
    /// How many other calls were under way when this one began.
    pub overlapping: usize,
}

/// Who calls: a function, in an environment if it says so. Clients tell by the path of their endpoint's URL:
/// `/generate` or `/generate/7`.
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

    /// Whether its calls need a role's privileges.
    pub(crate) fn has_role(&self) -> bool {
        !self.function.is_empty() && self.function != "gateway"
    }
}

/// The name of a query for the orders that wait for a product.
const QUERY_LINE: &str = "QueryLine";

/// The names of a count towards the limit of an API key, and of a read of it.
const UPDATE_LIMIT: &str = "UpdateLimit";
const GET_LIMIT: &str = "GetLimit";

/// A call on its way to the service.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) operation: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The body as it is passed on: with its members in the order they came, which matters to a `ClientRequestToken`.
    pub(crate) text: String,
}

impl Request {
    /// A call with the body `text`. The look at the orders that wait for a product, and the count of an API key, go by
    /// names of their own, so that a test that disturbs draws or sales leaves them alone.
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

    /// The same call with another body.
    pub(crate) fn with_body(&self, body: Value) -> Self {
        Self { text: body.to_string(), body, ..self.clone() }
    }

    /// Has DynamoDB say what units it took, where it can.
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
            // Nobody else asks for them, so the member is not there yet.
            self.text.insert_str(1, r#""ReturnConsumedCapacity":"INDEXES","#);
        }
    }

    /// Whether it asks the index for keys in stock.
    pub(crate) fn reads_index(&self) -> bool {
        self.operation == "Query" && self.body.get("IndexName").is_some()
    }

    /// Whether it is a read whose answer may be an older one.
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

/// Units of the table and of its indexes, added up over what one answer reports.
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
