use crate::{Fields, ItemsPerPage, OrderReference, PageNumber, Parameters, ValidationErrors};

/// Finds the keys of an order, a page at a time.
#[derive(Debug, Clone)]
pub struct GetLicenseKeys {
    /// The order reference that the keys were sold under.
    pub identifier: OrderReference,
    /// The page, counted from 1.
    pub page: PageNumber,
    /// The number of keys on a page.
    pub items_per_page: ItemsPerPage,
}

impl TryFrom<&Parameters> for GetLicenseKeys {
    type Error = ValidationErrors;

    fn try_from(parameters: &Parameters) -> Result<Self, ValidationErrors> {
        let mut fields = Fields::of(parameters);
        let identifier = fields.required("identifier");
        let page = fields.optional("page");
        let items_per_page = fields.optional("items_per_page");
        fields.finish((|| {
            Ok(Self {
                identifier: identifier?,
                page: page?.unwrap_or_default(),
                items_per_page: items_per_page?.unwrap_or_default(),
            })
        })())
    }
}
