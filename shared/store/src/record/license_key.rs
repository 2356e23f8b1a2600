use keypool_domain::{LicenseKeyRecord, Owner, OwnerField};

use super::{DRAW, Item, Key, Reader, STOCK, Writer, stock_of};
use crate::StoreError;

/// The record of a license key.
#[must_use]
pub fn license_key_item(key: &LicenseKeyRecord) -> Item {
    Writer::at(Key::license_key(&key.license_key))
        .number("product_id", key.product_id)
        .number("activation_limit", key.activation_limit)
        .number("validity", key.validity)
        .text("status", key.status)
        .optional_text("owner_name", key.owner.name.as_ref().map(OwnerField::as_str))
        .optional_text("owner_email", key.owner.email.as_ref().map(OwnerField::as_str))
        .optional_text("assigned_at", key.assigned_at)
        .text("created_at", key.created_at)
        .text("updated_at", key.updated_at)
        .number("id", key.id)
        .number("version", key.version)
        .optional_text("assignment_id", key.assignment_id.as_ref())
        .optional_text("creation_id", key.creation_id.as_ref())
        .optional_text(STOCK, key.draw.map(|_| stock_of(key.product_id)))
        .optional_text(DRAW, key.draw)
        .0
}

/// Reads what [`license_key_item`] writes.
pub(crate) fn read_license_key(item: &Item) -> Result<LicenseKeyRecord, StoreError> {
    let reader = Reader { item, record: "license key" };
    Ok(LicenseKeyRecord {
        license_key: reader.id()?,
        product_id: reader.required("product_id")?,
        activation_limit: reader.required("activation_limit")?,
        validity: reader.required("validity")?,
        status: reader.required("status")?,
        owner: Owner { name: reader.optional("owner_name")?, email: reader.optional("owner_email")? },
        assigned_at: reader.optional_time("assigned_at")?,
        created_at: reader.time("created_at")?,
        updated_at: reader.time("updated_at")?,
        id: reader.required("id")?,
        version: reader.required("version")?,
        assignment_id: reader.optional("assignment_id")?,
        creation_id: reader.optional("creation_id")?,
        draw: reader.optional(DRAW)?,
    })
}

#[cfg(test)]
mod tests {
    use keypool_domain::{
        AttemptId, CreationId, OperatingSystemRandomness, ProductId, RowId, Status, StockPosition, Timestamp,
    };

    use super::*;
    use crate::record::text;

    fn key() -> LicenseKeyRecord {
        LicenseKeyRecord {
            license_key: "AB#12 ключ".parse().unwrap(),
            product_id: ProductId::MIN,
            activation_limit: "3".parse().unwrap(),
            validity: "365".parse().unwrap(),
            status: Status::Available,
            owner: Owner { name: Some("Test User".parse().unwrap()), email: None },
            assigned_at: None,
            created_at: Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap(),
            updated_at: Timestamp::from_unix_microseconds(1_732_388_528_829_116).unwrap(),
            id: RowId::MIN,
            version: 7,
            assignment_id: Some(AttemptId::random(&OperatingSystemRandomness)),
            creation_id: Some(CreationId::random(&OperatingSystemRandomness)),
            draw: Some(StockPosition::random(&OperatingSystemRandomness)),
        }
    }

    #[test]
    fn a_license_key_reads_back() {
        let key = key();
        assert_eq!(read_license_key(&license_key_item(&key)), Ok(key));
    }

    #[test]
    fn only_a_key_in_stock_stands_in_the_index() {
        let sold = LicenseKeyRecord { draw: None, status: Status::Assigned, ..key() };
        let item = license_key_item(&sold);
        assert!(!item.contains_key(STOCK) && !item.contains_key(DRAW));
        let item = license_key_item(&key());
        assert!(item.contains_key(STOCK) && item.contains_key(DRAW));
    }

    #[test]
    fn a_spoilt_item_says_which_attribute() {
        let mut item = license_key_item(&key());
        item.insert("version".to_owned(), text("seven"));
        let corrupt = StoreError::Corrupt { record: "license key", attribute: "version" };
        assert_eq!(read_license_key(&item), Err(corrupt));
    }
}
