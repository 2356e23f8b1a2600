//! Every way in which an attempt can end.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use keypool_callback::{CallbackClient, DeliveryOutcome, NotDeliveredReason, TlsFailure};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpListener;

use crate::server::{Behavior, Server};
use crate::tls::Certificate;
use crate::{BODY, LOOPBACK, Names, SHOP, deliver, generous, local, message, not_delivered};

/// The outcome with an HTTPS server that sends `response`.
async fn outcome_of(response: &'static str) -> DeliveryOutcome {
    let server = Server::https(Behavior::Respond(response)).await;
    deliver(&server.url("https"), generous()).await
}

#[tokio::test]
async fn a_delivery_is_one_post_with_the_standard_headers() {
    let server = Server::https(Behavior::Respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let outcome = deliver(&server.url("https"), generous()).await;
    assert_eq!(outcome, DeliveryOutcome::Delivered { status: 200 });
    let expected = format!(
        "POST /hook?keevault-webhook=secret HTTP/1.1\r\nhost: {SHOP}:{}\r\nuser-agent: keypool/{}\r\n\
         content-type: application/json\r\nwebhook-id: whk_31\r\nwebhook-timestamp: 1732388528\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{BODY}",
        server.port(),
        env!("CARGO_PKG_VERSION"),
        BODY.len(),
    );
    assert_eq!(server.requests(), [expected]);
}

#[tokio::test]
async fn a_success_is_delivered() {
    for (response, status) in [
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=UTF-8\r\ncontent-length: 0\r\n\r\n", 200),
        ("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}", 200),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nthanks", 200),
        ("HTTP/1.0 200 OK\r\n\r\n", 200),
        ("HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 202),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
        ("HTTP/1.1 200 OK\r\nodd header: x\r\ncontent-length: 0\r\n\r\n", 200),
    ] {
        assert_eq!(outcome_of(response).await, DeliveryOutcome::Delivered { status }, "{response}");
    }
}

#[tokio::test]
async fn a_web_page_is_not_delivered() {
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 8\r\n\r\nWelcome!",
        "HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n\r\n  <!DocType Html>\r\n",
        "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\n<ht\r\n3\r\nml>\r\n0\r\n\r\n",
    ] {
        assert_eq!(outcome_of(response).await, not_delivered(NotDeliveredReason::WebPage), "{response}");
    }
}

#[tokio::test]
async fn a_failure_is_reported_by_its_status() {
    for (response, expected) in [
        ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", DeliveryOutcome::Gone),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", not_delivered(NotDeliveredReason::Status(500))),
        ("HTTP/1.1 404 No\r\nretry-after: 5\r\n\r\n", not_delivered(NotDeliveredReason::Status(404))),
        (
            "HTTP/1.1 429 Slow\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n",
            DeliveryOutcome::NotDelivered {
                why: NotDeliveredReason::Status(429),
                retry_after: Some(Duration::from_mins(2)),
            },
        ),
        (
            "HTTP/1.1 503 Later\r\nretry-after: Sat, 23 Nov 2024 19:02:18 GMT\r\ncontent-length: 0\r\n\r\n",
            DeliveryOutcome::NotDelivered {
                why: NotDeliveredReason::Status(503),
                retry_after: Some(Duration::from_secs(10)),
            },
        ),
    ] {
        assert_eq!(outcome_of(response).await, expected, "{response}");
    }
}

#[tokio::test]
async fn a_response_that_is_not_http_or_is_cut_is_not_delivered() {
    use NotDeliveredReason::{Disconnected, NotHttp};
    for (response, expected) in [
        ("220 mail.shop.example ESMTP\r\n", NotHttp),
        ("HTTP/1.1 2000 OK\r\n\r\n", NotHttp),
        ("<html>", NotHttp),
        ("", Disconnected),
        ("HTTP/1.1 200 OK\r\ncontent-le", Disconnected),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", Disconnected),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", Disconnected),
    ] {
        for behavior in [Behavior::Respond(response), Behavior::RespondAndCut(response)] {
            let server = Server::https(behavior).await;
            let outcome = deliver(&server.url("https"), generous()).await;
            assert_eq!(outcome, not_delivered(expected.clone()), "{behavior:?}");
        }
    }
}

#[tokio::test]
async fn a_body_without_length_may_end_without_close_notify() {
    let server = Server::https(Behavior::RespondAndCut("HTTP/1.1 200 OK\r\n\r\nthanks")).await;
    let outcome = deliver(&server.url("https"), generous()).await;
    assert_eq!(outcome, DeliveryOutcome::Delivered { status: 200 });
}

#[tokio::test]
async fn a_wrong_certificate_is_refused() {
    let ok = Behavior::Respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let other_issuer = Certificate::of(&format!("DNS:{SHOP}"));
    let other_name = Certificate::of("DNS:other.example");
    for (certificate, trusted, expected) in [
        (&other_issuer, Certificate::of_the_shop(), TlsFailure::UnknownIssuer),
        (&other_name, &other_name, TlsFailure::WrongName),
    ] {
        let server = Server::with(certificate, &[&TLS13], ok).await;
        let names = Names::answering(&[&[LOOPBACK]]);
        let client = CallbackClient::with_additional_roots(names, generous(), [trusted.der()]).unwrap();
        let outcome = client.deliver(&server.url("https").parse().unwrap(), &local(), &message()).await;
        assert_eq!(outcome, not_delivered(NotDeliveredReason::Tls(expected)));
        assert_eq!(server.requests(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn only_known_authorities_are_trusted_by_default() {
    let server = Server::https(Behavior::Respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let client = CallbackClient::new(Names::answering(&[&[LOOPBACK]]), generous()).unwrap();
    let outcome = client.deliver(&server.url("https").parse().unwrap(), &local(), &message()).await;
    assert_eq!(outcome, not_delivered(NotDeliveredReason::Tls(TlsFailure::UnknownIssuer)));
}

#[tokio::test]
async fn http_is_used_if_the_rules_allow_it() {
    let server = Server::http(Behavior::Respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let outcome = deliver(&server.url("http"), generous()).await;
    assert_eq!(outcome, DeliveryOutcome::Delivered { status: 200 });
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_supported() {
    for version in [&TLS12, &TLS13] {
        let ok = Behavior::Respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let server = Server::with(Certificate::of_the_shop(), &[version], ok).await;
        let outcome = deliver(&server.url("https"), generous()).await;
        assert_eq!(outcome, DeliveryOutcome::Delivered { status: 200 }, "{version:?}");
    }
}

#[tokio::test]
async fn an_address_in_a_url_needs_a_certificate_for_it() {
    let ok = Behavior::Respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let certificate = Certificate::of("IP:127.0.0.1");
    let server = Server::with(&certificate, &[&TLS13], ok).await;
    let names = Names::answering(&[]);
    let client =
        CallbackClient::with_additional_roots(names.clone(), generous(), [certificate.der()]).unwrap();
    let url = format!("https://127.0.0.1:{}/", server.port()).parse().unwrap();
    let outcome = client.deliver(&url, &local(), &message()).await;
    assert_eq!(outcome, DeliveryOutcome::Delivered { status: 200 });
    assert!(names.asked().is_empty(), "an address was resolved");
}

#[tokio::test]
async fn a_name_may_end_in_a_dot() {
    let server = Server::https(Behavior::Respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let outcome = deliver(&format!("https://{SHOP}.:{}/", server.port()), generous()).await;
    assert_eq!(outcome, DeliveryOutcome::Delivered { status: 200 });
}

#[tokio::test]
async fn a_server_without_tls_is_recognized() {
    for greeting in ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.6\r\n"] {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let url = format!("https://{SHOP}:{}/", listener.local_addr().unwrap().port());
        let speaking = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, greeting.as_bytes()).await.unwrap();
            stream
        });
        let outcome = deliver(&url, generous()).await;
        assert_eq!(outcome, not_delivered(NotDeliveredReason::Tls(TlsFailure::NotTls)), "{greeting}");
        speaking.await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_or_reset_connection_is_reported() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for scheme in ["https", "http"] {
        let url = format!("{scheme}://{SHOP}:{port}/");
        let resetting = async {
            let (stream, _) = listener.accept().await.unwrap();
            // The reset comes after the client's first bytes, so that it does not make the connection attempt
            // fail.
            stream.peek(&mut [0]).await.unwrap();
            stream.set_zero_linger().unwrap();
        };
        let (outcome, ()) = tokio::join!(deliver(&url, generous()), resetting);
        assert_eq!(outcome, not_delivered(NotDeliveredReason::Disconnected), "{scheme}");
    }
    drop(listener);
    let outcome = deliver(&format!("https://{SHOP}:{port}/"), generous()).await;
    assert_eq!(outcome, not_delivered(NotDeliveredReason::NotConnected(ErrorKind::ConnectionRefused)));
}

#[tokio::test]
async fn a_name_without_an_address_is_reported() {
    let url = format!("https://{SHOP}/").parse().unwrap();
    for answers in [&[][..], &[&[][..]]] {
        let client = CallbackClient::new(Names::answering(answers), generous()).unwrap();
        let outcome = client.deliver(&url, &local(), &message()).await;
        assert_eq!(outcome, not_delivered(NotDeliveredReason::NameNotResolved));
    }
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_is_dead() {
    let server = Server::https(Behavior::Respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let dead: IpAddr = "127.0.0.3".parse().unwrap();
    let names = Names::answering(&[&["::1".parse().unwrap(), dead, LOOPBACK]]);
    let roots = [Certificate::of_the_shop().der()];
    let client = CallbackClient::with_additional_roots(names, generous(), roots).unwrap();
    let outcome = client.deliver(&server.url("https").parse().unwrap(), &local(), &message()).await;
    assert_eq!(outcome, DeliveryOutcome::Delivered { status: 200 });
}

#[tokio::test]
async fn at_most_four_addresses_of_a_name_are_tried() {
    let server = Server::https(Behavior::Respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let dead = (11..=14).map(|last| IpAddr::from([127, 0, 0, last]));
    let addresses: Vec<_> = dead.chain([LOOPBACK]).collect();
    let roots = [Certificate::of_the_shop().der()];
    let names = Names::answering(&[&addresses]);
    let client = CallbackClient::with_additional_roots(names, generous(), roots).unwrap();
    let outcome = client.deliver(&server.url("https").parse().unwrap(), &local(), &message()).await;
    assert_eq!(outcome, not_delivered(NotDeliveredReason::NotConnected(ErrorKind::ConnectionRefused)));
}

#[test]
fn reasons_are_one_plain_sentence() {
    use NotDeliveredReason as Why;
    for (why, expected) in [
        (
            Why::NotConnected(ErrorKind::ConnectionRefused),
            "no connection to the shop's server: connection refused",
        ),
        (
            Why::Tls(TlsFailure::WrongName),
            "no encrypted connection to the shop's server: its certificate is for another name",
        ),
        (Why::Status(500), "the shop's server responded with status 500"),
        (
            Why::Redirect(301),
            "the shop's server responded with a redirect (status 301): correct the webhook URL",
        ),
    ] {
        assert_eq!(why.to_string(), expected);
    }
}
