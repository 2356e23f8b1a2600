use keypool_domain::Product;

use super::{Item, Key, Reader, Writer};
use crate::StoreError;

pub(crate) fn product_item(product: &Product) -> Item {
    Writer::at(Key::product(product.id))
        .text("name", product.name.as_str())
        .text("status", product.activity)
        .optional_number("generator_id", product.generator_id)
        .optional_text("signing_key_id", product.signing_key_id.as_ref())
        .0
}

pub(crate) fn read_product(item: &Item) -> Result<Product, StoreError> {
    let reader = Reader { item, record: "product" };
    Ok(Product {
        id: reader.id()?,
        name: reader.required("name")?,
        activity: reader.required("status")?,
        generator_id: reader.optional("generator_id")?,
        signing_key_id: reader.optional("signing_key_id")?,
    })
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
        assert_eq!(read_product(&product_item(&product)), Ok(product));
    }
}
