use http::{Method, StatusCode};
use keypool_domain::{Endpoint, PrivateKeyUsed};

use super::CheckContext;
use super::report::Report;
use crate::envelope::{Fault, Received};
use crate::http::{Answer, send};
use crate::public_keys::present_of_target;

const CHECK: &str = "API";

/// The code for a request without an API key.
const INVALID_API_KEY: u64 = 100;

/// Sends a request without an API key, which is refused by a signed answer and does nothing.
pub(super) async fn check(context: CheckContext<'_>, report: &mut Report) -> anyhow::Result<()> {
    let Some(base_url) = &context.target.base_url else {
        return report.warning(
            CHECK,
            "not checked: its base URL is not known",
            "name the stack with --stack: it knows its API",
        );
    };
    report.looking_at("asking the API");
    let url = format!("{base_url}{}", Endpoint::AssignLicenseKey.path());
    match send(Method::POST, &url, vec![], vec![]).await {
        Ok(answer) => check_answer(context, report, base_url, &answer).await,
        Err(error) => report.fault(
            CHECK,
            format!("{error:#}: no shop is served"),
            "check the network; on AWS, whether the stack's API was deleted",
        ),
    }
}

async fn check_answer(
    context: CheckContext<'_>,
    report: &mut Report,
    base_url: &str,
    answer: &Answer,
) -> anyhow::Result<()> {
    const LOOK: &str = "look at the log of the function assign-license-key";
    let Ok(received) = Received::read(&answer.body) else {
        let said = format!("{base_url} answers {} without an envelope: no shop is served", answer.status);
        return report.fault(CHECK, said, LOOK);
    };
    if answer.status != StatusCode::UNAUTHORIZED || received.said.code() != Some(INVALID_API_KEY) {
        let said = format!("{base_url} answers {} to a request without an API key, not 401", answer.status);
        return report.fault(CHECK, said, LOOK);
    }
    if !received.is_signed() {
        let said =
            format!("{base_url} answers without signatures: shops that check them refuse every answer");
        return report.fault(CHECK, said, "set KEYPOOL_SIGNING_KEY of the functions: deploy the stack again");
    }
    let key = match present_of_target(context.target, PrivateKeyUsed::Global, None).await {
        Ok(key) => key,
        Err(error) => {
            let said = format!("{base_url} answers, but its signature was not checked: {error:#}");
            return report.warning(CHECK, said, "see what is said of the signing key");
        }
    };
    match received.check(std::slice::from_ref(&key)) {
        Ok(named) => report.ok(CHECK, format!("{base_url} answers, signed by {}", named.name)),
        Err(Fault(reason)) => report.fault(
            CHECK,
            format!("{base_url} answers, but {reason}: shops refuse every answer"),
            "the functions sign with another key than this one: compare KEYPOOL_SIGNING_KEY",
        ),
    }
}
