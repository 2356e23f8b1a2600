//! An HTTP client for requests to the API.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// The time limit of a request. API Gateway never takes longer.
const WITHIN: Duration = Duration::from_secs(30);

/// The largest response that is read. Lambda allows 6 MB.
const BODY_BYTES_MAX: usize = 8 * 1_048_576;

/// The base URL of an API: `https://HOST`, or `http://` on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl(String);

impl FromStr for BaseUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| "must be a URL like https://api.example.com")?;
        let host = uri.host().ok_or("must be a URL like https://api.example.com")?;
        if uri.query().is_some() {
            return Err("must be the API's base URL, without a query");
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_this_machine(host) => {}
            Some("http") => return Err("must begin with https://: http would expose the API key"),
            _ => return Err("must begin with https://"),
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The value of a header, if it is present and text.
    pub(crate) fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        self.headers.get(name.as_ref())?.to_str().ok()
    }

    /// The time of the response by the server's clock.
    pub(crate) fn date(&self) -> Option<jiff::Timestamp> {
        let date = jiff::fmt::rfc2822::parse(self.header(DATE)?).ok()?;
        Some(date.timestamp())
    }

    /// Returns true if the response has this media type; parameters do not matter.
    pub(crate) fn is_of_type(&self, media_type: &str) -> bool {
        let given = self.header(CONTENT_TYPE).unwrap_or_default();
        given.split(';').next().is_some_and(|given| given.trim().eq_ignore_ascii_case(media_type))
    }
}

/// Sends a request and reads the whole response, within 30 seconds.
pub(crate) async fn send(
    method: Method,
    url: &str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: impl Into<Bytes>,
) -> anyhow::Result<Answer> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body.into())).with_context(|| format!("{url} is not a URL"))?;
    let client = Client::builder(TokioExecutor::new());
    // A request to this machine needs no certificates, and a small container has none.
    let response = match request.uri().scheme_str() {
        Some("http") => client.build_http().request(request),
        _ => client.build(connector()?).request(request),
    };
    let exchange = async {
        // Only the last cause of the error says what happened.
        let answer = response.await.map_err(|error| anyhow!("{}", last_cause(&error)))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body =
            body.map_err(|error| anyhow!("the response broke off: {}", last_cause(&*error)))?.to_bytes();
        anyhow::Ok(Answer { status: parts.status, headers: parts.headers, body })
    };
    match tokio::time::timeout(WITHIN, exchange).await {
        Ok(answer) => answer.with_context(|| format!("no response from {url}")),
        Err(_) => bail!("no response from {url} within {} seconds", WITHIN.as_secs()),
    }
}

/// Connects by TLS and trusts the certificates that this machine trusts.
fn connector() -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
    let builder = builder.context("cannot read this machine's certificates")?;
    Ok(builder.https_only().enable_http1().build())
}

fn last_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_must_be_encrypted_or_local() {
        for good in ["https://a.example", "http://127.0.0.1:9000/", "http://localhost", "http://[::1]:1"] {
            assert!(good.parse::<BaseUrl>().is_ok(), "{good}");
        }
        for bad in
            ["http://a.example", "ftp://a.example", "a.example", "", "https://a.example?x=1", "https://"]
        {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
        assert_eq!("https://a.example/".parse::<BaseUrl>().unwrap().to_string(), "https://a.example");
    }
}
