use super::Repeatable;
use crate::{Fields, Fingerprint, LicenseKey, OrderReference, Owner, Parameters, ValidationErrors};

/// Gives one named key to an owner.
#[derive(Debug, Clone)]
pub struct AssignLicenseKey {
    /// The key.
    pub license_key: LicenseKey,
    /// The owner who gets it. If both are given, `email` counts before `owner_email`.
    pub owner: Owner,
    /// The shop's name for the order, if given.
    pub identifier: Option<OrderReference>,
}

impl TryFrom<&Parameters> for AssignLicenseKey {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let license_key = fields.required("license_key");
        let name = fields.optional("owner_name");
        let email = fields.optional("email");
        let owner_email = fields.optional("owner_email");
        let identifier = fields.optional("identifier");
        fields.finish((|| {
            let (email, owner_email) = (email?, owner_email?);
            Ok(Self {
                license_key: license_key?,
                owner: Owner { name: name?, email: email.or(owner_email) },
                identifier: identifier?,
            })
        })())
    }
}

impl Repeatable for AssignLicenseKey {
    fn fingerprint(&self) -> Fingerprint {
        let values = [Some(self.license_key.as_str())].into_iter().chain(self.owner.texts());
        // A request without identifier keeps its former fingerprint.
        Fingerprint::of(values.chain(self.identifier.iter().map(|identifier| Some(identifier.as_str()))))
    }
}
