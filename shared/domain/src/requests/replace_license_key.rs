use super::{Repeatable, Switch};
use crate::{Fields, Fingerprint, LicenseKey, Parameters, Reason, ValidationErrors};

/// Blocks a sold key, and gives its owner another one of the same product.
#[derive(Debug, Clone)]
pub struct ReplaceLicenseKey {
    /// The key to replace.
    pub license_key: LicenseKey,
    /// The reason, for the audit trail.
    pub reason: Reason,
    /// Set if the new key is generated when there is none in stock.
    pub generate: bool,
}

impl TryFrom<&Parameters> for ReplaceLicenseKey {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let license_key = fields.required("license_key");
        let reason = fields.required("reason");
        let generate = fields.optional::<Switch>("generate");
        fields.finish((|| {
            Ok(Self { license_key: license_key?, reason: reason?, generate: generate?.unwrap_or_default().0 })
        })())
    }
}

impl Repeatable for ReplaceLicenseKey {
    fn fingerprint(&self) -> Fingerprint {
        let generate = self.generate.to_string();
        Fingerprint::of([self.license_key.as_str(), self.reason.as_str(), &generate].map(Some))
    }
}
