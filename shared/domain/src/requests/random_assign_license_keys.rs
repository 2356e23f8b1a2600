use super::{Repeatable, Switch};
use crate::{
    Fields, Fingerprint, IdempotencyKey, OrderReference, Owner, Parameters, ProductId, Quantity, Reported,
    ValidationErrors,
};

/// Gives a number of keys, drawn at random, to an owner: all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RandomAssignLicenseKeys {
    /// The product whose keys are drawn.
    pub product_id: ProductId,
    /// The number of keys.
    pub quantity: Quantity,
    /// Set if the whole quantity is generated when the stock is too small.
    pub generate: bool,
    /// The owner who gets them.
    pub owner: Owner,
    /// The shop's name for the order, if given.
    pub identifier: Option<OrderReference>,
}

impl TryFrom<&Parameters> for RandomAssignLicenseKeys {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let request = Self::read(&mut fields);
        fields.finish(request)
    }
}

impl RandomAssignLicenseKeys {
    /// Reads the parameters of an order, which the queued endpoint shares.
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, Reported> {
        let product_id = fields.required("product_id");
        let quantity = fields.required("quantity");
        let generate = fields.optional::<Switch>("generate");
        let name = fields.optional("owner_name");
        let email = fields.optional("owner_email");
        let identifier = fields.optional("identifier");
        Ok(Self {
            product_id: product_id?,
            quantity: quantity?,
            generate: generate?.unwrap_or_default().0,
            owner: Owner { name: name?, email: email? },
            identifier: identifier?,
        })
    }
}

impl Repeatable for RandomAssignLicenseKeys {
    fn fingerprint(&self) -> Fingerprint {
        let numbers = [self.product_id.to_string(), self.quantity.to_string(), self.generate.to_string()];
        let values = numbers.iter().map(|number| Some(number.as_str())).chain(self.owner.texts());
        // A request without identifier keeps its former fingerprint.
        Fingerprint::of(values.chain(self.identifier.iter().map(|identifier| Some(identifier.as_str()))))
    }

    fn key_of_order(&self) -> Option<IdempotencyKey> {
        let identifier = self.identifier.as_ref()?;
        Some(IdempotencyKey::of_order(self.product_id, self.quantity, identifier))
    }
}
