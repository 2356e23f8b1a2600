use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::tls::Certificate;
use crate::{LOOPBACK, SHOP};

/// The behavior of a shop's server once it has the request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Behavior {
    /// Sends this, then closes the connection properly.
    Respond(&'static str),
    /// Sends this, then closes the connection without the `close_notify` of TLS.
    RespondAndCut(&'static str),
    /// Sends this, then nothing, and keeps the connection.
    RespondAndWait(&'static str),
    /// Sends the first text, then the second one again and again.
    Repeat(&'static str, &'static str),
    /// Sends this byte by byte, slowly, and waits at the end.
    Drip(&'static str),
}

/// A shop's server on loopback.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    listening: JoinHandle<()>,
}

impl Server {
    /// Serves HTTP without TLS.
    pub(crate) async fn http(behavior: Behavior) -> Self {
        Self::start(None, behavior).await
    }

    /// Serves HTTPS with the shop's certificate.
    pub(crate) async fn https(behavior: Behavior) -> Self {
        Self::with(Certificate::of_the_shop(), &[&TLS12, &TLS13], behavior).await
    }

    /// Serves HTTPS with a certificate and versions of TLS.
    pub(crate) async fn with(
        certificate: &Certificate,
        versions: &[&'static SupportedProtocolVersion],
        behavior: Behavior,
    ) -> Self {
        let acceptor = TlsAcceptor::from(certificate.server(versions));
        Self::start(Some(acceptor), behavior).await
    }

    async fn start(acceptor: Option<TlsAcceptor>, behavior: Behavior) -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
                tokio::spawn(serve(stream, acceptor, behavior, noted));
            }
        });
        Self { address, requests, listening }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// A URL of this server under the shop's name, with a secret in its query.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{SHOP}:{}/hook?keevault-webhook=secret", self.port())
    }

    /// The requests so far, heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    behavior: Behavior,
    requests: Arc<Mutex<Vec<String>>>,
) {
    match acceptor {
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                respond(stream, behavior, &requests).await;
            }
        }
        None => respond(stream, behavior, &requests).await,
    }
}

async fn respond(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behavior: Behavior,
    requests: &Mutex<Vec<String>>,
) {
    let request = read_request(&mut stream).await;
    requests.lock().unwrap().push(request);
    // A client that has enough closes the connection, so every write may fail.
    match behavior {
        Behavior::Respond(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Behavior::RespondAndCut(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.flush().await;
        }
        Behavior::RespondAndWait(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.flush().await;
            until_closed(&mut stream).await;
        }
        Behavior::Repeat(head, rest) => {
            let mut alive = stream.write_all(head.as_bytes()).await.is_ok();
            while alive {
                alive = stream.write_all(rest.as_bytes()).await.is_ok();
            }
        }
        Behavior::Drip(text) => {
            for byte in text.bytes() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            until_closed(&mut stream).await;
        }
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text.into_owned();
            }
        }
        match stream.read_buf(&mut request).await {
            Ok(count) if count > 0 => {}
            _ => return String::from_utf8_lossy(&request).into_owned(),
        }
    }
}

async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    while stream.read_u8().await.is_ok() {}
}
