//! Remedies for errors that an operator can fix.

use std::error::Error;

use keypool_aws::{AwsErrorKind, FailedCall, Service};
use keypool_store::StoreError;

use crate::target::TargetOptions;

/// The remedy for an error in one sentence, if there is one.
pub(crate) fn on(error: &anyhow::Error, target: &TargetOptions) -> Option<String> {
    error.chain().find_map(|cause| match failed_call(cause) {
        Some(failed) => of_call(failed, target),
        None => match cause.downcast_ref::<StoreError>()? {
            StoreError::Corrupt { .. } => {
                Some("something other than keypool changed the table: run `keypool doctor`".to_owned())
            }
            _ => None,
        },
    })
}

/// The failed call to AWS, if `cause` is one.
pub(crate) fn failed_call<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a FailedCall> {
    match cause.downcast_ref::<StoreError>() {
        Some(StoreError::OutcomeUnknown { cause }) => failed_call(&**cause),
        Some(StoreError::Aws(failed)) => Some(failed),
        _ => cause.downcast_ref(),
    }
}

fn of_call(failed: &FailedCall, target: &TargetOptions) -> Option<String> {
    let FailedCall { service, operation, kind, code } = failed;
    let name = service.name();
    match (kind, service, code.as_str()) {
        (AwsErrorKind::Misconfigured, Service::DynamoDb, "ResourceNotFoundException") => Some(format!(
            "there is no such table: check the target ({target}; `keypool target` shows it), or give another \
             --stack, --table or --region"
        )),
        (AwsErrorKind::Misconfigured, Service::Kms, "NotFoundException") => {
            Some("KMS has no such key in this region and account: check both".to_owned())
        }
        (AwsErrorKind::Misconfigured, Service::Kms, "DisabledException" | "KMSInvalidStateException") => {
            Some("the key is disabled or pending deletion: enable it in KMS".to_owned())
        }
        (AwsErrorKind::Misconfigured, _, code) => of_credentials(operation, &name.to_lowercase(), code),
        (AwsErrorKind::Throttled, _, _) => {
            Some(format!("{name} throttles requests: run the command again in a minute"))
        }
        (AwsErrorKind::Unavailable, _, _) => Some(format!(
            "{name} does not respond: check the network and the region ({target}), and try again"
        )),
        (AwsErrorKind::Contention, _, _) => {
            Some("other writers changed the same records: run the command again".to_owned())
        }
        (AwsErrorKind::Rejected, _, _) => None,
    }
}

fn of_credentials(operation: &str, service: &str, code: &str) -> Option<String> {
    // These permissions have other names than the operation.
    let permissions = match operation {
        "BatchExecuteStatement" => "dynamodb:PartiQLInsert".to_owned(),
        "TransactWriteItems" => {
            "dynamodb:PutItem, dynamodb:UpdateItem and dynamodb:ConditionCheckItem (`orders redeliver` \
             and `owner erase` also dynamodb:DeleteItem)"
                .to_owned()
        }
        _ => format!("{service}:{operation}"),
    };
    if code == "AccessDeniedException" {
        return Some(format!(
            "these credentials lack a permission: they need {permissions}; `keypool target` shows whose they are"
        ));
    }
    on_credentials(code).map(str::to_owned)
}

/// The remedy if AWS does not accept the credentials. The services have different codes for it.
pub(crate) fn on_credentials(code: &str) -> Option<&'static str> {
    match code {
        "ExpiredToken" | "ExpiredTokenException" => {
            Some("the credentials have expired: sign in again (`aws sso login`), or renew them")
        }
        "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException" => {
            Some("AWS does not know these credentials: check AWS_PROFILE or the access key")
        }
        _ => None,
    }
}
