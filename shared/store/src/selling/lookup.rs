use keypool_domain::{
    ApiKeyHash, ApiKeyRecord, Generator, GeneratorId, LicenseKey, LicenseKeyRecord, Product, ProductId,
};

use crate::record::{Item, Key, PK, Record as _, SK, kind, text_of};
use crate::{Store, StoreError};

/// The records that a request is about: any of the three.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lookup {
    /// The API key it was sent with.
    pub api_key: Option<ApiKeyHash>,
    /// The product it is about.
    pub product: Option<ProductId>,
    /// The generator it is about.
    pub generator: Option<GeneratorId>,
}

/// The records of a [`Lookup`] that exist.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The API key's record.
    pub api_key: Option<ApiKeyRecord>,
    /// The product.
    pub product: Option<Product>,
    /// The generator.
    pub generator: Option<Generator>,
}

impl Store {
    /// Reads the records in one call (none if `lookup` is empty): half a read unit each.
    pub async fn look_up(&self, lookup: Lookup) -> Result<Found, StoreError> {
        let keys: Vec<Item> = [
            lookup.api_key.map(|hash| Key::new(kind::API_KEY, hash)),
            lookup.product.map(|id| Key::new(kind::PRODUCT, id)),
            lookup.generator.map(|id| Key::new(kind::GENERATOR, id)),
        ]
        .into_iter()
        .flatten()
        .map(Key::into_item)
        .collect();
        let mut found = Found::default();
        for item in self.get_many(keys, false).await? {
            match text_of(&item, SK) {
                Some(kind::API_KEY) => found.api_key = Some(ApiKeyRecord::read(&item)?),
                Some(kind::PRODUCT) => found.product = Some(Product::read(&item)?),
                Some(kind::GENERATOR) => found.generator = Some(Generator::read(&item)?),
                _ => return Err(StoreError::Corrupt { record: "table", attribute: PK }),
            }
        }
        Ok(found)
    }

    /// Reads a license key, with every earlier write. 1 read unit.
    pub async fn license_key(
        &self,
        license_key: &LicenseKey,
    ) -> Result<Option<LicenseKeyRecord>, StoreError> {
        let item = self.get(Key::license_key(license_key)).await?;
        item.as_ref().map(LicenseKeyRecord::read).transpose()
    }

    /// Opens the connection to DynamoDB by reading a generator that does not exist.
    pub async fn warm_up(&self) -> Result<(), StoreError> {
        let lookup = Lookup { generator: Some(GeneratorId::MAX), ..Lookup::default() };
        self.look_up(lookup).await.map(|_| ())
    }
}
