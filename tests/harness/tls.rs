use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A certificate for this machine, trusted by no other.
#[derive(Debug)]
pub struct Certificate {
    folder: TempDir,
    config: Arc<ServerConfig>,
}

impl Certificate {
    /// Makes a certificate.
    ///
    /// # Panics
    /// If `openssl` is not installed.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-subj", "/CN=localhost", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let chain = vec![CertificateDer::from_pem_file(&certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self { folder, config: Arc::new(config) }
    }

    /// The file that a client trusts through `SSL_CERT_FILE`.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }
}

/// A TLS server in front of a service without TLS, like the front of AWS.
#[derive(Debug)]
pub struct TlsFront {
    url: String,
    handshakes: Arc<AtomicUsize>,
    connections: Arc<Mutex<JoinSet<()>>>,
    listening: AbortHandle,
}

impl TlsFront {
    /// Starts in front of the service at `http://HOST:PORT`.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn before(service: &str, certificate: &Certificate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let service = service.trim_start_matches("http://").to_owned();
        let acceptor = TlsAcceptor::from(Arc::clone(&certificate.config));
        let handshakes = Arc::new(AtomicUsize::new(0));
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let (counted, kept) = (Arc::clone(&handshakes), Arc::clone(&connections));
        let listening = tokio::spawn(async move {
            while let Ok((accepted, _)) = listener.accept().await {
                let _ = accepted.set_nodelay(true);
                let (acceptor, service, counted) = (acceptor.clone(), service.clone(), Arc::clone(&counted));
                kept.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
                    let Ok(mut client) = acceptor.accept(accepted).await else { return };
                    counted.fetch_add(1, Ordering::Relaxed);
                    let Ok(mut server) = TcpStream::connect(service).await else { return };
                    let _ = server.set_nodelay(true);
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { url, handshakes, connections, listening: listening.abort_handle() }
    }

    /// `https://HOST:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the number of handshakes so far.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Closes all connections, like a service with idle ones.
    pub fn close_connections(&self) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
