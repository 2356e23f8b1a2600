//! The meaning of a shop's response.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use keypool_domain::Timestamp;

use crate::exchange::Response;
use crate::{DeliveryOutcome, NotDeliveredReason};

/// Judges a response to a message that was sent at `sent_at`.
pub(crate) fn judge(response: &Response, sent_at: Timestamp) -> DeliveryOutcome {
    let Response { status, headers, body } = response;
    let code = status.as_u16();
    if status.is_success() {
        if is_web_page(headers, body) {
            return NotDeliveredReason::WebPage.into();
        }
        return DeliveryOutcome::Delivered { status: code };
    }
    match *status {
        StatusCode::GONE => DeliveryOutcome::Gone,
        status if status.is_redirection() => NotDeliveredReason::Redirect(code).into(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => DeliveryOutcome::NotDelivered {
            why: NotDeliveredReason::Status(code),
            retry_after: retry_after(headers, sent_at),
        },
        _ => NotDeliveredReason::Status(code).into(),
    }
}

/// Returns true if the body is a web page, by its type or by its beginning.
///
/// An empty body is no page: the plugin's handler leaves it empty, and PHP still declares `text/html`.
fn is_web_page(headers: &HeaderMap, body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    if body.is_empty() {
        return false;
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let typed =
        ["text/html", "application/xhtml+xml"].iter().any(|page| media_type.eq_ignore_ascii_case(page));
    let begins = |text: &[u8]| body.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
    typed || begins(b"<!doctype html") || begins(b"<html")
}

/// The wait of `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). A date in the past means no
/// wait.
fn retry_after(headers: &HeaderMap, sent_at: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too large for its type still means a very long wait.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let sent_at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(sent_at.unix_seconds()).ok()?);
    Some(date.duration_since(sent_at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn page(media_type: &'static str, body: &str) -> bool {
        is_web_page(&headers(&[("content-type", media_type)]), body.as_bytes())
    }

    #[test]
    fn a_page_is_known_by_its_type_or_its_beginning() {
        for (media_type, body, expected) in [
            ("text/html; charset=UTF-8", "", false),
            ("text/html", " \r\n", false),
            ("text/html", "\u{feff}\n", false),
            ("text/html", "<!-- theme --><html>", true),
            ("Text/HTML;charset=utf-8", "welcome", true),
            ("application/xhtml+xml", "<?xml version=\"1.0\"?>", true),
            ("application/json", "{\"ok\":true}", false),
            ("text/plain", "ok", false),
            ("text/plain", "<!DOCTYPE html><title>", true),
            ("application/json", "\u{feff} \n<!doctype HTML>", true),
            ("", "\t<HTML lang=en>", true),
            ("text/plain", "see <html>", false),
            ("text/plain", "<!doctype", false),
        ] {
            assert_eq!(page(media_type, body), expected, "{media_type} {body:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let sent_at = Timestamp::from_rfc3339("1994-11-06T08:49:07.5Z").unwrap();
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            let wait = retry_after(&headers(&[("retry-after", text)]), sent_at);
            assert_eq!(wait, expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&headers(&[]), sent_at), None);
    }

    #[test]
    fn every_status_has_a_meaning() {
        let sent_at = Timestamp::from_unix_microseconds(0).unwrap();
        for code in 100..=599 {
            let response = Response {
                status: StatusCode::from_u16(code).unwrap(),
                headers: headers(&[("retry-after", "9")]),
                body: BytesMut::new(),
            };
            let expected = match code {
                200..=299 => DeliveryOutcome::Delivered { status: code },
                300..=399 => NotDeliveredReason::Redirect(code).into(),
                410 => DeliveryOutcome::Gone,
                429 | 503 => DeliveryOutcome::NotDelivered {
                    why: NotDeliveredReason::Status(code),
                    retry_after: Some(Duration::from_secs(9)),
                },
                _ => NotDeliveredReason::Status(code).into(),
            };
            assert_eq!(judge(&response, sent_at), expected);
        }
    }
}
