use super::Repeatable;
use crate::{
    ActivationLimit, CreationId, Fields, Fingerprint, LicenseKeys, NewKey, Owner, Parameters, ProductId,
    Status, Timestamp, ValidationErrors, Validity,
};

/// Puts keys into stock.
#[derive(Debug, Clone)]
pub struct CreateLicenseKeys {
    /// The keys.
    pub license_keys: LicenseKeys,
    /// The product they belong to.
    pub product_id: ProductId,
    /// Their activation limit.
    pub activation_limit: ActivationLimit,
    /// Their validity, in days.
    pub validity: Validity,
    /// The status they start with.
    pub status: Status,
    /// Their owner, if they have one.
    pub owner: Owner,
    /// The time at which the owner got them.
    pub assigned_at: Option<Timestamp>,
}

impl TryFrom<&Parameters> for CreateLicenseKeys {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let license_keys = fields.required_array("license_keys");
        let product_id = fields.required("product_id");
        let activation_limit = fields.required("activation_limit");
        let validity = fields.required("validity");
        let status = fields.required("status");
        let name = fields.optional("owner_name");
        let email = fields.optional("owner_email");
        let assigned_at = fields.optional("assigned_at");
        fields.finish((|| {
            Ok(Self {
                license_keys: license_keys?,
                product_id: product_id?,
                activation_limit: activation_limit?,
                validity: validity?,
                status: status?,
                owner: Owner { name: name?, email: email? },
                assigned_at: assigned_at?,
            })
        })())
    }
}

impl CreateLicenseKeys {
    /// The keys to be stored, each once. A key that starts as `assigned` without a time takes `now`.
    #[must_use]
    pub fn new_keys(&self, now: Timestamp, creation_id: Option<&CreationId>) -> Vec<NewKey> {
        let assigned_at = match self.status {
            Status::Assigned => Some(self.assigned_at.unwrap_or(now)),
            _ => self.assigned_at,
        };
        let new_key = |license_key: &crate::LicenseKey| NewKey {
            license_key: license_key.clone(),
            product_id: self.product_id,
            activation_limit: self.activation_limit,
            validity: self.validity,
            status: self.status,
            owner: self.owner.clone(),
            assigned_at,
            order: None,
            assignment_id: None,
            creation_id: creation_id.cloned(),
        };
        self.license_keys.distinct().iter().map(new_key).collect()
    }
}

impl Repeatable for CreateLicenseKeys {
    fn fingerprint(&self) -> Fingerprint {
        let fields = [
            self.product_id.to_string(),
            self.activation_limit.to_string(),
            self.validity.to_string(),
            self.status.to_string(),
            self.license_keys.sent().to_string(),
        ];
        let assigned_at = self.assigned_at.map(Timestamp::to_microseconds_text);
        let license_keys = self.license_keys.distinct().iter().map(|key| Some(key.as_str()));
        let fields = fields.iter().map(|field| Some(field.as_str()));
        Fingerprint::of(fields.chain([assigned_at.as_deref()]).chain(self.owner.texts()).chain(license_keys))
    }
}
