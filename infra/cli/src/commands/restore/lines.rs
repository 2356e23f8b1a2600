//! Reads sales from log lines.

use keypool_domain::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The member with the row ids of the keys that a request sold.
pub(super) const ROW_IDS: &str = "row_ids";

/// The greatest valid id: JSON represents integers exactly up to it. A counter that a forged or broken line
/// raised beyond it would give no more ids.
const ROW_ID_MAX: u64 = (1 << 53) - 1;

/// The most levels of nested messages.
const DEPTH_MAX: usize = 3;

/// A request that sold keys.
#[derive(Debug, PartialEq)]
pub(super) struct Sale {
    pub(super) at: Timestamp,
    pub(super) ids: Vec<u64>,
}

/// The content of a line.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) sales: Vec<Sale>,
    /// The times in the line.
    pub(super) times: Vec<Timestamp>,
}

/// The relevant members of a function's log line, or of CloudWatch's wrapper around it. serde refuses a
/// repeated member.
#[derive(Debug, Deserialize)]
struct Members {
    timestamp: Option<Value>,
    row_ids: Option<Value>,
    message: Option<Value>,
    events: Option<Vec<Members>>,
}

/// Reads a line: a function's own, one after a time or the name of a log stream, or one in the JSON of the
/// AWS command. Fails if a mention of `row_ids` cannot be read. A line without a mention is never an error.
pub(super) fn read(text: &str) -> Result<Reading, String> {
    let mentions = text.matches(ROW_IDS).count();
    let mut reading = Reading::default();
    match parse(text) {
        Ok(members) => collect(members, 0, &mut reading)?,
        Err(why) if mentions > 0 => return Err(format!("has {ROW_IDS}, but is not a JSON object: {why}")),
        Err(_) => {
            let first_word = text.split_whitespace().next();
            reading.times.extend(first_word.and_then(Timestamp::from_rfc3339));
        }
    }
    if reading.sales.len() != mentions {
        return Err(format!("mentions {ROW_IDS} outside of a member of a log line"));
    }
    Ok(reading)
}

fn parse(text: &str) -> Result<Members, String> {
    // In the AWS command's pretty-printed JSON, members and objects end with a comma.
    let text = text.trim().trim_end_matches(',');
    let object = if text.starts_with('"') {
        format!("{{{text}}}")
    } else {
        let start = text.find('{').ok_or("there is no brace in it")?;
        text.get(start..).unwrap_or_default().to_owned()
    };
    serde_json::from_str(&object).map_err(|error| error.to_string())
}

fn collect(members: Members, depth: usize, reading: &mut Reading) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("has too many nested messages".to_owned());
    }
    let at = members.timestamp.as_ref().and_then(time);
    reading.times.extend(at);
    if let Some(row_ids) = members.row_ids {
        let at = at.ok_or_else(|| format!("has {ROW_IDS}, but no readable timestamp"))?;
        reading.sales.push(Sale { at, ids: ids(&row_ids)? });
    }
    match members.message {
        Some(Value::String(message)) => match parse(&message) {
            Ok(inner) => collect(inner, depth + 1, reading)?,
            Err(why) if message.contains(ROW_IDS) => {
                return Err(format!("has a message with {ROW_IDS} that is not a JSON object: {why}"));
            }
            Err(_) => {}
        },
        Some(message @ Value::Object(_)) => {
            let inner = Members::deserialize(message).map_err(|error| error.to_string())?;
            collect(inner, depth + 1, reading)?;
        }
        _ => {}
    }
    members.events.into_iter().flatten().try_for_each(|event| collect(event, depth + 1, reading))
}

/// Parses a time of the functions, in RFC 3339, or one of CloudWatch, in milliseconds.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => Timestamp::from_rfc3339(text),
        Value::Number(number) => Timestamp::from_unix_microseconds(number.as_i64()?.checked_mul(1_000)?),
        _ => None,
    }
}

fn ids(value: &Value) -> Result<Vec<u64>, String> {
    let text = value.as_str().ok_or_else(|| format!("has {ROW_IDS} that are not text: {value}"))?;
    let id = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let id = text.parse().ok().filter(|id| digits && (1..=ROW_ID_MAX).contains(id));
        id.ok_or_else(|| format!("has {ROW_IDS} with {text:?}, which is not an id"))
    };
    text.split(',').map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"timestamp":"2026-11-24T16:46:08.123456Z","level":"INFO","message":"answered","code":803,"row_ids":"17,18"}"#;

    fn sale() -> Sale {
        Sale { at: Timestamp::from_rfc3339("2026-11-24T16:46:08.123456Z").unwrap(), ids: vec![17, 18] }
    }

    fn json(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }

    #[test]
    fn a_sale_is_read_from_raw_and_wrapped_lines() {
        let message = json(&format!("{LINE}\n"));
        for line in [
            LINE.to_owned(),
            format!("2026-11-24T16:46:08.123Z {LINE}"),
            format!("2026-11-24T16:46:08.123000+00:00 2026/11/24/[$LATEST]0a1b {LINE}"),
            format!("            \"message\": {message},"),
            format!(r#"{{"logStreamName":"a","timestamp":1795539968123,"message":{message}}}"#),
            format!(r#"  {{"timestamp":1795539968123,"message":{message}}},"#),
            format!(r#"{{"timestamp":1795539968123,"message":{LINE}}}"#),
            format!(r#"{{"events":[{{"timestamp":1795539968123,"message":{message}}}],"nextToken":"x"}}"#),
        ] {
            assert_eq!(read(&line).unwrap().sales, [sale()], "{line}");
        }
        let two = format!(r#"{{"events":[{{"message":{message}}},{{"message":{message}}}]}}"#);
        assert_eq!(read(&two).unwrap().sales, [sale(), sale()]);
    }

    #[test]
    fn other_lines_have_times_but_no_sales() {
        let at = Timestamp::from_rfc3339("2026-11-24T16:46:08Z").unwrap();
        for line in [
            r#"{"timestamp":"2026-11-24T16:46:08Z","message":"answered","code":802}"#,
            "2026-11-24T16:46:08Z START RequestId: 1",
            r#"            "timestamp": 1795538768000,"#,
            r#"{"timestamp":1795538768000,"message":"REPORT {"}"#,
        ] {
            assert_eq!(read(line), Ok(Reading { sales: vec![], times: vec![at] }), "{line}");
        }
        for line in ["", "{", "}", "START RequestId: 1", r#""events": ["#, r#"{"message":3}"#, "[]"] {
            assert_eq!(read(line), Ok(Reading::default()), "{line}");
        }
    }

    #[test]
    fn an_unreadable_mention_of_row_ids_is_an_error() {
        let with = |ids: &str| format!(r#"{{"timestamp":"2026-11-24T16:46:08Z","row_ids":{ids}}}"#);
        for ids in [
            "17",
            "[17]",
            "null",
            "{}",
            r#""""#,
            r#"",""#,
            r#""17,""#,
            r#""17, 18""#,
            r#""+17""#,
            r#""-1""#,
            r#""0""#,
            r#""1.5""#,
            r#""17;18""#,
            r#""9007199254740992""#,
            r#""18446744073709551616""#,
        ] {
            assert!(read(&with(ids)).is_err(), "{ids}");
        }
        assert_eq!(read(&with(r#""9007199254740991""#)).unwrap().sales[0].ids, [ROW_ID_MAX]);
        for line in [
            r#"{"row_ids":"17"}"#,
            r#"{"timestamp":"yesterday","row_ids":"17"}"#,
            r#"{"timestamp":"2026-11-24T16:46:08Z","row_ids":"17","row_ids":"18"}"#,
            r#"{"timestamp":"2026-11-24T16:46:08Z","row_ids":"17"#,
            r#"{"timestamp":"2026-11-24T16:46:08Z","row_ids":"17"} and more"#,
            r#"{"timestamp":"2026-11-24T16:46:08Z","spans":{"row_ids":"17"}}"#,
            r#"{"message":"answered row_ids 17"}"#,
            "answered row_ids=17",
            r#""row_ids": "17","#,
        ] {
            assert!(read(line).is_err(), "{line}");
        }
        // A good sale does not excuse a bad one beside it.
        let (good, bad) = (json(LINE), json(&LINE[..LINE.len() - 1]));
        assert!(read(&format!(r#"{{"events":[{{"message":{good}}},{{"message":{bad}}}]}}"#)).is_err());
    }
}
