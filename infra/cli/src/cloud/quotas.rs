use anyhow::Context as _;
use aws_sdk_servicequotas::operation::get_service_quota::GetServiceQuotaError;

use crate::target::{Aws, in_words};

/// A quota, by its codes in Service Quotas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    pub(crate) service: &'static str,
    pub(crate) code: &'static str,
}

/// Lambda, "Concurrent executions".
pub(crate) const CONCURRENT_EXECUTIONS: Quota = Quota { service: "lambda", code: "L-B99A9384" };
/// KMS, "Cryptographic operations (RSA) request rate", in requests a second.
pub(crate) const RSA_REQUESTS: Quota = Quota { service: "kms", code: "L-2AC98190" };

impl Quota {
    /// The command that requests an increase from AWS.
    pub(crate) fn request(self, value: &str) -> String {
        let Self { service, code } = self;
        format!(
            "aws service-quotas request-service-quota-increase --service-code {service} --quota-code {code} \
             --desired-value {value}"
        )
    }
}

/// Reads the account's value of a quota in this region, or AWS's default if the account has none.
pub(crate) async fn quota(aws: &Aws, quota: Quota) -> anyhow::Result<f64> {
    let client = aws_sdk_servicequotas::Client::new(aws.config());
    let Quota { service, code } = quota;
    let found = match client.get_service_quota().service_code(service).quota_code(code).send().await {
        Ok(applied) => applied.quota,
        Err(error)
            if error.as_service_error().is_some_and(GetServiceQuotaError::is_no_such_resource_exception) =>
        {
            let default = client.get_aws_default_service_quota().service_code(service).quota_code(code);
            let default = default.send().await;
            default.map_err(|error| in_words("servicequotas:GetAWSDefaultServiceQuota", &error))?.quota
        }
        Err(error) => return Err(in_words("servicequotas:GetServiceQuota", &error)),
    };
    found.and_then(|quota| quota.value).context("Service Quotas returned no value")
}
