use aws_sdk_kms::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_kms::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_types::body::SdkBody;

use crate::Signer;

/// Turns a call into a bare `GET`, without a body or a signature. KMS refuses it at once, does nothing and
/// charges nothing. An open connection remains.
#[derive(Debug)]
struct BareGet;

impl Intercept for BareGet {
    fn name(&self) -> &'static str {
        "BareGet"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.set_method("GET")?;
        *request.body_mut() = SdkBody::empty();
        for header in
            ["authorization", "content-length", "content-type", "x-amz-security-token", "x-amz-target"]
        {
            request.headers_mut().remove(header);
        }
        Ok(())
    }
}

impl Signer {
    /// Opens a connection to KMS, for a signature that will be requested soon. Leaves any failure to that
    /// signature.
    pub async fn open_connection(&self) {
        let call = self.client.get_public_key().key_id("none").customize();
        // KMS refuses the call, which asks for nothing.
        let _ = call.interceptor(BareGet).send().await;
    }
}
