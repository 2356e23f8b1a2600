use keypool_domain::{Product, ProductId};

use super::{Catalogued, Item, Key, Kind, Reader, Writer};
use crate::StoreError;

impl Catalogued for Product {
    const KIND: &'static str = Kind::Product.name();
    type Id = ProductId;

    fn id(&self) -> ProductId {
        self.id
    }

    fn entry(id: &ProductId) -> String {
        format!("{:010}", id.get())
    }

    fn position(&self) -> impl Ord {
        self.id
    }

    fn item(&self) -> Item {
        Writer::at(Key::product(self.id))
            .text("name", self.name.as_str())
            .text("status", self.activity)
            .optional_number("generator_id", self.generator_id)
            .optional_text("signing_key_id", self.signing_key_id.as_ref())
            .0
    }

    fn read(item: &Item) -> Result<Self, StoreError> {
        let reader = Reader { item, record: "product" };
        Ok(Self {
            id: reader.id()?,
            name: reader.required("name")?,
            activity: reader.required("status")?,
            generator_id: reader.optional("generator_id")?,
            signing_key_id: reader.optional("signing_key_id")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use keypool_domain::{Activity, GeneratorId, ProductId};

    use super::*;

    #[test]
    fn a_product_reads_back() {
        let product = Product {
            id: ProductId::MAX,
            name: "Löwe & Co".parse().unwrap(),
            activity: Activity::Inactive,
            generator_id: Some(GeneratorId::MIN),
            signing_key_id: Some("alias/keypool-2".parse().unwrap()),
        };
        assert_eq!(Product::read(&product.item()), Ok(product));
    }
}
