use aws_sdk_kms::operation::create_alias::CreateAliasError;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use keypool_aws::{AwsErrorKind, FailedCall, Service};
use keypool_domain::{Envelope, PrivateKeyUsed, SignablePayload, SigningKeyId};
use sha2::{Digest, Sha256};

/// The raw bytes of a signature: 256 for RSA-2048.
pub type Signature = Vec<u8>;

/// Signs responses.
#[derive(Debug, Clone)]
pub struct Signer {
    pub(crate) client: aws_sdk_kms::Client,
    global_key: Option<SigningKeyId>,
}

impl Signer {
    /// Makes a signer that uses `global_key` for products without their own key.
    #[must_use]
    pub fn new(client: aws_sdk_kms::Client, global_key: Option<SigningKeyId>) -> Self {
        Self { client, global_key }
    }

    /// Signs `payload` with the product's key, else the global key. If there is neither, the signature is
    /// `Private key not set`, without a call of KMS.
    pub async fn sign_reply(
        &self,
        payload: SignablePayload,
        product_key: Option<&SigningKeyId>,
    ) -> Result<Envelope, FailedCall> {
        match self.key_for(product_key) {
            Some((key, private_key_used)) => {
                let signature = self.sign(key, payload.signed_text().as_bytes()).await?;
                Ok(payload.into_envelope(private_key_used, Some(&signature)))
            }
            None => Ok(payload.into_envelope(PrivateKeyUsed::Global, None)),
        }
    }

    /// The key that signs for a product: its own, else the global key, if there is one.
    #[must_use]
    pub fn key_for<'a>(
        &'a self,
        product_key: Option<&'a SigningKeyId>,
    ) -> Option<(&'a SigningKeyId, PrivateKeyUsed)> {
        match product_key {
            Some(key) => Some((key, PrivateKeyUsed::Product)),
            None => self.global_key.as_ref().map(|key| (key, PrivateKeyUsed::Global)),
        }
    }

    /// Signs `message` by RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2).
    ///
    /// Makes the digest here, because KMS accepts messages of 4,096 bytes at most, and seven license keys are
    /// longer.
    pub async fn sign(&self, key: &SigningKeyId, message: &[u8]) -> Result<Signature, FailedCall> {
        const OPERATION: &str = "Sign";
        let output = self
            .client
            .sign()
            .key_id(key.as_str())
            .message(Blob::new(Sha256::digest(message).as_slice()))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::RsassaPkcs1V15Sha256)
            .send()
            .await
            .map_err(|error| Service::Kms.failed(OPERATION, &error))?;
        output.signature.map(Blob::into_inner).ok_or_else(|| without_answer(OPERATION))
    }

    /// Opens the connection to KMS by signing a text that is not a response. Does nothing without a global
    /// key.
    pub async fn warm_up(&self) -> Result<(), FailedCall> {
        match &self.global_key {
            Some(key) => self.sign(key, b"warm-up").await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Makes sure that `alias` names a signing key. Makes one if there is no such alias.
    pub async fn ensure_alias(&self, alias: &SigningKeyId, description: &str) -> Result<(), FailedCall> {
        const OPERATION: &str = "CreateAlias";
        match self.public_key(alias).await {
            Ok(_) => return Ok(()),
            Err(error) if error.code == "NotFoundException" => {}
            Err(error) => return Err(error),
        }
        let key = self.create_key(description).await?;
        let created =
            self.client.create_alias().alias_name(alias.as_str()).target_key_id(key.as_str()).send();
        match created.await {
            Ok(_) => Ok(()),
            // Another caller was quicker. The alias then exists, and must name a key.
            Err(error)
                if error.as_service_error().is_some_and(CreateAliasError::is_already_exists_exception) =>
            {
                self.public_key(alias).await.map(|_| ())
            }
            Err(error) => Err(Service::Kms.failed(OPERATION, &error)),
        }
    }
}

pub(crate) fn failed(kind: AwsErrorKind, operation: &'static str, code: &str) -> FailedCall {
    FailedCall { service: Service::Kms, operation, kind, code: code.to_owned() }
}

pub(crate) fn without_answer(operation: &'static str) -> FailedCall {
    failed(AwsErrorKind::Rejected, operation, "incomplete answer")
}
