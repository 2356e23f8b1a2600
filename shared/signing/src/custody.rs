//! The operator's part of KMS: makes keys, tests that they sign, and reads their public halves.

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeySpec, KeyUsageType, SigningAlgorithmSpec, Tag};
use keypool_aws::{AwsErrorKind, FailedCall, Service};
use keypool_domain::SigningKeyId;

use crate::signer::{failed, without_answer};
use crate::{PublicKey, Signer};

/// A signing key as KMS knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its ARN, even if it was looked up by an alias, which may name another key tomorrow.
    pub arn: SigningKeyId,
    /// Its public half.
    pub public_key: PublicKey,
}

impl Signer {
    /// The tag that names the stack whose functions may use a key.
    pub const TAG: &str = "keypool";

    /// Reads the public half of `key`, which must be one that can sign responses.
    pub async fn public_key(&self, key: &SigningKeyId) -> Result<PublicKey, FailedCall> {
        Ok(self.signing_key(key).await?.public_key)
    }

    /// Finds the key that `key` names, which must be one that can sign responses.
    pub async fn signing_key(&self, key: &SigningKeyId) -> Result<SigningKey, FailedCall> {
        const OPERATION: &str = "GetPublicKey";
        let output = self
            .client
            .get_public_key()
            .key_id(key.as_str())
            .send()
            .await
            .map_err(|error| Service::Kms.failed(OPERATION, &error))?;
        if !output.signing_algorithms().contains(&SigningAlgorithmSpec::RsassaPkcs1V15Sha256) {
            let code = "the key cannot sign by RSASSA_PKCS1_V1_5_SHA_256";
            return Err(failed(AwsErrorKind::Misconfigured, OPERATION, code));
        }
        let arn = output.key_id.and_then(|arn| arn.parse().ok());
        let public_key = output.public_key.map(Blob::into_inner).map(PublicKey::from_der);
        match (arn, public_key) {
            (Some(arn), Some(Ok(public_key))) => Ok(SigningKey { arn, public_key }),
            _ => Err(without_answer(OPERATION)),
        }
    }

    /// Finds a key like [`Signer::signing_key`], and tests that it signs, with a text that is not a response.
    pub async fn signing_key_at_work(&self, key: &SigningKeyId) -> Result<SigningKey, FailedCall> {
        const MESSAGE: &[u8] = b"is this key fit for use?";
        let found = self.signing_key(key).await?;
        let signature = self.sign(&found.arn, MESSAGE).await?;
        if found.public_key.verifies(MESSAGE, &signature) { Ok(found) } else { Err(without_answer("Sign")) }
    }

    /// Makes an RSA-2048 signing key in KMS and returns its id.
    pub async fn create_key(&self, description: &str) -> Result<SigningKeyId, FailedCall> {
        self.create_key_for(description, None).await
    }

    /// Makes a key for the functions of one stack: it carries the tag [`Signer::TAG`] with that value.
    pub async fn create_key_for(
        &self,
        description: &str,
        stack: Option<&str>,
    ) -> Result<SigningKeyId, FailedCall> {
        const OPERATION: &str = "CreateKey";
        let tag = stack.map(|stack| Tag::builder().tag_key(Self::TAG).tag_value(stack).build());
        let unbuilt = || failed(AwsErrorKind::Rejected, OPERATION, "request not built");
        let tag = tag.transpose().map_err(|_| unbuilt())?;
        let output = self
            .client
            .create_key()
            .description(description)
            .key_spec(KeySpec::Rsa2048)
            .key_usage(KeyUsageType::SignVerify)
            .set_tags(tag.map(|tag| vec![tag]))
            .send()
            .await
            .map_err(|error| Service::Kms.failed(OPERATION, &error))?;
        let id = output.key_metadata.and_then(|metadata| metadata.key_id.parse().ok());
        id.ok_or_else(|| without_answer(OPERATION))
    }

    /// Reads the stack whose functions may use a key: the value of its tag [`Signer::TAG`], if it has one.
    /// `arn` must not be an alias.
    pub async fn stack_of(&self, arn: &SigningKeyId) -> Result<Option<String>, FailedCall> {
        let sent = self.client.list_resource_tags().key_id(arn.as_str()).send().await;
        let output = sent.map_err(|error| Service::Kms.failed("ListResourceTags", &error))?;
        let tag = output.tags().iter().find(|tag| tag.tag_key() == Self::TAG);
        Ok(tag.map(|tag| tag.tag_value().to_owned()))
    }
}
