use std::borrow::Cow;

use keypool_domain::{Parameters, Value};
use percent_encoding::percent_decode;

use super::UnreadableBody;

/// Reads `application/x-www-form-urlencoded` (WHATWG URL Standard, section 5.1), but strictly: the standard
/// replaces what is not UTF-8 by U+FFFD, and a license key so mended would be another key.
pub(super) fn parameters(body: &[u8]) -> Result<Parameters, UnreadableBody> {
    body.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            Ok((decode(name)?, Value::Text(decode(value)?)))
        })
        .collect()
}

fn decode(bytes: &[u8]) -> Result<String, UnreadableBody> {
    let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).decode_utf8().map(Cow::into_owned).map_err(|_| UnreadableBody::FormEncoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<(String, String)>, UnreadableBody> {
        let parameters = parameters(body.as_bytes())?;
        let names = ["a", "b c", "ü", ""];
        let given = names.iter().filter_map(|name| match parameters.value(name) {
            Some(Value::Text(text)) => Some(((*name).to_owned(), text.clone())),
            _ => None,
        });
        Ok(given.collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn forms_are_decoded() {
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("&&"), Ok(vec![]));
        assert_eq!(read("a=1&b+c=x%20y+z"), Ok(vec![pair("a", "1"), pair("b c", "x y z")]));
        assert_eq!(read("%C3%BC=%2B&a"), Ok(vec![pair("a", ""), pair("ü", "+")]));
        assert_eq!(read("a=1=2&=x"), Ok(vec![pair("a", "1=2"), pair("", "x")]));
        assert_eq!(read("a=100%&"), Ok(vec![pair("a", "100%")]), "a lone percent sign stands for itself");
    }

    #[test]
    fn what_is_not_utf_8_is_refused_rather_than_mended() {
        assert_eq!(read("a=%FF"), Err(UnreadableBody::FormEncoding));
        assert_eq!(parameters(b"a=\xff"), Err(UnreadableBody::FormEncoding));
        assert_eq!(read("%E4=1"), Err(UnreadableBody::FormEncoding));
    }
}
