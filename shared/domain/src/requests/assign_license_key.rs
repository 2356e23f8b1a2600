use super::Repeatable;
use crate::{Fields, Fingerprint, LicenseKey, Owner, Parameters, ValidationErrors};

/// Gives one named key to an owner.
#[derive(Debug, Clone)]
pub struct AssignLicenseKey {
    /// The key.
    pub license_key: LicenseKey,
    /// Who gets it. Given twice, `email` counts before `owner_email`.
    pub owner: Owner,
}

impl TryFrom<&Parameters> for AssignLicenseKey {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let license_key = fields.required("license_key");
        let name = fields.optional("owner_name");
        let email = fields.optional("email");
        let owner_email = fields.optional("owner_email");
        fields.finish((|| {
            let (email, owner_email) = (email?, owner_email?);
            Ok(Self { license_key: license_key?, owner: Owner { name: name?, email: email.or(owner_email) } })
        })())
    }
}

impl Repeatable for AssignLicenseKey {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of([Some(self.license_key.as_str())].into_iter().chain(self.owner.texts()))
    }
}
