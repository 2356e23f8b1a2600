use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The value of a parameter, as a form or a JSON body can send it.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Text; numbers and booleans of a JSON body have become text (`7`, `1`, `0`).
    Text(String),
    /// The JSON text of an array.
    Array(String),
    /// An object of a JSON body. No parameter takes one.
    Object,
}

/// The other spellings of parameters that clients of this API send, and the names that they mean.
const OTHER_SPELLINGS: [(&str, &str); 5] = [
    ("customer_name", "owner_name"),
    ("customer_email", "owner_email"),
    ("product_uuid", "product_id"),
    ("generator_uuid", "generator_id"),
    ("validity_days", "validity"),
];

/// The parameters of a request by name. A `null` of a JSON body is not among them.
///
/// They may hold license keys and API keys, so `Debug` prints names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, Value>);

impl Parameters {
    /// The value given for `name`, an empty text included.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value given for `name`, unless it is an empty text.
    fn given(&self, name: &str) -> Option<&Value> {
        self.value(name).filter(|value| !matches!(value, Value::Text(text) if text.is_empty()))
    }

    /// The text given for `name`, unless it is empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.given(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl FromIterator<(String, Value)> for Parameters {
    /// The last value of a repeated name counts, as in the API that shop plugins were written for.
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The faults of a request: parameter name to sentences, in the order of detection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValidationErrors(Vec<(&'static str, Vec<String>)>);

impl ValidationErrors {
    /// Makes a single fault of `parameter`. The predicate has the form of `must be an integer`.
    #[must_use]
    pub fn of(parameter: &'static str, predicate: impl Display) -> Self {
        let mut errors = Self::default();
        errors.report(parameter, predicate);
        errors
    }

    /// Adds a fault of `parameter`, in the form of [`Self::of`].
    pub fn report(&mut self, parameter: &'static str, predicate: impl Display) {
        self.add(parameter, format!("The {parameter} field {predicate}."));
    }

    /// Returns true if there is no fault.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a sentence to those about `parameter`.
    fn add(&mut self, parameter: &'static str, sentence: String) {
        match self.0.iter_mut().find(|(name, _)| *name == parameter) {
            Some((_, sentences)) => sentences.push(sentence),
            None => self.0.push((parameter, vec![sentence])),
        }
    }
}

impl Serialize for ValidationErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, sentences)| (name, sentences)))
    }
}

/// A mark that a fault was added to the [`Fields`] it came from.
#[derive(Debug, Clone, Copy)]
pub struct Reported(());

/// Reads a request's parameters one by one and gathers every fault on the way.
///
/// The error texts of the types read are predicates: `must be an integer` becomes
/// `The quantity field must be an integer.`
#[derive(Debug)]
pub struct Fields<'a> {
    parameters: &'a Parameters,
    faults: ValidationErrors,
}

impl<'a> Fields<'a> {
    /// Starts to read `parameters`.
    #[must_use]
    pub fn of(parameters: &'a Parameters) -> Self {
        Self { parameters, faults: ValidationErrors::default() }
    }

    /// The value given for a parameter under its own name, else under its other spelling.
    fn given(&self, name: &str) -> Option<&'a Value> {
        self.parameters.given(name).or_else(|| {
            let (spelling, _) = OTHER_SPELLINGS.iter().find(|(_, parameter)| *parameter == name)?;
            self.parameters.given(spelling)
        })
    }

    /// A parameter that must be given, and not empty.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Result<T, Reported> {
        match self.optional(name)? {
            Some(value) => Ok(value),
            None => Err(self.report(name, "is required")),
        }
    }

    /// A parameter that may be absent, `null` or empty: each is "not given".
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Result<Option<T>, Reported> {
        match self.given(name) {
            Some(Value::Array(_) | Value::Object) => Err(self.report(name, "must be text")),
            Some(Value::Text(text)) => self.parse(name, text).map(Some),
            None => Ok(None),
        }
    }

    /// A parameter that must be given as a JSON array or as the text of one. Reports each of its faults.
    pub fn required_array<T, F>(&mut self, name: &'static str) -> Result<T, Reported>
    where
        T: FromStr<Err: IntoIterator<Item = F>>,
        F: Display,
    {
        let json = match self.given(name) {
            Some(Value::Array(json) | Value::Text(json)) => json,
            // Any object makes the type report the form that it expects.
            Some(Value::Object) => "{}",
            None => return Err(self.report(name, "is required")),
        };
        json.parse::<T>().map_err(|faults| {
            for fault in faults {
                self.report(name, &fault);
            }
            Reported(())
        })
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, name: &'static str, text: &str) -> Result<T, Reported> {
        text.parse().map_err(|error| self.report(name, &error))
    }

    fn report(&mut self, name: &'static str, predicate: &(impl Display + ?Sized)) -> Reported {
        self.faults.report(name, predicate);
        Reported(())
    }

    /// Returns the request, or all faults. Read every field before you put the request together, so that no
    /// fault is left out.
    pub fn finish<T>(self, request: Result<T, Reported>) -> Result<T, ValidationErrors> {
        request.map_err(|Reported(())| self.faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OwnerField, Quantity};

    fn parameters(pairs: &[(&str, Value)]) -> Parameters {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn all_faults_are_gathered_in_order() {
        let parameters = parameters(&[("quantity", text("many")), ("owner_name", Value::Object)]);
        let mut fields = Fields::of(&parameters);
        let quantity = fields.required::<Quantity>("quantity");
        let product = fields.required::<Quantity>("product_id");
        let owner = fields.optional::<OwnerField>("owner_name");
        let faults = fields.finish((|| Ok((quantity?, product?, owner?)))()).unwrap_err();
        assert_eq!(
            serde_json::to_string(&faults).unwrap(),
            r#"{"quantity":["The quantity field must be an integer."],"product_id":["The product_id field is required."],"owner_name":["The owner_name field must be text."]}"#
        );
    }

    #[test]
    fn empty_text_is_not_given() {
        let parameters = parameters(&[("quantity", text(""))]);
        assert!(Fields::of(&parameters).required::<Quantity>("quantity").is_err());
        assert!(matches!(Fields::of(&parameters).optional::<Quantity>("quantity"), Ok(None)));
    }

    #[test]
    fn another_spelling_counts_where_the_name_is_absent() {
        for (spelling, name) in OTHER_SPELLINGS {
            let read = |pairs: &[(&str, Value)]| {
                let parameters = parameters(pairs);
                Fields::of(&parameters).optional::<OwnerField>(name).ok().flatten()
            };
            let seven = "7".parse().ok();
            assert_eq!(read(&[(spelling, text("7"))]), seven, "{name}");
            assert_eq!(read(&[(spelling, text("7")), (name, text(""))]), seven, "{name}");
            assert_eq!(read(&[(spelling, text("8")), (name, text("7"))]), seven, "{name}");
        }
    }

    #[test]
    fn a_fault_of_another_spelling_is_reported_by_the_name() {
        let parameters = parameters(&[("product_uuid", text("x"))]);
        let mut fields = Fields::of(&parameters);
        let product = fields.required::<Quantity>("product_id");
        assert_eq!(
            serde_json::to_string(&fields.finish(product).unwrap_err()).unwrap(),
            r#"{"product_id":["The product_id field must be an integer."]}"#
        );
    }

    #[test]
    fn the_last_of_two_values_counts() {
        let parameters = parameters(&[("quantity", text("1")), ("quantity", text("2"))]);
        assert_eq!(parameters.text("quantity"), Some("2"));
    }

    #[test]
    fn debug_output_shows_names_only() {
        let parameters = parameters(&[("api_key", text("2964c3c9"))]);
        assert_eq!(format!("{parameters:?}"), r#"{"api_key"}"#);
    }
}
