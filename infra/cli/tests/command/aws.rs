//! What the command asks of `CloudFormation` and STS, made by hand.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::harness::{Local, keypool};

/// An HTTP server that answers every request by what `answer` makes of its body: status, headers and body.
pub(crate) fn serve(answer: impl Fn(&str) -> (u16, String, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the test.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who has gone away needs no answer.
            let _ = exchange(stream, &answer);
        }
    });
    url
}

fn exchange(mut stream: TcpStream, answer: &impl Fn(&str) -> (u16, String, String)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, headers, body) = answer(&String::from_utf8_lossy(&body));
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// Who the operator is, by STS.
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

/// An account with a stack `shop`, whose DynamoDB and KMS are those of a local stack.
pub(crate) struct Account {
    pub(crate) query_url: String,
    pub(crate) dynamodb: String,
    pub(crate) kms: String,
}

impl Account {
    pub(crate) fn of(local: &Local, folder: &Path) -> Self {
        let endpoints = std::fs::read_to_string(folder.join(".keypool/endpoints.json")).unwrap();
        let endpoints: Value = serde_json::from_str(&endpoints).unwrap();
        let address = |name: &str| endpoints[name].as_str().unwrap().to_owned();
        let base_url = local.base_url.clone();
        let query_url = serve(move |body| {
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
                () if is_of("shop") => shop(&base_url),
                () if is_of("deaf") => shop("http://127.0.0.1:9"),
                () if is_of("website") => stack(&[("WebsiteUrl", "https://example.com")]),
                () if is_of("forbidden") => error(403, "AccessDenied", "User is not authorized to do that"),
                () if is_of("late") => error(403, "ExpiredToken", "The security token has expired"),
                () if is_of("stranger") => error(403, "InvalidClientTokenId", "The token is invalid"),
                () => error(400, "ValidationError", "Stack with id nope does not exist"),
            }
        });
        Self { query_url, dynamodb: address("dynamodb"), kms: address("kms") }
    }

    /// The command, in this account.
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
                ("AWS_ENDPOINT_URL_CLOUDFORMATION", &self.query_url),
                ("AWS_ENDPOINT_URL_STS", &self.query_url),
                ("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb),
                ("AWS_ENDPOINT_URL_KMS", &self.kms),
            ]);
        command
    }
}
