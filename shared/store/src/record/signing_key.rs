use keypool_domain::RetiredKey;

use super::{Item, Key, Reader, SK, Writer};
use crate::StoreError;

/// A signing key that is used no more.
pub(crate) fn retired_key_item(key: &RetiredKey) -> Item {
    Writer::at(Key::retired_key(key.product_id, key.retired_at))
        .optional_number("product_id", key.product_id)
        .text("signing_key_id", &key.signing_key_id)
        .bytes("public_key", key.public_key_der.clone())
        .0
}

/// Reads what [`retired_key_item`] writes.
pub(crate) fn read_retired_key(item: &Item) -> Result<RetiredKey, StoreError> {
    let reader = Reader { item, record: "retired signing key" };
    let (_, retired_at) = reader.raw(SK)?.split_once('#').ok_or_else(|| reader.corrupt(SK))?;
    Ok(RetiredKey {
        product_id: reader.optional("product_id")?,
        signing_key_id: reader.required("signing_key_id")?,
        public_key_der: reader.bytes("public_key")?.to_vec(),
        retired_at: keypool_domain::Timestamp::from_rfc3339(retired_at).ok_or_else(|| reader.corrupt(SK))?,
    })
}

#[cfg(test)]
mod tests {
    use keypool_domain::{ProductId, Timestamp};

    use super::*;

    #[test]
    fn a_retired_key_reads_back() {
        for product_id in [Some(ProductId::MAX), None] {
            let key = RetiredKey {
                product_id,
                signing_key_id: "alias/keypool-2".parse().unwrap(),
                public_key_der: vec![0, 1, 255],
                retired_at: Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap(),
            };
            let item = retired_key_item(&key);
            assert_eq!(item["sk"].as_s().unwrap(), "SIGNINGKEY#2024-11-23T19:02:08.829115Z");
            assert_eq!(read_retired_key(&item), Ok(key));
        }
    }
}
