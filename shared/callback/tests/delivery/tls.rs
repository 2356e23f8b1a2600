use std::process::Command;
use std::sync::{Arc, LazyLock};

use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::SHOP;

/// A certificate that only this test trusts.
pub(crate) struct Certificate {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

static OF_THE_SHOP: LazyLock<Certificate> = LazyLock::new(|| Certificate::of(&format!("DNS:{SHOP}")));

impl Certificate {
    /// The certificate that the shop has and the clients of these tests trust.
    pub(crate) fn of_the_shop() -> &'static Self {
        &OF_THE_SHOP
    }

    /// Makes a certificate for a name (`DNS:name`) or an address (`IP:address`).
    pub(crate) fn of(subject: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-subj", "/CN=test", "-days", "2"])
            .args(["-addext", &format!("subjectAltName={subject}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self {
            certificate: CertificateDer::from_pem_file(&certificate).unwrap(),
            key: PrivateKeyDer::from_pem_file(&key).unwrap(),
        }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    pub(crate) fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der()], self.key.clone_key())
            .unwrap();
        Arc::new(config)
    }
}
