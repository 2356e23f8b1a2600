use anyhow::{Context as _, bail};
use keypool_domain::SigningKeyId;

use super::aws::{Aws, in_words};

/// The outputs of a deployed stack.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) table: String,
    pub(super) signing_key: Option<SigningKeyId>,
    pub(super) base_url: Option<String>,
    pub(super) key_tag: Option<String>,
}

impl Outputs {
    /// Asks `CloudFormation` for the outputs of a stack, which `infra/template.yaml` names.
    pub(super) async fn of(aws: &Aws, stack: &str) -> anyhow::Result<Self> {
        let client = aws_sdk_cloudformation::Client::new(aws.config());
        let described = match client.describe_stacks().stack_name(stack).send().await {
            Ok(described) => described,
            // CloudFormation's code for a missing stack.
            Err(error)
                if error
                    .as_service_error()
                    .and_then(aws_sdk_cloudformation::error::ProvideErrorMetadata::code)
                    == Some("ValidationError") =>
            {
                bail!(
                    "there is no stack {stack} in {}: `aws cloudformation list-stacks` lists the stacks",
                    aws.region()
                )
            }
            Err(error) => return Err(in_words("cloudformation:DescribeStacks", &error)),
        };
        let found = described.stacks().first().with_context(|| format!("there is no stack {stack}"))?;
        let output = |name: &str| {
            let outputs = found.outputs().iter();
            let mut named = outputs.filter(|output| output.output_key() == Some(name));
            named.next().and_then(|output| output.output_value()).map(str::to_owned)
        };
        let Some(table) = output("TableName") else {
            bail!("the stack {stack} is not a keypool stack: it has no output TableName")
        };
        let signing_key = output("SigningKeyArn").map(|arn| arn.parse()).transpose();
        Ok(Self {
            table,
            signing_key: signing_key.context("the stack's output SigningKeyArn is not a key's ARN")?,
            base_url: output("ApiUrl"),
            key_tag: output("KeyTag"),
        })
    }
}
