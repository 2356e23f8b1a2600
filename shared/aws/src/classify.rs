use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// An error of an AWS client, without AWS's own text, which may quote an item or name a key by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// The kind of error.
    pub kind: AwsErrorKind,
    /// AWS's name for the error, or the failure of the connection.
    pub code: String,
}

/// The kinds of errors, by their remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsErrorKind {
    /// Others write to the same items: try again.
    Contention,
    /// The service accepts no more requests for now: try again later.
    Throttled,
    /// The service does not respond, or reports that it cannot serve.
    Unavailable,
    /// The table, the key, the credentials or a permission is missing.
    Misconfigured,
    /// The service rejects the request as malformed, or the SDK could not build it: a bug in the program.
    Rejected,
}

/// The services whose calls fail with a [`FailedCall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// DynamoDB.
    DynamoDb,
    /// KMS.
    Kms,
    /// SQS.
    Sqs,
}

/// A failed call of a service, sorted by its remedy. It holds none of AWS's own text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {}", self.in_words())]
pub struct FailedCall {
    /// The service.
    pub service: Service,
    /// The operation.
    pub operation: &'static str,
    /// The kind of error.
    pub kind: AwsErrorKind,
    /// The service's name for the error, or the failure of the connection.
    pub code: String,
}

impl Service {
    /// The service's own name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "DynamoDB",
            Self::Kms => "KMS",
            Self::Sqs => "SQS",
        }
    }

    /// A call of this service that failed with an error of the SDK.
    pub fn failed<E: ProvideErrorMetadata, R>(
        self,
        operation: &'static str,
        error: &SdkError<E, R>,
    ) -> FailedCall {
        let AwsError { kind, code } = classify(error);
        FailedCall { service: self, operation, kind, code }
    }
}

impl FailedCall {
    fn in_words(&self) -> String {
        let (service, code) = (self.service.name(), &self.code);
        let settings = match self.service {
            Service::DynamoDb => "the table's name",
            Service::Kms => "the signing key",
            Service::Sqs => "the queue's URL",
        };
        match self.kind {
            AwsErrorKind::Contention => "conflicts with other writers for too long".to_owned(),
            AwsErrorKind::Throttled => format!("{service} throttles ({code})"),
            AwsErrorKind::Unavailable => format!("{service} is unavailable ({code})"),
            AwsErrorKind::Misconfigured => {
                format!("{service} refuses ({code}); check {settings}, the credentials and the permissions")
            }
            AwsErrorKind::Rejected => format!("{service} does not accept the request ({code})"),
        }
    }
}

/// Sorts an error of any AWS client.
pub fn classify<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> AwsError {
    let unavailable = |code: &str| AwsError { kind: AwsErrorKind::Unavailable, code: code.to_owned() };
    match error {
        SdkError::TimeoutError(_) => unavailable("time-out"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => unavailable("connect time-out"),
        SdkError::DispatchFailure(failure) if failure.is_io() => unavailable("connection failed"),
        SdkError::DispatchFailure(_) => unavailable("request not sent"),
        SdkError::ResponseError(_) => unavailable("unreadable response"),
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("no code").to_owned();
            AwsError { kind: kind_of_code(&code), code }
        }
        _ => AwsError { kind: AwsErrorKind::Rejected, code: "request not built".to_owned() },
    }
}

fn kind_of_code(code: &str) -> AwsErrorKind {
    // SQS puts a prefix before its own names and before those of KMS.
    let without_prefix = code.strip_prefix("AWS.SimpleQueueService.").or_else(|| code.strip_prefix("KMS."));
    match without_prefix.unwrap_or(code) {
        "TransactionConflictException"
        | "TransactionInProgressException"
        | "TransactionCanceledException"
        | "ReplicatedWriteConflictException" => AwsErrorKind::Contention,
        // KMS has a quota for an account and region, which all keys share.
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        // SQS.
        | "RequestThrottled"
        | "OverLimit"
        | "KmsThrottled" => AwsErrorKind::Throttled,
        // The table or the key.
        "ResourceNotFoundException"
        | "NotFoundException"
        | "DisabledException"
        | "KMSInvalidStateException"
        | "InvalidKeyUsageException"
        | "InvalidGrantTokenException"
        // The queue, by both of its names, and the key that encrypts it.
        | "QueueDoesNotExist"
        | "NonExistentQueue"
        | "InvalidAddress"
        | "InvalidSecurity"
        | "KmsAccessDenied"
        | "KmsDisabled"
        | "KmsInvalidKeyUsage"
        | "KmsInvalidState"
        | "InvalidStateException"
        | "KmsNotFound"
        | "KmsOptInRequired"
        | "OptInRequired"
        // The credentials and their permissions; STS and CloudFormation have names of their own.
        | "AccessDeniedException"
        | "AccessDenied"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignatureException" => AwsErrorKind::Misconfigured,
        "ValidationException"
        | "ValidationError"
        | "SerializationException"
        | "IdempotentParameterMismatchException"
        // SQS.
        | "BatchEntryIdsNotDistinct"
        | "BatchRequestTooLong"
        | "EmptyBatchRequest"
        | "InvalidAttributeName"
        | "InvalidBatchEntryId"
        | "InvalidMessageContents"
        | "InvalidParameterValue"
        | "MessageNotInflight"
        | "MissingParameter"
        | "ReceiptHandleIsInvalid"
        | "TooManyEntriesInBatchRequest"
        | "UnsupportedOperation" => AwsErrorKind::Rejected,
        // InternalServerError, KMSInternalException, KeyUnavailableException and unknown codes.
        _ => AwsErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn of_service(code: Option<&str>) -> AwsError {
        let mut error = ErrorMetadata::builder();
        if let Some(code) = code {
            error = error.code(code);
        }
        classify(&SdkError::<_, ()>::service_error(error.message("secret").build(), ()))
    }

    #[test]
    fn errors_of_a_service_are_sorted_by_their_codes() {
        for (code, kind) in [
            ("TransactionCanceledException", AwsErrorKind::Contention),
            ("ThrottlingException", AwsErrorKind::Throttled),
            ("InternalServerError", AwsErrorKind::Unavailable),
            ("AccessDenied", AwsErrorKind::Misconfigured),
            ("NotFoundException", AwsErrorKind::Misconfigured),
            ("ValidationException", AwsErrorKind::Rejected),
            ("AnExceptionOfTomorrow", AwsErrorKind::Unavailable),
        ] {
            assert_eq!(of_service(Some(code)), AwsError { kind, code: code.to_owned() });
        }
        let nameless = AwsError { kind: AwsErrorKind::Unavailable, code: "no code".to_owned() };
        assert_eq!(of_service(None), nameless);
    }

    #[test]
    fn errors_of_sqs_are_sorted_under_either_name() {
        for (code, kind) in [
            ("RequestThrottled", AwsErrorKind::Throttled),
            ("OverLimit", AwsErrorKind::Throttled),
            ("KmsThrottled", AwsErrorKind::Throttled),
            ("KMS.ThrottlingException", AwsErrorKind::Throttled),
            ("QueueDoesNotExist", AwsErrorKind::Misconfigured),
            ("AWS.SimpleQueueService.NonExistentQueue", AwsErrorKind::Misconfigured),
            ("AccessDeniedException", AwsErrorKind::Misconfigured),
            ("KmsAccessDenied", AwsErrorKind::Misconfigured),
            ("KMS.InvalidStateException", AwsErrorKind::Misconfigured),
            ("AWS.SimpleQueueService.MessageNotInflight", AwsErrorKind::Rejected),
            ("ReceiptHandleIsInvalid", AwsErrorKind::Rejected),
            ("InvalidParameterValue", AwsErrorKind::Rejected),
            ("AWS.SimpleQueueService.AnErrorOfTomorrow", AwsErrorKind::Unavailable),
        ] {
            assert_eq!(of_service(Some(code)), AwsError { kind, code: code.to_owned() });
        }
    }

    #[test]
    fn errors_before_a_response_say_what_happened() {
        let unbuilt: SdkError<ErrorMetadata, ()> = SdkError::construction_failure("secret");
        assert_eq!(classify(&unbuilt).kind, AwsErrorKind::Rejected);
        let late: SdkError<ErrorMetadata, ()> = SdkError::timeout_error("secret");
        assert_eq!(
            classify(&late),
            AwsError { kind: AwsErrorKind::Unavailable, code: "time-out".to_owned() }
        );
    }
}
