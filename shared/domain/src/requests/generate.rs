use super::Repeatable;
use crate::{Fields, Fingerprint, GeneratorId, Parameters, Quantity, ValidationErrors};

/// Makes new keys and puts them into stock.
#[derive(Debug, Clone, Copy)]
pub struct Generate {
    /// The generator that makes them.
    pub generator_id: GeneratorId,
    /// The number of keys.
    pub quantity: Quantity,
}

impl TryFrom<&Parameters> for Generate {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let generator_id = fields.required("generator_id");
        let quantity = fields.required("quantity");
        fields.finish((|| Ok(Self { generator_id: generator_id?, quantity: quantity? }))())
    }
}

impl Repeatable for Generate {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of([Some(&*self.generator_id.to_string()), Some(&*self.quantity.to_string())])
    }
}
