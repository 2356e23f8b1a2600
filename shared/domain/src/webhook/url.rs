use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Position, Url};

/// The longest webhook URL. Every common server takes a request line of that length, and it fits into an
/// item.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_048;

/// The part of the query that the shop plugin writes while its webhook key is missing.
const KEY_NOT_SET: (&str, &str) = ("keevault-webhook", "not-set");

/// The URL that a shop wants its callback delivered to.
///
/// A value is an absolute `http` or `https` URL without credentials and fragment, on an allowed port.
/// [`WebhookRules`](super::WebhookRules) decide if a callback may go there. The URL is normalized as in
/// browsers, so that `https://0x7f.1/` has the host `127.0.0.1`. The query holds the shop's webhook key:
/// `Debug` prints the origin only.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// A text that cannot be a webhook URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookUrl {
    /// It is too long.
    #[error("must have at most {WEBHOOK_URL_BYTES_MAX} bytes")]
    TooLong,
    /// It is not an absolute URL with a host.
    #[error("must be a URL such as https://shop.example/?keevault-webhook=KEY")]
    Form,
    /// Its scheme is not HTTP's.
    #[error("must begin with https://")]
    Scheme,
    /// It has a user or a password.
    #[error("must not have a user or a password")]
    Credentials,
    /// Its port is not for web servers.
    #[error("must have port 443 (80 for http), or one from 1024")]
    Port,
    /// The shop has no webhook key: its plugin would refuse every callback.
    #[error(
        "has no webhook key (keevault-webhook=not-set): set the webhook key in the shop's settings first"
    )]
    KeyNotSet,
}

impl FromStr for WebhookUrl {
    type Err = InvalidWebhookUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > WEBHOOK_URL_BYTES_MAX {
            return Err(InvalidWebhookUrl::TooLong);
        }
        let mut url = Url::parse(text).map_err(|_| InvalidWebhookUrl::Form)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(InvalidWebhookUrl::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidWebhookUrl::Credentials);
        }
        // A fragment is for browsers and never sent.
        url.set_fragment(None);
        // A normalized URL may be longer: `ü` becomes `%C3%BC`.
        if url.as_str().len() > WEBHOOK_URL_BYTES_MAX {
            return Err(InvalidWebhookUrl::TooLong);
        }
        if url.query_pairs().any(|(name, value)| (&*name, &*value) == KEY_NOT_SET) {
            return Err(InvalidWebhookUrl::KeyNotSet);
        }
        let url = Self(url);
        if url.host().is_none_or(|host| absolute(&host) == Host::Domain(String::new())) {
            return Err(InvalidWebhookUrl::Form);
        }
        if port_is_allowed(url.is_encrypted(), url.port()) { Ok(url) } else { Err(InvalidWebhookUrl::Port) }
    }
}

/// Returns true if a webhook may have `port`: the scheme's own, or one that needs no privilege to listen on.
/// The others belong to services that are not HTTP, such as mail.
pub(super) const fn port_is_allowed(encrypted: bool, port: u16) -> bool {
    port >= 1024 || port == if encrypted { 443 } else { 80 }
}

/// `host` without the dot that marks the end of an absolute name.
pub(super) fn absolute(host: &Host<&str>) -> Host {
    match host {
        Host::Domain(name) => Host::Domain(name.strip_suffix('.').unwrap_or(name).to_owned()),
        Host::Ipv4(address) => Host::Ipv4(*address),
        Host::Ipv6(address) => Host::Ipv6(*address),
    }
}

impl WebhookUrl {
    /// The whole URL, with the query: the shop's secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns true if the scheme is `https`.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    pub(super) fn host(&self) -> Option<Host<&str>> {
        self.0.host()
    }

    /// The host in its normalized spelling; an IPv6 address has no brackets.
    #[must_use]
    pub fn host_name(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// The address, if the host is one and not a name. IPv4-mapped addresses become IPv4.
    #[must_use]
    pub fn literal_address(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address).to_canonical()),
        }
    }

    /// The port, which may be the scheme's own.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// The value of the header `Host`: the host, and the port unless it is the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.0[Position::BeforeHost..Position::AfterPort]
    }

    /// The path and the query: the target of a request.
    #[must_use]
    pub fn request_target(&self) -> &str {
        &self.0[Position::BeforePath..]
    }
}

impl fmt::Display for WebhookUrl {
    /// The whole URL, with the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for WebhookUrl {
    /// `WebhookUrl(https://shop.example/…)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({}/…)", &self.0[..Position::AfterPort])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<String, InvalidWebhookUrl> {
        text.parse().map(|url: WebhookUrl| url.to_string())
    }

    #[test]
    fn a_url_is_normalized() {
        for (text, expected) in [
            ("https://shop.example", "https://shop.example/"),
            ("HTTPS://Shop.Example:443/?a=B", "https://shop.example/?a=B"),
            ("http://shop.example:80/", "http://shop.example/"),
            ("https://shop.example:1024/x/../y", "https://shop.example:1024/y"),
            ("https://bücher.example/ü?ü", "https://xn--bcher-kva.example/%C3%BC?%C3%BC"),
            ("https://shop.example/?keevault-webhook=a1#top", "https://shop.example/?keevault-webhook=a1"),
            ("https://2130706433/", "https://127.0.0.1/"),
            ("https://shop.example/\r\n?a", "https://shop.example/?a"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
            assert_eq!(read(expected).as_deref(), Ok(expected), "{expected}");
        }
    }

    #[test]
    fn invalid_webhook_urls_are_refused() {
        use InvalidWebhookUrl::{Credentials, Form, KeyNotSet, Port, Scheme};
        for (text, expected) in [
            ("", Form),
            ("shop.example", Form),
            ("/path", Form),
            ("https://", Form),
            ("https://./", Form),
            ("https://shop.example:99999/", Form),
            ("https://shop example/", Form),
            ("https://[::1/", Form),
            ("https://[fe80::1%25eth0]/", Form),
            ("https://1.2.3.256/", Form),
            ("ftp://shop.example/", Scheme),
            ("file:///etc/passwd", Scheme),
            ("gopher://shop.example/", Scheme),
            ("javascript:alert(1)", Scheme),
            ("https://user@shop.example/", Credentials),
            ("https://:password@shop.example/", Credentials),
            ("https://shop.example@10.0.0.1/", Credentials),
            ("https://shop.example:80/", Port),
            ("https://shop.example:25/", Port),
            ("https://shop.example:0/", Port),
            ("https://shop.example:1023/", Port),
            ("http://shop.example:443/", Port),
            ("http://shop.example:22/", Port),
            ("https://shop.example/?keevault-webhook=not-set", KeyNotSet),
            ("https://shop.example/?a=b&keevault%2Dwebhook=not-s%65t&c=d", KeyNotSet),
        ] {
            assert_eq!(read(text), Err(expected), "{text}");
        }
        assert!(read("https://shop.example/?keevault-webhook=not-set-at-all").is_ok());
    }

    #[test]
    fn a_url_has_at_most_2048_bytes() {
        let url = |letter: &str, count: usize| format!("https://a.example/{}", letter.repeat(count));
        assert!(read(&url("a", 2_048 - 18)).is_ok());
        assert_eq!(read(&url("a", 2_048 - 17)), Err(InvalidWebhookUrl::TooLong));
        assert_eq!(read(&url("ü", 400)), Err(InvalidWebhookUrl::TooLong));
    }

    #[test]
    fn every_spelling_of_an_address_is_that_address() {
        for (host, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("0177.0.0.01", "127.0.0.1"),
            ("0x7f.0.1", "127.0.0.1"),
            ("%31%32%37.0.0.1", "127.0.0.1"),
            ("１２７.0.0.1", "127.0.0.1"),
            ("127。0。0。1", "127.0.0.1"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("[::ffff:7f00:1]", "127.0.0.1"),
            ("[0:0:0:0:0:0:0:1]", "::1"),
        ] {
            let url: WebhookUrl = format!("https://{host}/").parse().unwrap();
            assert_eq!(url.literal_address(), expected.parse().ok(), "{host}");
        }
        assert_eq!("https://shop.example/".parse::<WebhookUrl>().unwrap().literal_address(), None);
    }

    #[test]
    fn a_url_comes_apart_for_a_request() {
        for (text, host, port, authority, target) in [
            ("https://shop.example/a?b=c#d", "shop.example", 443, "shop.example", "/a?b=c"),
            ("http://shop.example?b", "shop.example", 80, "shop.example", "/?b"),
            ("https://[2606:4700::1]:8443", "2606:4700::1", 8443, "[2606:4700::1]:8443", "/"),
        ] {
            let url: WebhookUrl = text.parse().unwrap();
            assert_eq!((url.host_name(), url.port()), (host, port));
            assert_eq!((url.authority(), url.request_target()), (authority, target));
        }
    }

    #[test]
    fn debug_output_hides_path_and_query() {
        let url: WebhookUrl = "https://shop.example:8443/wc/secret?keevault-webhook=secret".parse().unwrap();
        assert_eq!(format!("{url:?}"), "WebhookUrl(https://shop.example:8443/…)");
    }

    #[test]
    fn errors_read_as_sentences_about_the_field() {
        let told = |text: &str| format!("The webhook_url field {}.", read(text).unwrap_err());
        assert_eq!(told("ftp://shop.example/"), "The webhook_url field must begin with https://.");
        assert_eq!(
            told("https://shop.example/?keevault-webhook=not-set"),
            "The webhook_url field has no webhook key (keevault-webhook=not-set): set the webhook key in the \
             shop's settings first."
        );
    }

    proptest! {
        #[test]
        fn a_url_reads_back_and_never_panics(text in "(https?://)?[ -~é]{0,80}") {
            if let Ok(url) = text.parse::<WebhookUrl>() {
                prop_assert_eq!(url.as_str().parse::<WebhookUrl>(), Ok(url.clone()));
                prop_assert!(url.as_str().is_ascii() && url.request_target().starts_with('/'));
            }
        }
    }
}
