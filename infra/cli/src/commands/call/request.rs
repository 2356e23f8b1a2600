use std::fs;

use anyhow::{Context as _, bail};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method};
use keypool_domain::ApiKey;
use keypool_local::demo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::Call;
use crate::http::{Answer, BaseUrl, send};
use crate::target::{Place, Target};

/// The variable that holds the API key, unless --api-key-file is given.
const API_KEY_VARIABLE: &str = "KEYPOOL_API_KEY";

/// The parameter with the URL for the callback of a queued order.
pub(super) const WEBHOOK_URL: &str = "webhook_url";

/// A request, ready to send.
pub(super) struct Request {
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Request {
    pub(super) async fn send(self) -> anyhow::Result<Answer> {
        send(Method::POST, &self.url, self.headers, self.body).await
    }
}

impl Call {
    /// Builds the request. `webhook_url` is the URL for its callback, if the command receives it.
    pub(super) fn request(
        &self,
        target: Option<&Target>,
        webhook_url: Option<&str>,
    ) -> anyhow::Result<Request> {
        let base_url = match (&self.url, target.and_then(|target| target.base_url.as_deref())) {
            (Some(url), _) => url.clone(),
            (None, Some(url)) => {
                let url = url.parse::<BaseUrl>();
                url.map_err(|reason| anyhow::anyhow!("the target's base URL {reason}"))?
            }
            (None, None) => {
                bail!("the API's base URL is unknown: give --url or --stack")
            }
        };
        let (media_type, body, has_key) = match self.json()? {
            Some((body, has_key)) => ("application/json", with_webhook_url(body, webhook_url), has_key),
            None => ("application/x-www-form-urlencoded", self.form(webhook_url).into_bytes(), false),
        };
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static(media_type))];
        if !has_key {
            let api_key = self.api_key(target)?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", api_key.reveal()))
                .context("the API key has invalid characters")?;
            value.set_sensitive(true);
            headers.push((AUTHORIZATION, value));
        }
        if let Some(key) = &self.idempotency_key {
            let value =
                HeaderValue::from_str(key.reveal()).context("this --idempotency-key cannot be sent")?;
            headers.push((HeaderName::from_static("idempotency-key"), value));
        }
        Ok(Request { url: format!("{base_url}{}", self.endpoint.path()), headers, body })
    }

    /// The body from --file, and true if it contains an API key.
    fn json(&self) -> anyhow::Result<Option<(Vec<u8>, bool)>> {
        let Some(path) = &self.file else { return Ok(None) };
        let body = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(&body) else {
            bail!("{} does not contain a JSON object", path.display())
        };
        Ok(Some((body, members.contains_key("api_key"))))
    }

    fn form(&self, webhook_url: Option<&str>) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let given = self.parameters.iter().map(|given| (given.name.as_str(), given.value.as_str()));
        let pairs = given.chain(webhook_url.map(|url| (WEBHOOK_URL, url)));
        let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// The value of a parameter, from the arguments or from --file.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        if let Some(given) = self.parameters.iter().rev().find(|given| given.name == name) {
            return Some(given.value.trim().to_owned());
        }
        let (body, _) = self.json().ok()??;
        let body: Value = serde_json::from_slice(&body).ok()?;
        let value = body.get(name)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    fn api_key(&self, target: Option<&Target>) -> anyhow::Result<ApiKey> {
        if let Some(path) = &self.api_key_file {
            let text = fs::read_to_string(path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            return text.trim().parse().with_context(|| format!("the API key in {}", path.display()));
        }
        if let Ok(text) = std::env::var(API_KEY_VARIABLE) {
            return text.trim().parse().context(format!("the API key in {API_KEY_VARIABLE}"));
        }
        match target.map(|target| &target.place) {
            // The demo's key is not secret, but it is sent to the local stack only.
            Some(Place::Local(_)) if self.url.is_none() => Ok(demo::API_KEY.parse()?),
            _ => bail!("no API key: give --api-key-file, or set {API_KEY_VARIABLE}"),
        }
    }
}

/// Appends the `webhook_url` to a JSON object, and leaves its other text unchanged.
fn with_webhook_url(mut body: Vec<u8>, webhook_url: Option<&str>) -> Vec<u8> {
    let Some(url) = webhook_url else { return body };
    // `Call::json` accepts only an object, so the body ends with a brace.
    let Some(members) = body.trim_ascii_end().strip_suffix(b"}") else { return body };
    body.truncate(members.len());
    let is_empty = body.trim_ascii() == b"{";
    let separator = if is_empty { "" } else { "," };
    body.extend(format!("{separator}{}:{}}}", Value::from(WEBHOOK_URL), Value::from(url)).into_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_url_becomes_the_last_member_of_a_body() {
        for (body, expected) in [
            ("{}", r#"{"webhook_url":"http://a/\"b"}"#),
            (" { }\n", r#" { "webhook_url":"http://a/\"b"}"#),
            ("{\"a\": {\"b\": 1}}\r\n", r#"{"a": {"b": 1},"webhook_url":"http://a/\"b"}"#),
        ] {
            let with_url = with_webhook_url(body.as_bytes().to_vec(), Some("http://a/\"b"));
            assert_eq!(String::from_utf8(with_url).unwrap(), expected, "{body}");
            assert_eq!(with_webhook_url(body.as_bytes().to_vec(), None), body.as_bytes());
        }
    }
}
