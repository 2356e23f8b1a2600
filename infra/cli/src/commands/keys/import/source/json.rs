use serde_json::{Map, Value};

use super::super::columns::{Cells, Field, Naming};

/// Reads a JSON line: an object, or a key alone.
pub(super) fn cells(text: &str, naming: &Naming) -> Result<Cells, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => of_object(&members, naming),
        Ok(Value::String(_)) if !naming.named.is_empty() => {
            Err("is a text: it has no members, but --column names some".to_owned())
        }
        Ok(Value::String(key)) => Ok(Cells::of_key(&key)),
        Ok(_) => Err("is neither a JSON object nor a text in quotes".to_owned()),
        Err(_) => Err("is not JSON".to_owned()),
    }
}

fn of_object(members: &Map<String, Value>, naming: &Naming) -> Result<Cells, String> {
    let columns = naming.columns(members.keys().map(String::as_str));
    if let Some(named) = naming.missing(&columns) {
        return Err(format!("there is no member {named}; the members are: {columns}"));
    }
    let mut cells = Cells::default();
    for (field, place) in columns.places() {
        match members.values().nth(place) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => cells.set(field, text),
            // A number is refused as a license key: leading zeros and further digits would be lost.
            Some(Value::Number(number)) if field != Field::LicenseKey => {
                cells.set(field, &number.to_string());
            }
            Some(_) => {
                let wanted = if field == Field::LicenseKey { "text in quotes" } else { "text or a number" };
                return Err(format!("{} must be {wanted}", field.name()));
            }
        }
    }
    if cells.get(Field::LicenseKey).is_none() {
        return Err(format!("there is no license key; the members are: {columns}"));
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::super::super::columns::named_column;
    use super::*;

    #[test]
    fn a_line_is_an_object_or_a_key() {
        let naming = Naming { named: vec![], needs_product: false };
        let read = |text: &str| cells(text, &naming);
        let object = read(r#"{"Key":"A","Validity":30,"status":null,"other":[1]}"#).unwrap();
        assert_eq!(object.get(Field::LicenseKey), Some("A"));
        assert_eq!(object.get(Field::Validity), Some("30"));
        assert_eq!(object.get(Field::Status), None);
        assert_eq!(read("\"B\"").unwrap().get(Field::LicenseKey), Some("B"));
        for (text, expected) in [
            (r#"{"key":12}"#, "license_key must be text in quotes"),
            (r#"{"key":"A","status":[]}"#, "status must be text or a number"),
            (r#"{"a":1,"b":2}"#, "there is no license key; the members are: a, b"),
            ("12", "is neither a JSON object nor a text in quotes"),
            ("{", "is not JSON"),
        ] {
            assert_eq!(read(text).unwrap_err(), expected, "{text}");
        }
        let naming = Naming { named: vec![named_column("status=State").unwrap()], needs_product: false };
        assert_eq!(cells(r#"{"key":"A","State":"sold"}"#, &naming).unwrap().get(Field::Status), Some("sold"));
        for (text, expected) in [
            (r#"{"key":"A","state":"sold"}"#, "there is no member State; the members are: key, state"),
            ("\"A\"", "is a text: it has no members, but --column names some"),
        ] {
            assert_eq!(cells(text, &naming).unwrap_err(), expected, "{text}");
        }
    }
}
