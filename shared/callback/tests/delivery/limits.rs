//! Servers that are too slow or send too much.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use keypool_callback::{
    CallbackClient, CallbackLimits, DeliveryOutcome, NotDeliveredReason, Resolve, Resolving,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::server::{Behavior, Server};
use crate::{LOOPBACK, SHOP, deliver, generous, local, message, not_delivered, short};

#[derive(Debug)]
struct Silent;

impl Resolve for Silent {
    fn resolve<'a>(&'a self, _name: &'a str) -> Resolving<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_after_ten_seconds_with_its_lookup() {
    let client = CallbackClient::new(Arc::new(Silent), CallbackLimits::default()).unwrap();
    let start = Instant::now();
    let outcome = client.deliver(&format!("https://{SHOP}/").parse().unwrap(), &local(), &message()).await;
    assert_eq!(outcome, not_delivered(NotDeliveredReason::TimedOut));
    // Tokio's timer counts whole milliseconds.
    assert!(start.elapsed().abs_diff(Duration::from_secs(10)) <= Duration::from_millis(1));
}

#[tokio::test]
async fn a_silent_or_dripping_server_times_out() {
    for behavior in [
        Behavior::RespondAndWait(""),
        Behavior::RespondAndWait("HTTP/1.1 200 OK\r\n"),
        Behavior::RespondAndWait("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"),
        Behavior::RespondAndWait("HTTP/1.1 200 OK\r\n\r\nok"),
        Behavior::Drip("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n\r\n"),
    ] {
        let server = Server::https(behavior).await;
        let outcome = deliver(&server.url("https"), short()).await;
        assert_eq!(outcome, not_delivered(NotDeliveredReason::TimedOut), "{behavior:?}");
        assert_eq!(server.requests().len(), 1, "{behavior:?}");
    }
}

#[tokio::test]
async fn a_silent_handshake_times_out() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let url = format!("https://{SHOP}:{}/", listener.local_addr().unwrap().port());
    let (outcome, accepted) = tokio::join!(deliver(&url, short()), listener.accept());
    assert_eq!(outcome, not_delivered(NotDeliveredReason::TimedOut));
    accepted.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_not_accepted_has_its_own_limit() {
    // Linux drops connections that do not fit into the queue of a listener that accepts none.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _queued = TcpStream::connect(address).await.unwrap();
    let limits = CallbackLimits { connect: Duration::from_millis(100), ..generous() };
    let outcome = deliver(&format!("https://{SHOP}:{}/", address.port()), limits).await;
    assert_eq!(outcome, not_delivered(NotDeliveredReason::NotConnected(ErrorKind::TimedOut)));
}

#[tokio::test]
async fn headers_without_end_are_not_http() {
    let many = Behavior::Repeat("HTTP/1.1 200 OK\r\n", "x: y\r\n");
    let long = Behavior::Repeat("HTTP/1.1 200 OK\r\nx: ", "yyyyyyyyyyyyyyyy");
    for behavior in [many, long] {
        let server = Server::https(behavior).await;
        let outcome = deliver(&server.url("https"), generous()).await;
        assert_eq!(outcome, not_delivered(NotDeliveredReason::NotHttp), "{behavior:?}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_read_to_its_bound() {
    for (head, expected) in [
        ("HTTP/1.1 200 OK\r\n\r\n", DeliveryOutcome::Delivered { status: 200 }),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            DeliveryOutcome::Delivered { status: 200 },
        ),
        ("HTTP/1.1 200 OK\r\n\r\n<html>", not_delivered(NotDeliveredReason::WebPage)),
        ("HTTP/1.1 500 Oh\r\n\r\n", not_delivered(NotDeliveredReason::Status(500))),
    ] {
        let server = Server::https(Behavior::Repeat(head, "0123456789abcdef")).await;
        assert_eq!(deliver(&server.url("https"), generous()).await, expected, "{head}");
    }
}
