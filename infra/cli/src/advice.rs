//! The way out of errors that an operator can do something about.

use keypool_signing::SigningError;
use keypool_store::StoreError;

use crate::target::TargetOptions;

/// One sentence, if there is something to say.
pub(crate) fn on(error: &anyhow::Error, target: &TargetOptions) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<StoreError>() {
            return of_table(error, target);
        }
        cause.downcast_ref::<SigningError>().and_then(of_signing)
    })
}

fn of_table(error: &StoreError, target: &TargetOptions) -> Option<String> {
    match error {
        StoreError::Misconfigured { operation, code } => match code.as_str() {
            "ResourceNotFoundException" => Some(format!(
                "there is no such table: `keypool target` says where this looked ({target}); \
                 give another --stack, --table or --region"
            )),
            _ => of_credentials(operation, "dynamodb", code),
        },
        StoreError::Throttled { .. } => {
            Some("DynamoDB takes no more for now; give the command again in a minute".to_owned())
        }
        StoreError::Unavailable { .. } => Some(format!(
            "DynamoDB does not answer: check the network and the region ({target}), and try again"
        )),
        StoreError::Contention { .. } => {
            Some("others were changing the same records; give the command again".to_owned())
        }
        StoreError::Corrupt { .. } => Some(
            "the table was changed by something that is not keypool; `keypool doctor` looks closer"
                .to_owned(),
        ),
        StoreError::OutcomeUnknown { cause } => of_table(cause, target),
        StoreError::Rejected { .. } | StoreError::Recorded(_) => None,
    }
}

fn of_signing(error: &SigningError) -> Option<String> {
    match error {
        SigningError::Misconfigured { operation, code } => match code.as_str() {
            "NotFoundException" => {
                Some("there is no such key in KMS; keys belong to one region and account".to_owned())
            }
            "DisabledException" | "KMSInvalidStateException" => {
                Some("the key is disabled or about to be deleted; enable it in KMS".to_owned())
            }
            _ => of_credentials(operation, "kms", code),
        },
        SigningError::Throttled { .. } => {
            Some("KMS takes no more for now; give the command again in a minute".to_owned())
        }
        SigningError::Unavailable { .. } => {
            Some("KMS does not answer: check the network and the region, and try again".to_owned())
        }
        SigningError::Rejected { .. } => None,
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
