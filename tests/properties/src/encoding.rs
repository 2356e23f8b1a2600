use std::fmt::Write as _;

use keypool_domain::Value;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// A body and its `Content-Type`.
pub(crate) type Encoded = (String, Vec<u8>);

/// A parameter with its value.
pub(crate) type Pair = (String, Value);

/// Encodes parameters as a form and as `multipart/form-data`. `None` if one is an object, which these formats
/// lack.
pub(crate) fn texts(pairs: &[Pair]) -> Option<[Encoded; 2]> {
    let text = |(name, value): &Pair| match value {
        Value::Text(text) | Value::Array(text) => Some((name.clone(), text.clone())),
        Value::Object => None,
    };
    let texts: Vec<(String, String)> = pairs.iter().map(text).collect::<Option<_>>()?;
    Some([form(&texts), multipart(&texts)])
}

fn form(pairs: &[(String, String)]) -> Encoded {
    let escaped = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    ("application/x-www-form-urlencoded".to_owned(), pairs.collect::<Vec<_>>().join("&").into_bytes())
}

fn multipart(pairs: &[(String, String)]) -> Encoded {
    let mut boundary = "boundary".to_owned();
    while pairs.iter().any(|(_, value)| value.contains(&boundary)) {
        boundary.push('-');
    }
    let mut body = String::new();
    for (name, value) in pairs {
        write!(body, "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            .unwrap();
    }
    write!(body, "--{boundary}--\r\n").unwrap();
    (format!("multipart/form-data; boundary={boundary}"), body.into_bytes())
}

/// Encodes parameters as JSON.
pub(crate) fn json(pairs: &[Pair]) -> Encoded {
    let member = |(name, value): &Pair| {
        let value = match value {
            Value::Text(text) => serde_json::to_string(text).unwrap(),
            Value::Array(json) => json.clone(),
            Value::Object => "{}".to_owned(),
        };
        format!("{}:{value}", serde_json::to_string(name).unwrap())
    };
    let members: Vec<String> = pairs.iter().map(member).collect();
    ("application/json".to_owned(), format!("{{{}}}", members.join(",")).into_bytes())
}
