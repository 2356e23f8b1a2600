//! Which table a command works on.

use crate::harness::{keypool, text};

#[test]
fn a_table_on_aws_that_cannot_be_reached_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = keypool(folder.path());
    command
        .args(["product", "list", "--table", "t", "--region", "eu-central-1"])
        .args(["--endpoint-url", "http://127.0.0.1:9"])
        .envs([
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: Query: DynamoDB is unavailable (connection failed)\nhelp: DynamoDB does not answer: check the network and the region (table t in eu-central-1), and try again\n"
    );
}

#[test]
fn without_credentials_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = keypool(folder.path());
    command
        .args(["product", "list", "--table", "t", "--region", "eu-central-1"])
        .envs([("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nonexistent")])
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_PROFILE");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with("error: no AWS credentials: set AWS_PROFILE, or"), "{said}");
}
