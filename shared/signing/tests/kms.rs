//! Signing against the embedded KMS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use keypool_aws::{AwsErrorKind, FailedCall, Timeouts};
use keypool_domain::{PrivateKeyUsed, Reply, SignablePayload, SigningKeyId, Timestamp};
use keypool_local::Services;
use keypool_signing::{InvalidEnvelope, InvalidPublicKey, PublicKey, SignedEnvelope, Signer};

struct Kms {
    client: keypool_aws::Clients,
    services: Services,
}

impl Kms {
    async fn new() -> Self {
        let services = Services::start(None).await.unwrap();
        let settings = Services::settings(services.dynamodb_url(), services.kms_url());
        Self { client: settings.clients(Timeouts::CHECKOUT), services }
    }

    fn signer(&self, global_key: Option<SigningKeyId>) -> Signer {
        Signer::new(self.client.kms.clone(), global_key)
    }
}

fn payload() -> SignablePayload {
    SignablePayload::new(&Reply::LicenseKeyAssigned, Timestamp::from_unix_microseconds(0).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_verifies_by_its_key_and_never_changes() {
    let kms = Kms::new().await;
    let signer = kms.signer(None);
    let (key, other) = (signer.create_key("one").await.unwrap(), signer.create_key("two").await.unwrap());
    for length in [0, 1, 4_096, 4_097, 100_000] {
        let message = vec![b'x'; length];
        let signature = signer.sign(&key, &message).await.unwrap();
        assert_eq!(signature.len(), 256);
        assert_eq!(signer.sign(&key, &message).await.unwrap(), signature, "PKCS #1 v1.5 is deterministic");
        assert!(signer.public_key(&key).await.unwrap().verifies(&message, &signature));
        assert!(!signer.public_key(&other).await.unwrap().verifies(&message, &signature));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_products_key_takes_precedence_over_the_global_key() {
    let kms = Kms::new().await;
    let product = kms.signer(None).create_key("product").await.unwrap();
    let global = kms.signer(None).create_key("global").await.unwrap();
    let signer = kms.signer(Some(global.clone()));
    for (product_key, signs, used) in
        [(Some(&product), &product, "\"product\""), (None, &global, "\"global\"")]
    {
        let json = signer.sign_reply(payload(), product_key).await.unwrap().to_json();
        assert!(json.contains(&format!("\"private_key_used\":{used}")));
        let key = signer.public_key(signs).await.unwrap();
        assert!(SignedEnvelope::from_json(&json).unwrap().verify(&key).is_ok());
    }
    let unsigned = kms.signer(None).sign_reply(payload(), None).await.unwrap().to_json();
    let key = signer.public_key(&global).await.unwrap();
    assert_eq!(SignedEnvelope::from_json(&unsigned).unwrap().verify(&key), Err(InvalidEnvelope::Unsigned));
    assert_eq!(kms.signer(None).key_for(Some(&product)), Some((&product, PrivateKeyUsed::Product)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_is_made_once() {
    let kms = Kms::new().await;
    let signer = kms.signer(None);
    let alias: SigningKeyId = "alias/keypool".parse().unwrap();
    signer.ensure_alias(&alias, "a test's").await.unwrap();
    let key = signer.public_key(&alias).await.unwrap();
    signer.ensure_alias(&alias, "a test's").await.unwrap();
    assert_eq!(signer.public_key(&alias).await.unwrap(), key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_names_its_stack_and_an_alias_names_its_key() {
    let kms = Kms::new().await;
    let signer = kms.signer(None);
    let tagged = signer.create_key_for("a test's", Some("my-stack")).await.unwrap();
    let untagged = signer.create_key("a test's").await.unwrap();
    for (key, stack) in [(&tagged, Some("my-stack")), (&untagged, None)] {
        let found = signer.signing_key_at_work(key).await.unwrap();
        assert!(found.arn.as_str().ends_with(&format!(":key/{key}")), "{}", found.arn);
        assert_eq!(signer.stack_of(&found.arn).await.unwrap().as_deref(), stack);
    }
    let alias: SigningKeyId = "alias/keypool".parse().unwrap();
    signer.ensure_alias(&alias, "a test's").await.unwrap();
    let found = signer.signing_key_at_work(&alias).await.unwrap();
    assert!(found.arn.as_str().contains(":key/"), "{}", found.arn);
    assert_eq!(signer.public_key(&found.arn).await.unwrap(), found.public_key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_key_differs_from_an_unavailable_kms() {
    let kms = Kms::new().await;
    let signer = kms.signer(None);
    let key = "alias/not-there".parse().unwrap();
    let missing = signer.sign(&key, b"x").await.unwrap_err();
    assert!(matches!(missing, FailedCall { kind: AwsErrorKind::Misconfigured, .. }), "{missing}");
    kms.services.stop().await;
    let dead = signer.sign(&key, b"x").await.unwrap_err();
    assert!(matches!(dead, FailedCall { kind: AwsErrorKind::Unavailable, .. }), "{dead}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_reads_back_from_pem() {
    let kms = Kms::new().await;
    let signer = kms.signer(None);
    let key = signer.create_key("a test's").await.unwrap();
    let key = signer.public_key(&key).await.unwrap();
    assert_eq!(PublicKey::from_pem(key.to_pem().as_bytes()), Ok(key));
    for pem in
        ["", "-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"]
    {
        assert_eq!(PublicKey::from_pem(pem.as_bytes()), Err(InvalidPublicKey));
    }
}
