use std::collections::BTreeMap;

use keypool_domain::{Parameters, Value};
use serde_json::value::RawValue;

use super::UnreadableBody;

/// Reads a JSON object. Numbers keep the text they were written with, so that no digit of one is lost.
pub(super) fn parameters(body: &[u8]) -> Result<Parameters, UnreadableBody> {
    let document: &RawValue = serde_json::from_slice(body).map_err(|_| UnreadableBody::Json)?;
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(document.get()).map_err(|_| UnreadableBody::NotAnObject)?;
    let mut pairs = Vec::with_capacity(members.len());
    for (name, member) in members {
        let json = member.get();
        let value = match json.as_bytes().first() {
            Some(b'n') => continue,
            Some(b't') => Value::Text("1".to_owned()),
            Some(b'f') => Value::Text("0".to_owned()),
            Some(b'"') => Value::Text(serde_json::from_str(json).map_err(|_| UnreadableBody::Json)?),
            Some(b'[') => Value::Array(json.to_owned()),
            Some(b'{') => Value::Object,
            _ => Value::Text(json.to_owned()),
        };
        pairs.push((name, value));
    }
    Ok(pairs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let body = r#" {"text": "a\u00fc\n", "number": 7, "long": 12345678901234567890123, "real": 7.0,
            "yes": true, "no": false, "none": null, "array": ["a", 1], "object": {"a": 1}, "empty": ""} "#;
        let parameters = parameters(body.as_bytes()).unwrap();
        for (name, expected) in [
            ("text", Some(text("aü\n"))),
            ("number", Some(text("7"))),
            ("long", Some(text("12345678901234567890123"))),
            ("real", Some(text("7.0"))),
            ("yes", Some(text("1"))),
            ("no", Some(text("0"))),
            ("none", None),
            ("array", Some(Value::Array(r#"["a", 1]"#.to_owned()))),
            ("object", Some(Value::Object)),
            ("empty", Some(text(""))),
        ] {
            assert!(parameters.value(name) == expected.as_ref(), "{name}");
        }
    }

    #[test]
    fn a_body_that_is_not_an_object_is_refused() {
        for (body, expected) in [
            ("", UnreadableBody::Json),
            ("{", UnreadableBody::Json),
            ("{}x", UnreadableBody::Json),
            (r#"{"a": "\ud800"}"#, UnreadableBody::Json),
            ("a=1&b=2", UnreadableBody::Json),
            ("[]", UnreadableBody::NotAnObject),
            ("null", UnreadableBody::NotAnObject),
            (r#""text""#, UnreadableBody::NotAnObject),
        ] {
            assert_eq!(parameters(body.as_bytes()), Err(expected), "{body}");
        }
        assert_eq!(parameters(b"{\"a\": \"\xff\"}"), Err(UnreadableBody::Json));
        assert_eq!(parameters("[".repeat(100_000).as_bytes()), Err(UnreadableBody::Json));
    }
}
