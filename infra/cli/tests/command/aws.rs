//! Handwritten responses to the command's calls to `CloudFormation`, STS, `CloudWatch` and Service Quotas.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Local, keypool};

/// Starts an HTTP server. `answer` turns the body of a request into status, headers and body of the response.
pub(crate) fn serve(answer: impl Fn(&str) -> (u16, String, String) + Send + 'static) -> String {
    serve_operations(move |_, body| {
        let (status, headers, body) = answer(body);
        (status, headers, body.into_bytes())
    })
}

/// Starts a server for services whose requests name their operation in the head. `answer` gets it as first
/// argument.
pub(crate) fn serve_operations(
    answer: impl Fn(&str, &str) -> (u16, String, Vec<u8>) + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // The thread ends with the test.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that is gone needs no response.
            let _ = exchange(stream, &answer);
        }
    });
    url
}

fn exchange(
    mut stream: TcpStream,
    answer: &impl Fn(&str, &str) -> (u16, String, Vec<u8>),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut length, mut operation) = (0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            // The client opened an unused connection, or is gone.
            return Ok(());
        }
        if line == "\r\n" {
            break;
        }
        // JSON requests have it in a header, `Logs_20140328.FilterLogEvents`, CBOR requests at the end of the
        // path.
        if let Some((_, path)) = line.split_once("/operation/") {
            path.split_whitespace().next().unwrap_or_default().clone_into(&mut operation);
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "x-amz-target" => {
                    value.rsplit('.').next().unwrap_or_default().trim().clone_into(&mut operation);
                }
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, headers, body) = answer(&operation, &String::from_utf8_lossy(&body));
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n")?;
    stream.write_all(&body)
}

/// The operator's identity in STS.
pub(crate) const OPERATOR: &str = "arn:aws:iam::123456789012:user/operator";

fn xml(status: u16, body: String) -> (u16, String, String) {
    (status, "content-type: text/xml\r\n".to_owned(), body)
}

fn error(status: u16, code: &str, message: &str) -> (u16, String, String) {
    xml(
        status,
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>1</RequestId></ErrorResponse>"
        ),
    )
}

fn stack(outputs: &[(&str, &str)]) -> (u16, String, String) {
    let outputs = outputs.iter().map(|(name, value)| {
        format!("<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>")
    });
    xml(
        200,
        format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>shop</StackName>\
             <StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-01-01T00:00:00Z</CreationTime>\
             <Outputs>{}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
            outputs.collect::<String>()
        ),
    )
}

/// The relevant resources of a stack: name, type and physical id.
const RESOURCES: [(&str, &str, &str); 7] = [
    ("SweepOrdersFunction", "AWS::Lambda::Function", "shop-sweep"),
    ("AssignLicenseKeyLog", "AWS::Logs::LogGroup", "shop-assign-log"),
    ("RandomAssignLicenseKeysLog", "AWS::Logs::LogGroup", "shop-random-log"),
    ("ProcessOrdersLog", "AWS::Logs::LogGroup", "shop-orders-log"),
    ("ReplaceLicenseKeyLog", "AWS::Logs::LogGroup", "shop-replace-log"),
    ("FailuresAlarm", "AWS::CloudWatch::Alarm", "shop-FailuresAlarm"),
    ("StockLowAlarm", "AWS::CloudWatch::Alarm", "shop-StockLowAlarm"),
];

/// Serves the resources on two pages.
fn resources(body: &str) -> (u16, String, String) {
    let (page, next) = if body.contains("NextToken") {
        (&RESOURCES[2..], "")
    } else {
        (&RESOURCES[..2], "<NextToken>2</NextToken>")
    };
    let members = page.iter().map(|(name, kind, id)| {
        format!(
            "<member><LogicalResourceId>{name}</LogicalResourceId><ResourceType>{kind}</ResourceType>\
             <PhysicalResourceId>{id}</PhysicalResourceId><ResourceStatus>CREATE_COMPLETE</ResourceStatus>\
             <LastUpdatedTimestamp>2026-01-01T00:00:00Z</LastUpdatedTimestamp></member>"
        )
    });
    let members = members.collect::<String>();
    xml(
        200,
        format!(
            "<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries>{members}\
             </StackResourceSummaries>{next}</ListStackResourcesResult></ListStackResourcesResponse>"
        ),
    )
}

/// Encodes a value as CBOR, the format of `CloudWatch`.
fn cbor(value: &Value) -> Vec<u8> {
    let head = |kind: u8, length: usize| {
        let length = u16::try_from(length).unwrap().to_be_bytes();
        vec![(kind << 5) | 0x19, length[0], length[1]]
    };
    match value {
        Value::String(text) => [head(3, text.len()), text.as_bytes().to_vec()].concat(),
        Value::Array(values) => [head(4, values.len()), values.iter().flat_map(cbor).collect()].concat(),
        Value::Object(members) => {
            let pairs = members.iter().flat_map(|(name, value)| [cbor(&name.as_str().into()), cbor(value)]);
            [head(5, members.len()), pairs.flatten().collect()].concat()
        }
        Value::Number(number) => [vec![0xfb], number.as_f64().unwrap().to_be_bytes().to_vec()].concat(),
        Value::Bool(_) | Value::Null => panic!("not needed: {value}"),
    }
}

/// The responses of `CloudWatch` and Service Quotas about the stack `shop`.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    /// The runs of the sweep in each minute, and its errors.
    pub(crate) runs: Vec<f64>,
    pub(crate) errors: Vec<f64>,
    /// The signatures in each minute.
    pub(crate) signatures: Vec<f64>,
    /// The raised alarms with their reasons.
    pub(crate) alarms: Vec<(&'static str, &'static str)>,
    /// The quotas. If `has_default_quotas` is set, they are AWS's defaults, and the account has none of its
    /// own.
    pub(crate) concurrency: f64,
    pub(crate) has_default_quotas: bool,
    pub(crate) rsa: f64,
    /// An operation that these credentials do not permit.
    pub(crate) forbidden: &'static str,
}

impl Default for Watch {
    /// A healthy stack in an account that is some weeks old.
    fn default() -> Self {
        Self {
            runs: vec![1.0; 14],
            errors: vec![0.0; 14],
            signatures: vec![60.0, 120.0],
            alarms: vec![],
            concurrency: 1_000.0,
            has_default_quotas: false,
            rsa: 1_000.0,
            forbidden: "",
        }
    }
}

impl Watch {
    /// Starts the server.
    fn start(self) -> String {
        serve_operations(move |operation, body| self.answer(operation, body))
    }

    fn answer(&self, operation: &str, body: &str) -> (u16, String, Vec<u8>) {
        let is_cbor = ["GetMetricData", "DescribeAlarms"].contains(&operation);
        let (status, value) = match operation {
            _ if operation == self.forbidden => (400, json!({"__type": "AccessDeniedException"})),
            "GetMetricData" => {
                let (name, values) = match () {
                    () if body.contains("Invocations") && body.contains("shop-sweep") => ("a", &self.runs),
                    () if body.contains("Errors") && body.contains("shop-sweep") => ("b", &self.errors),
                    () if body.contains("CryptographicOperationsRsa") => ("c", &self.signatures),
                    () => panic!("another metric: {body}"),
                };
                (200, json!({"MetricDataResults": [{"Id": name, "Values": values}]}))
            }
            "DescribeAlarms" => {
                let asked = self.alarms.iter().filter(|(name, _)| body.contains(name));
                let alarms: Vec<Value> = asked
                    .map(|(name, why)| json!({"AlarmName": name, "StateReason": why, "StateValue": "ALARM"}))
                    .collect();
                (200, json!({"MetricAlarms": alarms}))
            }
            "GetServiceQuota" if self.has_default_quotas => {
                (400, json!({"__type": "NoSuchResourceException"}))
            }
            "GetServiceQuota" | "GetAWSDefaultServiceQuota" => {
                let value = match () {
                    () if body.contains("L-B99A9384") && body.contains("lambda") => self.concurrency,
                    () if body.contains("L-2AC98190") && body.contains("kms") => self.rsa,
                    () => panic!("another quota: {body}"),
                };
                (200, json!({"Quota": {"Value": value}}))
            }
            other => panic!("{other}: {body}"),
        };
        if is_cbor {
            let headers = "content-type: application/cbor\r\nsmithy-protocol: rpc-v2-cbor\r\n";
            (status, headers.to_owned(), cbor(&value))
        } else {
            (
                status,
                "content-type: application/x-amz-json-1.1\r\n".to_owned(),
                value.to_string().into_bytes(),
            )
        }
    }
}

/// An account with the stack `shop`, which uses DynamoDB and KMS of a local stack.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) query_url: String,
    /// The number of calls of STS and `CloudFormation`.
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) dynamodb: String,
    pub(crate) kms: String,
    /// `CloudWatch` and Service Quotas.
    pub(crate) watch: String,
    /// `CloudWatch` Logs.
    pub(crate) logs: String,
}

impl Account {
    pub(crate) fn of(local: &Local, folder: &Path) -> Self {
        let endpoints = std::fs::read_to_string(folder.join(".keypool/endpoints.json")).unwrap();
        let endpoints: Value = serde_json::from_str(&endpoints).unwrap();
        let address = |name: &str| endpoints[name].as_str().unwrap().to_owned();
        let base_url = local.base_url.clone();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let query_url = serve(move |body| {
            count.fetch_add(1, Ordering::Relaxed);
            let is_of = |stack: &str| body.contains(&format!("StackName={stack}&")) || body.ends_with(stack);
            let shop = |api: &str| {
                stack(&[
                    ("ApiUrl", api),
                    ("TableName", "keypool"),
                    ("SigningKeyArn", "alias/keypool"),
                    ("KeyTag", "shop"),
                ])
            };
            if body.contains("Action=GetCallerIdentity") {
                return xml(
                    200,
                    format!(
                        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{OPERATOR}</Arn>\
                         <UserId>1</UserId><Account>123456789012</Account></GetCallerIdentityResult>\
                         </GetCallerIdentityResponse>"
                    ),
                );
            }
            match () {
                () if body.contains("Action=ListStackResources") && is_of("forbidden-resources") => {
                    error(403, "AccessDenied", "User is not authorized to do that")
                }
                () if body.contains("Action=ListStackResources") => resources(body),
                () if is_of("forbidden-resources") => shop(&base_url),
                () if is_of("shop") => shop(&base_url),
                () if is_of("deaf") => shop("http://127.0.0.1:9"),
                () if is_of("website") => stack(&[("WebsiteUrl", "https://example.com")]),
                () if is_of("forbidden") => error(403, "AccessDenied", "User is not authorized to do that"),
                () if is_of("late") => error(403, "ExpiredToken", "The security token has expired"),
                () if is_of("stranger") => error(403, "InvalidClientTokenId", "The token is invalid"),
                () => error(400, "ValidationError", "Stack with id nope does not exist"),
            }
        });
        let watch = Watch::default().start();
        let logs = "http://127.0.0.1:9".to_owned();
        Self { query_url, asked, dynamodb: address("dynamodb"), kms: address("kms"), watch, logs }
    }

    /// The same account with other responses of `CloudWatch` and Service Quotas.
    pub(crate) fn watched(&self, watch: Watch) -> Self {
        Self { watch: watch.start(), ..self.clone() }
    }

    /// Builds the command for this account.
    pub(crate) fn keypool(&self, folder: &Path) -> Command {
        let mut command = keypool(folder);
        command.stdin(std::process::Stdio::null());
        command
            .env_remove("AWS_PROFILE")
            .env_remove("KEYPOOL_API_KEY")
            .env_remove("KEYPOOL_SIGNING_KEY")
            .envs([
                ("HOME", "/nonexistent"),
                ("AWS_ACCESS_KEY_ID", "x"),
                ("AWS_SECRET_ACCESS_KEY", "x"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("AWS_REGION", "eu-central-1"),
                // For STS and CloudFormation; the other services have their own.
                ("AWS_ENDPOINT_URL", &self.query_url),
                ("AWS_ENDPOINT_URL_CLOUDWATCH", &self.watch),
                ("AWS_ENDPOINT_URL_SERVICE_QUOTAS", &self.watch),
                ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", &self.logs),
                ("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb),
                ("AWS_ENDPOINT_URL_KMS", &self.kms),
            ]);
        command
    }
}
