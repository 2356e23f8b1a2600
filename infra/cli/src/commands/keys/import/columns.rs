//! Maps the columns of a file to fields.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;

/// A property of a key that can have its own column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    LicenseKey,
    ProductId,
    ActivationLimit,
    Validity,
    Status,
    OwnerName,
    OwnerEmail,
    AssignedAt,
    Order,
}

impl Field {
    pub(super) const ALL: [Self; 9] = [
        Self::LicenseKey,
        Self::ProductId,
        Self::ActivationLimit,
        Self::Validity,
        Self::Status,
        Self::OwnerName,
        Self::OwnerEmail,
        Self::AssignedAt,
        Self::Order,
    ];

    pub(super) const fn name(self) -> &'static str {
        self.usual_names()[0]
    }

    /// The usual names of its column in the form of [`plain`], keypool's own name first. If a file has
    /// several of these columns, the earliest name in this list counts.
    const fn usual_names(self) -> &'static [&'static str] {
        match self {
            Self::LicenseKey => &[
                "license_key",
                "licence_key",
                "key",
                "license",
                "licence",
                "serial",
                "serial_number",
                "serial_key",
                "activation_key",
                "license_code",
                "code",
            ],
            Self::ProductId => &["product_id", "product"],
            Self::ActivationLimit => &[
                "activation_limit",
                "times_activated_max",
                "max_activations",
                "maximum_activations",
                "activations_limit",
            ],
            Self::Validity => &["validity", "valid_for", "validity_days", "valid_days"],
            Self::Status => &["status", "license_status"],
            Self::OwnerName => &["owner_name", "customer_name", "owner", "customer"],
            Self::OwnerEmail => &["owner_email", "customer_email", "email", "e_mail"],
            Self::AssignedAt => &["assigned_at", "sold_at", "delivered_at"],
            Self::Order => &["order", "order_id", "order_number", "order_reference", "identifier"],
        }
    }
}

/// Normalizes a column name: `Times activated (max)` becomes `times_activated_max`.
fn plain(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("_")
}

/// `license_key=NAME`: the column called NAME has the license keys.
#[derive(Debug, Clone)]
pub(super) struct NamedColumn {
    field: Field,
    column: String,
}

impl fmt::Display for NamedColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.field.name(), self.column)
    }
}

impl FromStr for NamedColumn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, column) = text.split_once('=').ok_or("must be FIELD=COLUMN, such as license_key=Code")?;
        let field = Field::ALL.into_iter().find(|field| field.name() == name.trim());
        let field = field.ok_or_else(|| {
            let names = Field::ALL.map(Field::name).join(", ");
            format!("{name} is not a field; the fields are {names}")
        })?;
        match column.trim() {
            "" => Err("the column's name must not be empty".to_owned()),
            column => Ok(Self { field, column: column.to_owned() }),
        }
    }
}

/// The assignment of columns to fields: by --column, else by the usual names.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    pub(super) named: Vec<NamedColumn>,
    pub(super) needs_product: bool,
}

impl Naming {
    /// Finds the position of each field's column among these.
    pub(super) fn places<'a>(&self, columns: &[&'a str]) -> Places<'a> {
        let place_of = |field: Field| {
            let named = self.named.iter().find(|named| named.field == field);
            if let Some(named) = named {
                return columns.iter().position(|column| column.trim() == named.column);
            }
            let mut usual = field.usual_names().iter();
            usual.find_map(|name| columns.iter().position(|column| plain(column) == *name))
        };
        Places { places: Field::ALL.map(place_of), columns: columns.to_vec() }
    }

    /// The first column named by --column that is missing.
    pub(super) fn missing(&self, places: &Places<'_>) -> Option<&str> {
        let missing = self.named.iter().find(|named| places.of(named.field).is_none());
        missing.map(|named| named.column.as_str())
    }

    /// Checks that the required columns exist.
    pub(super) fn check(&self, places: &Places<'_>) -> anyhow::Result<()> {
        let found = places.columns.join(", ");
        if let Some(named) = self.missing(places) {
            bail!("there is no column {named}; the columns are: {found}");
        }
        if places.of(Field::LicenseKey).is_none() {
            bail!(
                "there is no column with license keys; the columns are: {found}. Give --column \
                 license_key=NAME, or --format txt if each line is a key"
            );
        }
        if self.needs_product && places.of(Field::ProductId).is_none() {
            bail!(
                "there is no column product_id; the columns are: {found}. Give --product or --column \
                 product_id=NAME"
            );
        }
        Ok(())
    }
}

/// The positions of the fields among the columns.
#[derive(Debug)]
pub(super) struct Places<'a> {
    places: [Option<usize>; Field::ALL.len()],
    columns: Vec<&'a str>,
}

impl Places<'_> {
    pub(super) fn of(&self, field: Field) -> Option<usize> {
        self.places.get(field as usize).copied().flatten()
    }

    /// `license_key from "License key"`, …
    pub(super) fn used(&self) -> String {
        let used =
            Field::ALL.into_iter().filter_map(|field| Some((field, self.columns.get(self.of(field)?)?)));
        used.map(|(field, column)| format!("{} from \"{column}\"", field.name()))
            .collect::<Vec<_>>()
            .join(", ")
    }

    pub(super) fn ignored(&self) -> Vec<&str> {
        let used = |place: &usize| self.places.contains(&Some(*place));
        (0..self.columns.len())
            .filter(|place| !used(place))
            .filter_map(|place| self.columns.get(place).copied())
            .collect()
    }

    pub(super) fn into_array(self) -> [Option<usize>; Field::ALL.len()] {
        self.places
    }
}

/// The values of a line, by field. An empty text, `NULL` and white space count as absent.
#[derive(Debug, Default)]
pub(super) struct Cells([Option<String>; Field::ALL.len()]);

impl Cells {
    pub(super) fn set(&mut self, field: Field, text: &str) {
        let is_there =
            !text.trim().is_empty() && (field == Field::LicenseKey || !text.eq_ignore_ascii_case("null"));
        if let Some(cell) = self.0.get_mut(field as usize) {
            *cell = is_there.then(|| text.to_owned());
        }
    }

    pub(super) fn get(&self, field: Field) -> Option<&str> {
        self.0.get(field as usize)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_usual_names() {
        let naming = Naming { named: vec![], needs_product: true };
        let columns = ["ID", "Order ID", "Product ID", "License key", "Times activated (max)", "Key"];
        let places = naming.places(&columns);
        naming.check(&places).unwrap();
        assert_eq!(places.of(Field::LicenseKey), Some(3), "license_key comes before key");
        assert_eq!(places.of(Field::ProductId), Some(2));
        assert_eq!(places.of(Field::ActivationLimit), Some(4));
        assert_eq!(places.of(Field::Status), None);
        assert_eq!(places.of(Field::Order), Some(1));
        assert_eq!(places.ignored(), ["ID", "Key"]);
    }

    #[test]
    fn a_named_column_comes_before_the_usual_ones() {
        let naming = Naming { named: vec!["license_key=Secret".parse().unwrap()], needs_product: false };
        let places = naming.places(&["license_key", " Secret "]);
        assert_eq!(places.of(Field::LicenseKey), Some(1));
        let said = naming.check(&naming.places(&["license_key", "x"])).unwrap_err().to_string();
        assert_eq!(said, "there is no column Secret; the columns are: license_key, x");
    }
}
