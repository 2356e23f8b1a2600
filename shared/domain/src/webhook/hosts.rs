use std::fmt;
use std::str::FromStr;

use url::Host;

use super::WebhookUrl;
use super::url::{absolute, port_is_allowed};

/// A host that an API key may have its callbacks delivered to: a name or an address, on one port or any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WebhookHost {
    host: Host,
    port: Option<u16>,
}

/// A text that cannot be a host of callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookHost {
    /// It is not a host with an optional port.
    #[error(
        "must be a host name or an address, optionally with a port, such as shop.example or shop.example:8443"
    )]
    Form,
    /// No webhook URL may have that port.
    #[error("must have port 80, 443 or one from 1024, or none")]
    Port,
}

impl FromStr for WebhookHost {
    type Err = InvalidWebhookHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address ends in a bracket and has colons of its own.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        // The URL standard allows `*` in a name. Here it would look like a pattern, and match nothing.
        if host.contains('*') {
            return Err(InvalidWebhookHost::Form);
        }
        let host =
            Host::parse(host.strip_suffix('.').unwrap_or(host)).map_err(|_| InvalidWebhookHost::Form)?;
        let Some(port) = port else { return Ok(Self { host, port: None }) };
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidWebhookHost::Form);
        }
        let port = port.parse().map_err(|_| InvalidWebhookHost::Port)?;
        if port_is_allowed(true, port) || port_is_allowed(false, port) {
            Ok(Self { host, port: Some(port) })
        } else {
            Err(InvalidWebhookHost::Port)
        }
    }
}

impl fmt::Display for WebhookHost {
    /// Writes `shop.example`, `shop.example:8443` or `[2001:db8::1]`, which reads back as the same host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The hosts that an API key lists (`webhook_hosts`). An empty list means any host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookHosts(Vec<WebhookHost>);

impl WebhookHosts {
    /// Returns true if any host is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hosts, in the order they were listed.
    pub fn iter(&self) -> impl Iterator<Item = &WebhookHost> {
        self.0.iter()
    }

    /// Returns true if the list has the host of `url`. A subdomain of a listed host is another host.
    #[must_use]
    pub fn lists(&self, url: &WebhookUrl) -> bool {
        let Some(host) = url.host().map(|host| absolute(&host)) else { return false };
        self.0.iter().any(|listed| listed.host == host && listed.port.is_none_or(|port| port == url.port()))
    }
}

impl FromIterator<WebhookHost> for WebhookHosts {
    fn from_iter<I: IntoIterator<Item = WebhookHost>>(hosts: I) -> Self {
        Self(hosts.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Result<String, InvalidWebhookHost> {
        text.parse().map(|host: WebhookHost| host.to_string())
    }

    #[test]
    fn hosts_are_normalized_as_in_browsers() {
        for (text, expected) in [
            ("shop.example", "shop.example"),
            ("SHOP.Example.", "shop.example"),
            ("Bücher.example:8443", "xn--bcher-kva.example:8443"),
            ("shop.example:443", "shop.example:443"),
            ("shop.example:80", "shop.example:80"),
            ("0x7f.1", "127.0.0.1"),
            ("[2606:4700::0001]:8443", "[2606:4700::1]:8443"),
            ("[2606:4700::1]", "[2606:4700::1]"),
        ] {
            assert_eq!(host(text).as_deref(), Ok(expected), "{text}");
            assert_eq!(host(expected).as_deref(), Ok(expected), "{expected}");
        }
    }

    #[test]
    fn invalid_hosts_are_refused() {
        for text in [
            "",
            ".",
            ":443",
            "shop.example:",
            "shop.example:+443",
            "https://shop.example",
            "shop.example/path",
            "user@shop.example",
            "*.shop.example",
            "shop example",
            "2606:4700::1",
        ] {
            assert_eq!(host(text), Err(InvalidWebhookHost::Form), "{text}");
        }
        for text in ["shop.example:0", "shop.example:22", "shop.example:1023", "shop.example:65536"] {
            assert_eq!(host(text), Err(InvalidWebhookHost::Port), "{text}");
        }
    }

    #[test]
    fn a_listed_host_is_that_host_and_no_other() {
        let hosts: WebhookHosts =
            ["shop.example", "bücher.example:8443"].iter().map(|text| text.parse().unwrap()).collect();
        for (url, expected) in [
            ("https://shop.example/?a=b", true),
            ("https://SHOP.EXAMPLE./", true),
            ("https://shop.example:9000/", true),
            ("http://shop.example/", true),
            ("https://xn--bcher-kva.example:8443/", true),
            ("https://xn--bcher-kva.example/", false),
            ("https://www.shop.example/", false),
            ("https://shop.example.org/", false),
            ("https://shop.example@other.example/", false),
        ] {
            let listed = url.parse().is_ok_and(|url| hosts.lists(&url));
            assert_eq!(listed, expected, "{url}");
        }
    }
}
