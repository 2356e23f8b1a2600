use keypool_domain::SigningKeyId;

use super::report::Report;

/// The text that a key signs for a test. It is not base64, so the signature fits no response.
const TRIAL: &[u8] = b"keypool doctor: this is no response";

/// Checks the global signing key.
pub(super) async fn check_global(report: &mut Report<'_>) -> anyhow::Result<()> {
    const CHECK: &str = "signing key";
    match &report.target.global_signing_key {
        Some(key) => check(report, CHECK, key, "the global key").await,
        None => report.warning(
            CHECK,
            "not checked: the global key is unknown",
            "give --stack or --global-signing-key",
        ),
    }
}

/// Signs a text with a key, and checks the signature as a shop does.
pub(super) async fn check(
    report: &mut Report<'_>,
    check: &str,
    key: &SigningKeyId,
    whose: &str,
) -> anyhow::Result<()> {
    report.looking_at("checking signing keys");
    let signer = &report.target.signer;
    let verified = async {
        let public_key = signer.public_key(key).await?;
        Ok::<_, anyhow::Error>(public_key.verifies(TRIAL, &signer.sign(key, TRIAL).await?))
    };
    match verified.await {
        Ok(true) => {
            report.ok(check, format!("{whose} ({key}) signs, and its public key verifies the signature"))
        }
        Ok(false) => report.fault(
            check,
            format!(
                "{whose} ({key}) signs, but its public key does not verify the signature: shops refuse all responses"
            ),
            "the key is not RSA_2048 for SIGN_VERIFY: create another",
        ),
        Err(error) => report.failed(check, &error.context(format!("{whose} ({key})"))),
    }
}
