use keypool_domain::SigningKeyId;

use super::CheckContext;
use super::report::Report;

/// The text that a key signs for a test. It is not base64, so the signature fits no response.
const TRIAL: &[u8] = b"keypool doctor: this is no response";

/// Checks the global signing key.
pub(super) async fn check_global(context: CheckContext<'_>, report: &mut Report) -> anyhow::Result<()> {
    const CHECK: &str = "signing key";
    match &context.target.global_signing_key {
        Some(key) => check(context, report, CHECK, key, "the global key").await,
        None => report.warning(
            CHECK,
            "not checked: the global key is unknown",
            "give --stack or --global-signing-key",
        ),
    }
}

/// Signs a text with a key, and checks the signature as a shop does.
pub(super) async fn check(
    context: CheckContext<'_>,
    report: &mut Report,
    check: &str,
    key: &SigningKeyId,
    whose: &str,
) -> anyhow::Result<()> {
    report.looking_at("checking signing keys");
    let signer = &context.target.signer;
    let public_key = match signer.public_key(key).await {
        Ok(public_key) => public_key,
        Err(error) => {
            let error = anyhow::Error::from(error).context(format!("{whose} ({key})"));
            return report.failed(context, check, &error);
        }
    };
    match signer.sign(key, TRIAL).await {
        Ok(signature) if public_key.verifies(TRIAL, &signature) => {
            report.ok(check, format!("{whose} ({key}) signs, and its public key verifies the signature"))
        }
        Ok(_) => report.fault(
            check,
            format!(
                "{whose} ({key}) signs, but its public key does not verify the signature: shops refuse all responses"
            ),
            "the key is not RSA_2048 for SIGN_VERIFY: create another",
        ),
        Err(error) => {
            let error = anyhow::Error::from(error).context(format!("{whose} ({key})"));
            report.failed(context, check, &error)
        }
    }
}
