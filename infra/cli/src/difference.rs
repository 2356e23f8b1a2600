//! Short descriptions of changes.

use serde_json::Value;

/// The most characters of a difference in a table; `--json` prints all of it.
const CHARACTERS_MAX: usize = 120;

/// Lists each member that differs, as `name: before → after`. Lists the members of a new record as `name:
/// value`.
pub(crate) fn between(before: Option<&Value>, after: Option<&Value>) -> String {
    let members = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (old, new) = (members(before), members(after));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let parts = names.into_iter().filter_map(|name| {
        let (was, is) = (text(old.get(name)), text(new.get(name)));
        (was != is).then(|| match before {
            Some(_) => format!("{name}: {was} → {is}"),
            None => format!("{name}: {is}"),
        })
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// Describes the same difference, cut to fit a row of a table.
pub(crate) fn in_short(before: Option<&Value>, after: Option<&Value>) -> String {
    let whole = between(before, after);
    if whole.chars().count() <= CHARACTERS_MAX {
        return whole;
    }
    whole.chars().take(CHARACTERS_MAX - 1).chain(['…']).collect()
}

/// The text for a value that is absent or empty.
pub(crate) const NOTHING: &str = "-";

/// The value as text, or [`NOTHING`].
pub(crate) fn or_nothing(value: Option<impl ToString>) -> String {
    let text = value.map(|value| value.to_string()).unwrap_or_default();
    if text.is_empty() { NOTHING.to_owned() } else { text }
}

fn text(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) => values.iter().map(text_of_element).collect::<Vec<_>>().join(" "),
        Some(other) => other.to_string(),
    };
    or_nothing(Some(text))
}

fn text_of_element(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unchanged_members_are_left_out() {
        let before = json!({"name": "Office", "generator_id": 3, "networks": ["10.0.0.0/8"], "prefix": ""});
        let after = json!({"name": "Büro", "generator_id": null, "networks": ["10.0.0.0/8", "::1/128"], "prefix": ""});
        assert_eq!(
            between(Some(&before), Some(&after)),
            "generator_id: 3 → -, name: Office → Büro, networks: 10.0.0.0/8 → 10.0.0.0/8 ::1/128"
        );
        assert_eq!(between(None, Some(&before)), "generator_id: 3, name: Office, networks: 10.0.0.0/8");
        assert_eq!(between(Some(&json!({"name": "x"})), None), "name: x → -");
        assert_eq!(between(None, None), "");
    }

    #[test]
    fn a_long_difference_is_cut() {
        let long = json!({"name": "ü".repeat(300)});
        let short = in_short(None, Some(&long));
        assert_eq!(short.chars().count(), CHARACTERS_MAX);
        assert!(short.ends_with("ü…"), "{short}");
    }
}
