//! Addresses that a caller must not reach through keypool.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};

use keypool_callback::{CallbackClient, DeliveryOutcome, NotDeliveredReason};
use keypool_domain::{WebhookHosts, WebhookRefusal, WebhookRules};

use crate::server::{Behavior, Server};
use crate::tls::Certificate;
use crate::{LOOPBACK, Names, SHOP, deliver, deployed, generous, local, message, not_delivered};

/// A listener on every address of this machine, which detects connections.
struct Door(TcpListener);

impl Door {
    fn open() -> Self {
        // The port serves IPv6, and IPv4 as mapped addresses.
        let listener = TcpListener::bind("[::]:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Asserts that no client connected. An open connection waits in the listener.
    fn assert_untouched(&self, what: &str) {
        assert_eq!(self.0.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{what}");
    }
}

/// An address of each forbidden kind, in each spelling that a URL allows.
const FORBIDDEN_HOSTS: [&str; 50] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.0x1",
    "0177.0.0.1",
    "017700000001",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "0",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "0xc0a80001",
    "100.64.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "169.254.170.2",
    "169.254.1.1",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::127.0.0.1]",
    "[2001::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[fd00:ec2::254]",
    "[fc00::1]",
    "[fe80::1]",
    "[ff02::1]",
];

#[tokio::test]
async fn no_forbidden_address_in_a_url_is_connected_to() {
    let (door, names) = (Door::open(), Names::answering(&[&["1.1.1.1".parse().unwrap()]]));
    let client = CallbackClient::new(names.clone(), generous()).unwrap();
    for host in FORBIDDEN_HOSTS.iter().chain(&["localhost", "LOCALHOST.", "shop.localhost"]) {
        let listed: WebhookHosts = [host.parse().unwrap()].into_iter().collect();
        for (scheme, rules) in [
            ("https", deployed()),
            ("https", WebhookRules::deployed(listed.clone())),
            ("http", WebhookRules::deployed(listed)),
        ] {
            let url = format!("{scheme}://{host}:{}/", door.port());
            let outcome = client.deliver(&url.parse().unwrap(), &rules, &message()).await;
            let DeliveryOutcome::NotDelivered { why: NotDeliveredReason::UrlRefused(refusal), .. } = outcome
            else {
                panic!("{url}: {outcome:?}");
            };
            assert!(matches!(refusal, WebhookRefusal::Address(_)), "{url}: {refusal}");
            door.assert_untouched(&url);
        }
    }
    assert!(names.asked().is_empty());
}

#[tokio::test]
async fn no_name_with_a_forbidden_address_is_connected_to() {
    let door = Door::open();
    let url = format!("https://{SHOP}:{}/", door.port()).parse().unwrap();
    let addresses =
        FORBIDDEN_HOSTS.iter().filter_map(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    let public: IpAddr = "192.0.9.9".parse().unwrap();
    for forbidden in addresses {
        for answer in [&[forbidden][..], &[public, forbidden], &[forbidden, public]] {
            let client = CallbackClient::new(Names::answering(&[answer]), generous()).unwrap();
            let outcome = client.deliver(&url, &deployed(), &message()).await;
            let DeliveryOutcome::NotDelivered { why, .. } = outcome else { panic!("{outcome:?}") };
            let NotDeliveredReason::AddressForbidden { address, .. } = why else {
                panic!("{answer:?}: {why}")
            };
            assert_eq!(address, forbidden.to_canonical());
            door.assert_untouched(&format!("{answer:?}"));
        }
    }
}

#[tokio::test]
async fn a_name_is_resolved_once_and_cannot_change() {
    let ok = Behavior::Respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let server = Server::https(ok).await;
    // The second answer leads to the same port on another address of this machine.
    let second = TcpListener::bind(("127.0.0.2", server.port())).unwrap();
    second.set_nonblocking(true).unwrap();
    let names = Names::answering(&[&[LOOPBACK], &["127.0.0.2".parse().unwrap()]]);
    let roots = [Certificate::of_the_shop().der()];
    let client = CallbackClient::with_additional_roots(names.clone(), generous(), roots).unwrap();
    let outcome = client.deliver(&server.url("https").parse().unwrap(), &local(), &message()).await;
    assert_eq!(outcome, DeliveryOutcome::Delivered { status: 200 });
    assert_eq!(names.asked(), [SHOP]);
    Door(second).assert_untouched("the second answer");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_name_that_turns_private_is_refused_the_next_time() {
    let door = Door::open();
    let url = format!("https://{SHOP}:{}/", door.port()).parse().unwrap();
    let names = Names::answering(&[&[], &[LOOPBACK]]);
    let client = CallbackClient::new(names, generous()).unwrap();
    let first = client.deliver(&url, &deployed(), &message()).await;
    assert_eq!(first, not_delivered(NotDeliveredReason::NameNotResolved));
    let DeliveryOutcome::NotDelivered { why, .. } = client.deliver(&url, &deployed(), &message()).await
    else {
        panic!("delivered");
    };
    assert_eq!(
        why.to_string(),
        "the name in the webhook URL leads to 127.0.0.1: it must not lead to a loopback address (RFC 1122)"
    );
    door.assert_untouched("the second attempt");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let target = format!("http://{}/", elsewhere.local_addr().unwrap());
    for code in [301, 302, 303, 307, 308] {
        let response = format!("HTTP/1.1 {code} Moved\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        let server = Server::https(Behavior::Respond(response.leak())).await;
        let outcome = deliver(&server.url("https"), generous()).await;
        assert_eq!(outcome, not_delivered(NotDeliveredReason::Redirect(code)));
        assert_eq!(server.requests().len(), 1);
    }
    Door(elsewhere).assert_untouched("the target of the redirect");
}

#[tokio::test]
async fn http_and_other_hosts_are_refused_before_any_connection() {
    let (door, names) = (Door::open(), Names::answering(&[&["1.1.1.1".parse().unwrap()]]));
    let client = CallbackClient::new(names.clone(), generous()).unwrap();
    let listed: WebhookHosts = [SHOP.parse().unwrap()].into_iter().collect();
    for (url, rules, expected) in [
        (format!("http://{SHOP}:{}/", door.port()), deployed(), WebhookRefusal::Unencrypted),
        ("https://other.example/".to_owned(), WebhookRules::deployed(listed), WebhookRefusal::Host),
    ] {
        let outcome = client.deliver(&url.parse().unwrap(), &rules, &message()).await;
        assert_eq!(outcome, not_delivered(NotDeliveredReason::UrlRefused(expected)));
    }
    assert!(names.asked().is_empty());
}
