use std::net::{IpAddr, Ipv4Addr};

use super::{ForbiddenNetwork, WebhookHosts, WebhookUrl, forbidden_network};

/// Decides where callbacks may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookRules {
    hosts: WebhookHosts,
    this_machine: bool,
}

/// The reason why no callback goes to a URL, as a predicate of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefusal {
    /// The API key lists hosts, and the URL's is not among them.
    #[error("must have one of the hosts that are listed for this API key")]
    Host,
    /// `http` is for listed hosts only.
    #[error("must begin with https://")]
    Unencrypted,
    /// The host is an address that is not on the public Internet, or a name that always means one.
    #[error("must not lead to {0}")]
    Address(&'static ForbiddenNetwork),
}

impl WebhookRules {
    /// The rules of a deployed stack. If `hosts` is not empty, only these are allowed, also by `http`. Every
    /// address must be public, even that of a listed host.
    #[must_use]
    pub const fn deployed(hosts: WebhookHosts) -> Self {
        Self { hosts, this_machine: false }
    }

    /// The rules of the local stack: loopback addresses and `http` are allowed as well.
    #[must_use]
    pub const fn local(hosts: WebhookHosts) -> Self {
        Self { hosts, this_machine: true }
    }

    /// Checks `url` as far as possible without resolving its name.
    pub fn check(&self, url: &WebhookUrl) -> Result<(), WebhookRefusal> {
        let listed = self.hosts.lists(url);
        if !self.hosts.is_empty() && !listed {
            return Err(WebhookRefusal::Host);
        }
        if !url.is_encrypted() && !listed && !self.this_machine {
            return Err(WebhookRefusal::Unencrypted);
        }
        match literal_or_localhost(url) {
            Some(address) => self.check_address(address),
            None => Ok(()),
        }
    }

    /// Checks an address before a connection to it is opened.
    pub fn check_address(&self, address: IpAddr) -> Result<(), WebhookRefusal> {
        if self.this_machine && address.to_canonical().is_loopback() {
            return Ok(());
        }
        forbidden_network(address).map_or(Ok(()), |network| Err(WebhookRefusal::Address(network)))
    }
}

/// The address that is known before the name is resolved. `localhost` and the names below it are loopback
/// everywhere (RFC 6761).
fn literal_or_localhost(url: &WebhookUrl) -> Option<IpAddr> {
    let name = url.host_name().trim_end_matches('.');
    let localhost = name == "localhost" || name.ends_with(".localhost");
    url.literal_address().or(localhost.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(texts: &[&str]) -> WebhookHosts {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The refusal's text; empty if there is none.
    fn told(rules: &WebhookRules, url: &str) -> String {
        rules.check(&url.parse().unwrap()).err().map(|refusal| refusal.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_deployed_stack_takes_public_https_only() {
        let rules = WebhookRules::deployed(WebhookHosts::default());
        for (url, expected) in [
            ("https://shop.example/", ""),
            ("https://1.1.1.1:8443/", ""),
            ("https://[2606:4700::1]/", ""),
            ("http://shop.example/", "must begin with https://"),
            ("https://10.0.0.1/", "must not lead to a private address (RFC 1918)"),
            ("https://2130706433/", "must not lead to a loopback address (RFC 1122)"),
            (
                "https://0251.0376.43518/",
                "must not lead to an address of the cloud's metadata service (EC2 User Guide)",
            ),
            ("https://[::1]/", "must not lead to a loopback address (RFC 4291)"),
            ("https://[::ffff:a00:1]/", "must not lead to a private address (RFC 1918)"),
            ("https://localhost/", "must not lead to a loopback address (RFC 1122)"),
            ("https://shop.LOCALHOST./", "must not lead to a loopback address (RFC 1122)"),
            ("https://localhost.example/", ""),
        ] {
            assert_eq!(told(&rules, url), expected, "{url}");
        }
    }

    #[test]
    fn listed_hosts_exclude_all_others_and_may_use_http() {
        let rules = WebhookRules::deployed(hosts(&["shop.example", "other.example:8080", "10.0.0.1"]));
        let host = WebhookRefusal::Host.to_string();
        for (url, expected) in [
            ("https://shop.example/", ""),
            ("http://SHOP.example/", ""),
            ("http://other.example:8080/", ""),
            ("http://other.example/", &*host),
            ("https://third.example/", &*host),
            ("https://1.1.1.1/", &*host),
            ("http://10.0.0.1/", "must not lead to a private address (RFC 1918)"),
        ] {
            assert_eq!(told(&rules, url), expected, "{url}");
        }
    }

    #[test]
    fn the_local_stack_also_takes_loopback_and_http() {
        let rules = WebhookRules::local(WebhookHosts::default());
        for (url, expected) in [
            ("http://localhost:8080/", ""),
            ("http://127.9.9.9:8080/", ""),
            ("https://[::1]:8443/", ""),
            ("https://[::ffff:127.0.0.1]:8443/", ""),
            ("http://shop.example/", ""),
            ("http://192.168.0.2/", "must not lead to a private address (RFC 1918)"),
            ("http://0.0.0.0:8080/", "must not lead to the unspecified address (RFC 1122)"),
        ] {
            assert_eq!(told(&rules, url), expected, "{url}");
        }
        assert!(!told(&WebhookRules::local(hosts(&["localhost:1024"])), "http://localhost:8080/").is_empty());
    }
}
