use super::{RandomAssignLicenseKeys, Repeatable};
use crate::{Fields, Fingerprint, IdempotencyKey, Parameters, ValidationErrors, WebhookUrl};

/// Accepts an order of keys. It is filled as soon as there is stock, and a callback reports its outcome.
#[derive(Debug, Clone)]
pub struct RandomAssignLicenseKeysQueued {
    /// The order itself.
    pub order: RandomAssignLicenseKeys,
    /// The URL that the callback goes to.
    pub webhook_url: WebhookUrl,
}

impl TryFrom<&Parameters> for RandomAssignLicenseKeysQueued {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let order = RandomAssignLicenseKeys::read(&mut fields);
        let webhook_url = fields.required("webhook_url");
        fields.finish((|| Ok(Self { order: order?, webhook_url: webhook_url? }))())
    }
}

impl Repeatable for RandomAssignLicenseKeysQueued {
    fn fingerprint(&self) -> Fingerprint {
        let order = self.order.fingerprint().to_string();
        Fingerprint::of([Some(&*order), Some(self.webhook_url.as_str())])
    }

    fn key_of_order(&self) -> Option<IdempotencyKey> {
        self.order.key_of_order()
    }
}
