//! The way out of errors that an operator can do something about.

use std::error::Error;

use keypool_aws::{AwsErrorKind, FailedCall, Service};
use keypool_store::StoreError;

use crate::target::TargetOptions;

/// One sentence, if there is something to say.
pub(crate) fn on(error: &anyhow::Error, target: &TargetOptions) -> Option<String> {
    error.chain().find_map(|cause| match failed_call(cause) {
        Some(failed) => of_call(failed, target),
        None => match cause.downcast_ref::<StoreError>()? {
            StoreError::Corrupt { .. } => Some(
                "the table was changed by something that is not keypool; `keypool doctor` looks closer"
                    .to_owned(),
            ),
            _ => None,
        },
    })
}

/// The call of AWS that failed, if that is the cause.
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
            "there is no such table: `keypool target` says where this looked ({target}); \
             give another --stack, --table or --region"
        )),
        (AwsErrorKind::Misconfigured, Service::Kms, "NotFoundException") => {
            Some("there is no such key in KMS; keys belong to one region and account".to_owned())
        }
        (AwsErrorKind::Misconfigured, Service::Kms, "DisabledException" | "KMSInvalidStateException") => {
            Some("the key is disabled or about to be deleted; enable it in KMS".to_owned())
        }
        (AwsErrorKind::Misconfigured, _, code) => of_credentials(operation, &name.to_lowercase(), code),
        (AwsErrorKind::Throttled, _, _) => {
            Some(format!("{name} takes no more for now; give the command again in a minute"))
        }
        (AwsErrorKind::Unavailable, _, _) => Some(format!(
            "{name} does not answer: check the network and the region ({target}), and try again"
        )),
        (AwsErrorKind::Contention, _, _) => {
            Some("others were changing the same records; give the command again".to_owned())
        }
        (AwsErrorKind::Rejected, _, _) => None,
    }
}

fn of_credentials(operation: &str, service: &str, code: &str) -> Option<String> {
    // Permissions that are not called like the operation.
    let permissions = match operation {
        "BatchExecuteStatement" => "dynamodb:PartiQLInsert".to_owned(),
        "TransactWriteItems" => {
            "dynamodb:PutItem, dynamodb:UpdateItem and dynamodb:ConditionCheckItem (`orders redeliver` also \
             dynamodb:DeleteItem)"
                .to_owned()
        }
        _ => format!("{service}:{operation}"),
    };
    match code {
        "AccessDeniedException" => Some(format!(
            "these credentials may not do that: they need {permissions}; `keypool target` says whose they are"
        )),
        "ExpiredTokenException" => {
            Some("the credentials have expired: sign in again (`aws sso login`), or renew them".to_owned())
        }
        "UnrecognizedClientException" | "InvalidSignatureException" | "IncompleteSignatureException" => {
            Some("AWS does not know these credentials: check AWS_PROFILE or the access key".to_owned())
        }
        _ => None,
    }
}
