use crate::{Fields, Parameters, ProductId, ValidationErrors};

/// Counts a product's stock.
#[derive(Debug, Clone, Copy)]
pub struct GetAvailableLicenseKeysCount {
    /// The product whose stock is counted.
    pub product_id: ProductId,
}

impl TryFrom<&Parameters> for GetAvailableLicenseKeysCount {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let product_id = fields.required("product_id");
        fields.finish((|| Ok(Self { product_id: product_id? }))())
    }
}
