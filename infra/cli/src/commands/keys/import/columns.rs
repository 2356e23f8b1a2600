//! Maps the columns of a file to fields.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::bail;
use clap::ValueEnum;
use csv::StringRecord;

/// A property of a key that can have its own column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
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
    pub(super) fn name(self) -> &'static str {
        self.usual_names().split(' ').next().unwrap_or_default()
    }

    /// The usual names of its column in the form of [`plain`], keypool's own name first. If a file has
    /// several of these columns, the earliest name in this list counts.
    const fn usual_names(self) -> &'static str {
        match self {
            Self::LicenseKey => {
                "license_key licence_key key license licence serial serial_number serial_key activation_key \
                 license_code code"
            }
            Self::ProductId => "product_id product",
            Self::ActivationLimit => {
                "activation_limit times_activated_max max_activations maximum_activations activations_limit"
            }
            Self::Validity => "validity valid_for validity_days valid_days",
            Self::Status => "status license_status",
            Self::OwnerName => "owner_name customer_name owner customer",
            Self::OwnerEmail => "owner_email customer_email email e_mail",
            Self::AssignedAt => "assigned_at sold_at delivered_at",
            Self::Order => "order order_id order_number order_reference identifier",
        }
    }
}

/// Normalizes a column name: `Times activated (max)` becomes `times_activated_max`.
fn plain(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("_")
}

/// A field, and the name of its column.
pub(super) type NamedColumn = (Field, String);

/// Parses `license_key=NAME`: the column called NAME has the license keys.
pub(super) fn named_column(text: &str) -> Result<NamedColumn, String> {
    let (name, column) = text.split_once('=').ok_or("must be FIELD=COLUMN, such as license_key=Code")?;
    let field = Field::from_str(name.trim(), false).map_err(|_| {
        let names: Vec<_> = Field::value_variants().iter().map(|field| field.name()).collect();
        format!("{name} is not a field; the fields are {}", names.join(", "))
    })?;
    match column.trim() {
        "" => Err("the column's name must not be empty".to_owned()),
        column => Ok((field, column.to_owned())),
    }
}

/// The assignment of columns to fields: by --column, else by the usual names.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    pub(super) named: Vec<NamedColumn>,
    pub(super) needs_product: bool,
}

impl Naming {
    /// Finds the field of each of these columns.
    pub(super) fn columns<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Columns {
        let names: Vec<&str> = names.into_iter().map(str::trim).collect();
        let plain: Vec<String> = names.iter().map(|name| plain(name)).collect();
        let place_of = |field: Field| match self.named.iter().find(|(named, _)| *named == field) {
            Some((_, column)) => names.iter().position(|name| name == column),
            None => {
                field.usual_names().split(' ').find_map(|usual| plain.iter().position(|name| name == usual))
            }
        };
        let fields = Field::value_variants().iter();
        let places = fields.filter_map(|field| Some((*field, place_of(*field)?))).collect();
        Columns { places, names: names.into_iter().map(str::to_owned).collect() }
    }

    /// The first column named by --column that is missing.
    pub(super) fn missing(&self, columns: &Columns) -> Option<&str> {
        let missing = self.named.iter().find(|(field, _)| columns.place_of(*field).is_none());
        missing.map(|(_, column)| column.as_str())
    }

    /// Checks that the required columns exist.
    pub(super) fn check(&self, columns: &Columns) -> anyhow::Result<()> {
        if let Some(named) = self.missing(columns) {
            bail!("there is no column {named}; the columns are: {columns}");
        }
        if columns.place_of(Field::LicenseKey).is_none() {
            bail!(
                "there is no column with license keys; the columns are: {columns}. Give --column \
                 license_key=NAME, or --format txt if each line is a key"
            );
        }
        if self.needs_product && columns.place_of(Field::ProductId).is_none() {
            bail!(
                "there is no column product_id; the columns are: {columns}. Give --product or --column \
                 product_id=NAME"
            );
        }
        Ok(())
    }
}

/// The columns of a file, or the members of a JSON object, and the fields that they have.
#[derive(Debug)]
pub(super) struct Columns {
    names: Vec<String>,
    places: BTreeMap<Field, usize>,
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))
    }
}

impl Columns {
    /// The fields that have a column, and its position.
    pub(super) fn places(&self) -> impl Iterator<Item = (Field, usize)> {
        self.places.iter().map(|(field, place)| (*field, *place))
    }

    pub(super) fn place_of(&self, field: Field) -> Option<usize> {
        self.places.get(&field).copied()
    }

    /// `license_key from "License key"; not used: ID`, for people.
    pub(super) fn description(&self) -> String {
        let name = |place: usize| self.names.get(place).map(String::as_str).unwrap_or_default();
        let used = self.places().map(|(field, place)| format!("{} from \"{}\"", field.name(), name(place)));
        let used = used.collect::<Vec<_>>().join(", ");
        let is_used = |place: usize| self.places().any(|(_, used)| used == place);
        let unused: Vec<&str> = (0..self.names.len()).filter(|place| !is_used(*place)).map(name).collect();
        if unused.is_empty() { used } else { format!("{used}; not used: {}", unused.join(", ")) }
    }

    /// The values of a CSV record.
    pub(super) fn cells(&self, values: &StringRecord) -> Result<Cells, String> {
        let columns = self.names.len();
        if values.iter().skip(columns).any(|value| !value.trim().is_empty()) {
            let count = values.len();
            return Err(format!("has {count} values for {columns} columns: a value may need quotes"));
        }
        let mut cells = Cells::default();
        for (field, place) in self.places() {
            cells.set(field, values.get(place).unwrap_or_default());
        }
        Ok(cells)
    }
}

/// The values of a line, by field. An empty text, `NULL` and white space count as absent.
#[derive(Debug, Default)]
pub(super) struct Cells(BTreeMap<Field, String>);

impl Cells {
    /// The cells of a line that is a license key and nothing else.
    pub(super) fn of_key(text: &str) -> Self {
        let mut cells = Self::default();
        cells.set(Field::LicenseKey, text);
        cells
    }

    pub(super) fn set(&mut self, field: Field, text: &str) {
        let is_null = field != Field::LicenseKey && text.eq_ignore_ascii_case("null");
        if is_null || text.trim().is_empty() {
            self.0.remove(&field);
        } else {
            self.0.insert(field, text.to_owned());
        }
    }

    pub(super) fn get(&self, field: Field) -> Option<&str> {
        self.0.get(&field).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_usual_names() {
        let naming = Naming { named: vec![], needs_product: true };
        let names = ["ID", "Order ID", "Product ID", "License key", "Times activated (max)", "Key"];
        let columns = naming.columns(names);
        naming.check(&columns).unwrap();
        assert_eq!(columns.place_of(Field::LicenseKey), Some(3), "license_key comes before key");
        assert_eq!(columns.place_of(Field::ProductId), Some(2));
        assert_eq!(columns.place_of(Field::ActivationLimit), Some(4));
        assert_eq!(columns.place_of(Field::Status), None);
        assert_eq!(columns.place_of(Field::Order), Some(1));
        let said = columns.description();
        assert!(
            said.starts_with("license_key from \"License key\", product_id from \"Product ID\""),
            "{said}"
        );
        assert!(said.ends_with("; not used: ID, Key"), "{said}");
    }

    #[test]
    fn a_named_column_comes_before_the_usual_ones() {
        let naming =
            Naming { named: vec![named_column("license_key=Secret").unwrap()], needs_product: false };
        let columns = naming.columns(["license_key", " Secret "]);
        assert_eq!(columns.place_of(Field::LicenseKey), Some(1));
        let said = naming.check(&naming.columns(["license_key", "x"])).unwrap_err().to_string();
        assert_eq!(said, "there is no column Secret; the columns are: license_key, x");
    }
}
