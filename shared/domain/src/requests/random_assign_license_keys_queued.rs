use super::RandomAssignLicenseKeys;
use crate::{Fields, Fingerprint, OrderReference, Parameters, ValidationErrors, WebhookUrl};

/// Accepts an order of keys, to be filled as soon as there is stock, and told by a callback.
#[derive(Debug, Clone)]
pub struct RandomAssignLicenseKeysQueued {
    /// The order itself.
    pub order: RandomAssignLicenseKeys,
    /// The URL that the callback goes to.
    pub webhook_url: WebhookUrl,
    /// The shop's name for the order, if given. The callback repeats it.
    pub identifier: Option<OrderReference>,
}

impl TryFrom<&Parameters> for RandomAssignLicenseKeysQueued {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let order = RandomAssignLicenseKeys::read(&mut fields);
        let webhook_url = fields.required("webhook_url");
        let identifier = fields.optional("identifier");
        fields.finish((|| Ok(Self { order: order?, webhook_url: webhook_url?, identifier: identifier? }))())
    }
}

impl RandomAssignLicenseKeysQueued {
    /// What is asked for, to recognise a repetition by.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let order = self.order.fingerprint().to_string();
        let identifier = self.identifier.as_ref().map(OrderReference::as_str);
        Fingerprint::of([Some(&*order), Some(self.webhook_url.as_str()), identifier])
    }
}
