//! Log lines, and the sales in them.

use keypool_domain::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The member that names the row ids of the keys that a request gave away.
pub(super) const ROW_IDS: &str = "row_ids";

/// The greatest id that is taken for one: JSON carries whole numbers up to it exactly. A counter that a
/// forged or broken line raises beyond it would give no more ids.
const ROW_ID_MAX: u64 = (1 << 53) - 1;

/// The most levels of messages wrapped in messages.
const DEPTH_MAX: usize = 3;

/// A request that gave keys away.
#[derive(Debug, PartialEq)]
pub(super) struct Sale {
    pub(super) at: Timestamp,
    pub(super) ids: Vec<u64>,
}

/// The content of a line.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) sales: Vec<Sale>,
    /// The times it names.
    pub(super) times: Vec<Timestamp>,
}

/// The members that count, of a line of the functions or of what CloudWatch wraps it in. A member that stands
/// twice is an error of serde's.
#[derive(Debug, Deserialize)]
struct Members {
    timestamp: Option<Value>,
    row_ids: Option<Value>,
    message: Option<Value>,
    events: Option<Vec<Members>>,
}

/// Reads a line: of a function, behind a time or the name of a log stream, or in the JSON of the AWS command.
/// Each mention of `row_ids` must be read, or it is an error. A line without a mention is never one.
pub(super) fn read(text: &str) -> Result<Reading, String> {
    let mentions = text.matches(ROW_IDS).count();
    let mut reading = Reading::default();
    match parse(text) {
        Ok(members) => collect(members, 0, &mut reading)?,
        Err(why) if mentions > 0 => return Err(format!("has {ROW_IDS}, but is no JSON object: {why}")),
        Err(_) => {
            let first_word = text.split_whitespace().next();
            reading.times.extend(first_word.and_then(Timestamp::from_rfc3339));
        }
    }
    if reading.sales.len() != mentions {
        return Err(format!("mentions {ROW_IDS} where it is no member of a log line"));
    }
    Ok(reading)
}

fn parse(text: &str) -> Result<Members, String> {
    // In the AWS command's JSON, which is set out in lines, members and objects end with a comma.
    let text = text.trim().trim_end_matches(',');
    let object = if text.starts_with('"') {
        format!("{{{text}}}")
    } else {
        let start = text.find('{').ok_or("there is none in it")?;
        text.get(start..).unwrap_or_default().to_owned()
    };
    serde_json::from_str(&object).map_err(|error| error.to_string())
}

fn collect(members: Members, depth: usize, reading: &mut Reading) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("has messages within messages within messages".to_owned());
    }
    let at = members.timestamp.as_ref().and_then(time);
    reading.times.extend(at);
    if let Some(row_ids) = members.row_ids {
        let at = at.ok_or_else(|| format!("has {ROW_IDS}, but no timestamp that can be read"))?;
        reading.sales.push(Sale { at, ids: ids(&row_ids)? });
    }
    match members.message {
        Some(Value::String(message)) => match parse(&message) {
            Ok(inner) => collect(inner, depth + 1, reading)?,
            Err(why) if message.contains(ROW_IDS) => {
                return Err(format!("has a message with {ROW_IDS} that is no JSON object: {why}"));
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

/// A time as the functions write it, or as CloudWatch does, in milliseconds.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => Timestamp::from_rfc3339(text),
        Value::Number(number) => Timestamp::from_unix_microseconds(number.as_i64()?.checked_mul(1_000)?),
        _ => None,
    }
}

fn ids(value: &Value) -> Result<Vec<u64>, String> {
    let text = value.as_str().ok_or_else(|| format!("has {ROW_IDS} that are no text: {value}"))?;
    let id = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let id = text.parse().ok().filter(|id| digits && (1..=ROW_ID_MAX).contains(id));
        id.ok_or_else(|| format!("has {ROW_IDS} with {text:?}, which is no id"))
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
    fn a_sale_is_read_raw_or_as_aws_wraps_it() {
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
    fn other_lines_are_no_sales_and_their_times_are_known() {
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
    fn a_mention_of_row_ids_that_cannot_be_read_is_an_error() {
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
        // One good sale beside a bad one is no excuse.
        let (good, bad) = (json(LINE), json(&LINE[..LINE.len() - 1]));
        assert!(read(&format!(r#"{{"events":[{{"message":{good}}},{{"message":{bad}}}]}}"#)).is_err());
    }
}
