//! A stack on AWS, as far as that can be had here: `CloudFormation` and STS answer as they would, and DynamoDB and KMS are the
//! embedded ones.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;

use crate::harness::{Local, json, keypool, ok, run, text};

const STACK: &str = "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
    <DescribeStacksResult><Stacks><member><StackName>shop</StackName>\
    <CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>\
    <member><OutputKey>TableName</OutputKey><OutputValue>keypool</OutputValue></member>\
    <member><OutputKey>SigningKeyArn</OutputKey>\
    <OutputValue>arn:aws:kms:eu-central-1:000000000000:alias/keypool</OutputValue></member>\
    <member><OutputKey>KeyTag</OutputKey><OutputValue>shop</OutputValue></member>\
    </Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>";

const IDENTITY: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/operator/ada</Arn>\
    </GetCallerIdentityResult></GetCallerIdentityResponse>";

/// Answers one call to `CloudFormation` or STS.
fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let xml = if text(&body).contains("Action=DescribeStacks") { STACK } else { IDENTITY };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\nconnection: close";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{xml}", xml.len()).unwrap();
}

/// Where `CloudFormation` and STS are. The thread ends with the test.
fn aws() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap())));
    url
}

/// Runs a command on the stack.
fn on_stack(folder: &Path, aws: &str, arguments: &[&str]) -> Output {
    let endpoints = json(&std::fs::read_to_string(folder.join(".keypool/endpoints.json")).unwrap());
    let mut command = keypool(folder);
    command
        .args(["--stack", "shop", "--region", "eu-central-1"])
        .args(arguments)
        .env("AWS_ENDPOINT_URL", aws)
        .env("AWS_ENDPOINT_URL_DYNAMODB", endpoints["dynamodb"].as_str().unwrap())
        .env("AWS_ENDPOINT_URL_KMS", endpoints["kms"].as_str().unwrap())
        .envs([
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
    command.output().unwrap()
}

#[tokio::test]
async fn a_key_gets_the_tag_of_the_stack_and_one_without_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let local = Local::start(path, &["--port", "0"]);
    let aws = aws();
    let made = on_stack(path, &aws, &["signing-key", "create", "--product", "1", "--json"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let key = json(&text(&made.stdout))["signing_key"].as_str().unwrap().to_owned();
    let rotated = on_stack(path, &aws, &["signing-key", "rotate", "--product", "1"]);
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    // The former key is the stack's still.
    let back = on_stack(path, &aws, &["signing-key", "use", &key, "--product", "1"]);
    assert!(back.status.success(), "{}", text(&back.stderr));

    let untagged = text(&run(path, &["signing-key", "create"]).stdout).trim().to_owned();
    for arguments in [
        &["signing-key", "use", &untagged, "--product", "1"][..],
        &["product", "update", "1", "--signing-key", &untagged],
        &["product", "create", "--name", "x", "--signing-key", &untagged],
    ] {
        let refused = on_stack(path, &aws, arguments);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("lacks the tag by which the stack's functions may use it"), "{said}");
        assert!(said.contains(&format!("key/{untagged} --tags TagKey=keypool,TagValue=shop")), "{said}");
    }

    let trail = ok(path, &["audit", "--action", "signing-key", "--json"]);
    let who: Vec<_> =
        trail.lines().map(|line| json(line)["principal"].as_str().unwrap().to_owned()).collect();
    let ada = "arn:aws:sts::123456789012:assumed-role/operator/ada";
    assert_eq!(who.len(), 4, "{trail}");
    assert!(who[0].starts_with("local:") && who[1..].iter().all(|who| who == ada), "{trail}");
    let shown = on_stack(path, &aws, &["audit", "--action", "rotate"]);
    assert!(
        text(&shown.stdout).contains("  operator/ada  signing-key.rotate  product 1"),
        "{}",
        text(&shown.stdout)
    );
    local.stop();
}
