use std::collections::HashSet;
use std::fmt::Display;
use std::str::FromStr;

use keypool_domain::{
    ActivationLimit, CreationId, InvalidTimestamp, KeyOrder, LicenseKey, NewKey, OrderReference, Owner,
    ProductId, Status, Timestamp, Validity,
};

use super::columns::{Cells, Field};

/// The values that apply to all keys of an import, and the defaults for lines without a value.
#[derive(Debug)]
pub(super) struct Rules {
    /// The product of all keys, whatever the lines say.
    pub(super) product: Option<ProductId>,
    pub(super) products: HashSet<ProductId>,
    pub(super) activation_limit: ActivationLimit,
    pub(super) validity: Validity,
    pub(super) status: Status,
}

impl Rules {
    /// The key that a line describes, or the reason for refusing it.
    pub(super) fn key(
        &self,
        cells: &Cells,
        now: Timestamp,
        creation_id: CreationId,
    ) -> Result<NewKey, String> {
        let license_key: Option<LicenseKey> = read(cells, Field::LicenseKey)?;
        let status = cells.get(Field::Status).map(status_of).transpose()?.unwrap_or(self.status);
        let assigned_at = cells.get(Field::AssignedAt).map(time_of).transpose()?.flatten();
        let owner = Owner { name: read(cells, Field::OwnerName)?, email: read(cells, Field::OwnerEmail)? };
        let reference: Option<OrderReference> = read(cells, Field::Order)?;
        // A wrong guess would sell somebody's key again.
        let is_sold = assigned_at.is_some() || owner != Owner::default() || reference.is_some();
        if status == Status::Available && is_sold {
            return Err(
                "has an owner, an order or a time of sale, but would become available: give its status in the file, \
                        or with --status"
                    .to_owned(),
            );
        }
        Ok(NewKey {
            license_key: license_key.ok_or("license_key must not be empty")?,
            product_id: self.product_of(cells)?,
            activation_limit: read(cells, Field::ActivationLimit)?.unwrap_or(self.activation_limit),
            validity: read(cells, Field::Validity)?.unwrap_or(self.validity),
            status,
            owner,
            // Like the API: an assigned key without a time gets the present time.
            assigned_at: assigned_at.or((status == Status::Assigned).then_some(now)),
            order: reference.map(|reference| KeyOrder { reference, sold_by: None }),
            assignment_id: None,
            creation_id: Some(creation_id),
        })
    }

    fn product_of(&self, cells: &Cells) -> Result<ProductId, String> {
        if let Some(product) = self.product {
            return Ok(product);
        }
        let product: Option<ProductId> = read(cells, Field::ProductId)?;
        let product = product.ok_or("product_id must not be empty")?;
        if self.products.contains(&product) {
            Ok(product)
        } else {
            Err(format!("there is no product {product}"))
        }
    }
}

fn read<T: FromStr<Err: Display>>(cells: &Cells, field: Field) -> Result<Option<T>, String> {
    let value = cells.get(field).map(|text| text.trim().parse());
    value.transpose().map_err(|reason: T::Err| format!("{} {reason}", field.name()))
}

/// Parses keypool's words, and the words and numbers of License Manager for `WooCommerce`.
fn status_of(text: &str) -> Result<Status, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "available" | "active" | "3" => Ok(Status::Available),
        "assigned" | "sold" | "delivered" | "1" | "2" => Ok(Status::Assigned),
        "reserved" => Ok(Status::Reserved),
        "blocked" | "inactive" | "4" => Ok(Status::Blocked),
        _ => Err(
            "status must be one of available, assigned, reserved, blocked, or one of License Manager for \
                  WooCommerce: sold, delivered, active, inactive, 1 to 4"
                .to_owned(),
        ),
    }
}

fn time_of(text: &str) -> Result<Option<Timestamp>, String> {
    let text = text.trim();
    // MySQL's notation for no time.
    if text.starts_with("0000-00-00") {
        return Ok(None);
    }
    if let Some(time) = Timestamp::from_rfc3339(text) {
        return Ok(Some(time));
    }
    let has_time = text.contains(':');
    let time = if has_time { text.parse() } else { Timestamp::from_date(text) };
    time.map(Some).map_err(|error: InvalidTimestamp| format!("{} {error}", Field::AssignedAt.name()))
}

#[cfg(test)]
mod tests {
    use keypool_domain::{ImportId, OperatingSystemRandomness};

    use super::*;

    fn key(cells: &[(Field, &str)]) -> Result<NewKey, String> {
        let rules = Rules {
            product: None,
            products: HashSet::from([ProductId::MIN]),
            activation_limit: "5".parse().unwrap(),
            validity: "30".parse().unwrap(),
            status: Status::Available,
        };
        let mut all = Cells::default();
        for (field, text) in [(Field::LicenseKey, "A"), (Field::ProductId, "1")].iter().chain(cells) {
            all.set(*field, text);
        }
        let import = ImportId::random(&OperatingSystemRandomness);
        rules.key(&all, Timestamp::from_unix_microseconds(0).unwrap(), CreationId::of_line(import, 1))
    }

    #[test]
    fn options_are_defaults_for_a_line() {
        let plain = key(&[]).unwrap();
        assert_eq!((plain.validity.get(), plain.activation_limit.get()), (30, 5));
        let full = key(&[(Field::Validity, "7"), (Field::ActivationLimit, "NULL")]).unwrap();
        assert_eq!((full.validity.get(), full.activation_limit.get()), (7, 5));
    }

    #[test]
    fn statuses_of_other_programs_are_accepted() {
        for (text, status) in [
            ("Available", Status::Available),
            ("3", Status::Available),
            ("active", Status::Available),
            ("1", Status::Assigned),
            ("SOLD", Status::Assigned),
            ("delivered", Status::Assigned),
            ("inactive", Status::Blocked),
            ("4", Status::Blocked),
            ("reserved", Status::Reserved),
        ] {
            assert_eq!(key(&[(Field::Status, text)]).unwrap().status, status, "{text}");
        }
    }

    #[test]
    fn a_sold_key_has_a_time() {
        let at = |text: &str| key(&[(Field::Status, "sold"), (Field::AssignedAt, text)]).unwrap().assigned_at;
        assert_eq!(at("2024-01-08 10:00:00").unwrap().to_whole_seconds_text(), "2024-01-08T10:00:00.000000Z");
        assert_eq!(at("2024-01-08T10:00:00Z"), at("2024-01-08 10:00:00"));
        assert_eq!(at("2024-01-08"), at("2024-01-08 00:00:00"));
        assert_eq!(at("0000-00-00 00:00:00").unwrap().unix_seconds(), 0, "the time of the import");
        assert_eq!(key(&[]).unwrap().assigned_at, None);
    }

    #[test]
    fn a_wrong_value_is_refused_by_name() {
        for (cell, expected) in [
            ((Field::LicenseKey, " "), "license_key must not be empty"),
            ((Field::LicenseKey, "a\tb"), "license_key must not contain control characters"),
            ((Field::ProductId, ""), "product_id must not be empty"),
            ((Field::ProductId, "2"), "there is no product 2"),
            ((Field::ProductId, "x"), "product_id must be an integer"),
            ((Field::Validity, "-1"), "validity must be at least 0"),
            ((Field::AssignedAt, "yesterday"), "assigned_at must be a date and time as YYYY-MM-DD HH:MM:SS"),
            (
                (Field::AssignedAt, "9999-12-31 23:59:59"),
                "assigned_at must not be later than 9999-12-30 22:00:00",
            ),
            ((Field::AssignedAt, "9999-12-31"), "assigned_at must not be later than 9999-12-30 22:00:00"),
        ] {
            assert_eq!(key(&[cell]).unwrap_err(), expected);
        }
        for cell in [(Field::OwnerEmail, "ada@example.com"), (Field::AssignedAt, "2024-01-08")] {
            let said = key(&[cell]).unwrap_err();
            assert!(said.starts_with("has an owner, an order or a time of sale, but would become"), "{said}");
            assert!(key(&[cell, (Field::Status, "blocked")]).is_ok());
        }
        assert!(key(&[(Field::Status, "5")]).unwrap_err().starts_with("status must be one of available"));
    }
}
