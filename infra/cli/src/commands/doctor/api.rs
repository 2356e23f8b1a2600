use http::{Method, StatusCode};
use keypool_domain::{Endpoint, PrivateKeyUsed};

use super::report::Report;
use crate::envelope::{Fault, Received};
use crate::http::{Answer, send};
use crate::public_keys::present_of_target;

const CHECK: &str = "API";

/// The code for a request without an API key.
const INVALID_API_KEY: u64 = 100;

/// Sends a request without an API key. The API must refuse it with a signed response.
pub(super) async fn check(report: &mut Report<'_>) -> anyhow::Result<()> {
    let Some(base_url) = &report.target.base_url else {
        return report.warning(
            CHECK,
            "not checked: its base URL is unknown",
            "give --stack: the stack knows its API",
        );
    };
    report.looking_at("calling the API");
    let url = format!("{base_url}{}", Endpoint::AssignLicenseKey.path());
    match send(Method::POST, &url, vec![], vec![]).await {
        Ok(answer) => check_answer(report, base_url, &answer).await,
        Err(error) => report.fault(
            CHECK,
            format!("{error:#}: shops get no response"),
            "check the network and, on AWS, that the stack's API exists",
        ),
    }
}

async fn check_answer(report: &mut Report<'_>, base_url: &str, answer: &Answer) -> anyhow::Result<()> {
    const LOOK: &str = "see the log of the function assign-license-key";
    let Ok(received) = Received::read(&answer.body) else {
        let said = format!("{base_url} responds {} without an envelope: shops cannot use it", answer.status);
        return report.fault(CHECK, said, LOOK);
    };
    if answer.status != StatusCode::UNAUTHORIZED || received.said.code() != Some(INVALID_API_KEY) {
        let said = format!("{base_url} responds {} to a request without an API key, not 401", answer.status);
        return report.fault(CHECK, said, LOOK);
    }
    if !received.is_signed() {
        let said =
            format!("{base_url} responds without signatures: shops that check them refuse every response");
        return report.fault(
            CHECK,
            said,
            "deploy the stack again, to set KEYPOOL_SIGNING_KEY of the functions",
        );
    }
    let key = match present_of_target(report.target, PrivateKeyUsed::Global, None).await {
        Ok(key) => key,
        Err(error) => {
            let said = format!("{base_url} responds, but the signature was not checked: {error:#}");
            return report.warning(CHECK, said, "see the check of the signing key");
        }
    };
    match received.check(std::slice::from_ref(&key)) {
        Ok(named) => report.ok(CHECK, format!("{base_url} responds, signed by {}", named.name)),
        Err(Fault(reason)) => report.fault(
            CHECK,
            format!("{base_url} responds, but {reason}: shops refuse every response"),
            "the functions sign with another key: compare KEYPOOL_SIGNING_KEY",
        ),
    }
}
