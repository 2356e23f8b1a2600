use super::{Repeatable, Switch};
use crate::{
    ActivationLimit, Fields, Fingerprint, LicenseKey, Owner, Parameters, ProductId, Status, Timestamp,
    ValidationErrors, Validity,
};

/// Changes one license key. Values that are not given stay.
#[derive(Debug, Clone)]
pub struct UpdateLicenseKey {
    /// The key.
    pub license_key: LicenseKey,
    /// The product that the key must belong to, if given. It cannot be changed.
    pub product_id: Option<ProductId>,
    /// The parts of the owner that change.
    pub owner: Owner,
    /// The new activation limit.
    pub activation_limit: Option<ActivationLimit>,
    /// The new validity, in days.
    pub validity: Option<Validity>,
    /// The new status.
    pub status: Option<Status>,
    /// The time at which the owner got the key.
    pub assigned_at: Option<Timestamp>,
    /// Set if the key may be taken from its owner and return to stock.
    pub take_from_owner: bool,
}

impl TryFrom<&Parameters> for UpdateLicenseKey {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let license_key = fields.required("license_key");
        let product_id = fields.optional("product_id");
        let name = fields.optional("owner_name");
        let email = fields.optional("owner_email");
        let activation_limit = fields.optional("activation_limit");
        let validity = fields.optional("validity");
        let status = fields.optional("status");
        let assigned_at = fields.optional("assigned_at");
        let take_from_owner = fields.optional::<Switch>("take_from_owner");
        fields.finish((|| {
            Ok(Self {
                license_key: license_key?,
                product_id: product_id?,
                owner: Owner { name: name?, email: email? },
                activation_limit: activation_limit?,
                validity: validity?,
                status: status?,
                assigned_at: assigned_at?,
                take_from_owner: take_from_owner?.unwrap_or_default().0,
            })
        })())
    }
}

impl Repeatable for UpdateLicenseKey {
    fn fingerprint(&self) -> Fingerprint {
        let texts = [
            self.product_id.map(|id| id.to_string()),
            self.activation_limit.map(|limit| limit.to_string()),
            self.validity.map(|validity| validity.to_string()),
            self.status.map(|status| status.to_string()),
            self.assigned_at.map(Timestamp::to_microseconds_text),
            Some(self.take_from_owner.to_string()),
        ];
        let texts = texts.iter().map(Option::as_deref).chain(self.owner.texts());
        Fingerprint::of([Some(self.license_key.as_str())].into_iter().chain(texts))
    }
}
