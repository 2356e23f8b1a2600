use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use keypool_domain::{WebhookRules, WebhookUrl};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};

use crate::connect::{allowed_addresses, connect, encrypt};
use crate::exchange::{Response, exchange};
use crate::response::judge;
use crate::{CallbackMessage, DeliveryOutcome, NotDeliveredReason, Resolve};

/// The bounds of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct CallbackLimits {
    /// The longest time for the whole attempt: name, connection, request and response.
    pub attempt: Duration,
    /// The longest time until there is a connection, for all addresses of the name together.
    pub connect: Duration,
    /// The largest part of a response's body that is read.
    pub body_bytes_max: usize,
}

impl Default for CallbackLimits {
    /// 10 s, 3 s and 64 KB.
    fn default() -> Self {
        Self { attempt: Duration::from_secs(10), connect: Duration::from_secs(3), body_bytes_max: 65_536 }
    }
}

/// The certificate authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("an additional certificate authority, or the TLS configuration, is invalid")]
pub struct UnusableRoots(#[from] rustls::Error);

/// Delivers callbacks.
#[derive(Debug, Clone)]
pub struct CallbackClient {
    resolver: Arc<dyn Resolve>,
    limits: CallbackLimits,
    tls: Arc<ClientConfig>,
}

impl CallbackClient {
    /// A client that trusts Mozilla's certificate authorities.
    pub fn new(resolver: Arc<dyn Resolve>, limits: CallbackLimits) -> Result<Self, UnusableRoots> {
        Self::with_additional_roots(resolver, limits, [])
    }

    /// A client that also trusts `roots`: the authorities of a private network, or of a test.
    pub fn with_additional_roots(
        resolver: Arc<dyn Resolve>,
        limits: CallbackLimits,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, UnusableRoots> {
        let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in roots {
            store.add(root)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { resolver, limits, tls: Arc::new(tls) })
    }

    /// Attempts once to deliver `message` to `url`, if `rules` allow it.
    ///
    /// A [`DeliveryOutcome::NotDelivered`] message may still have reached the shop, if its response was lost.
    pub async fn deliver(
        &self,
        url: &WebhookUrl,
        rules: &WebhookRules,
        message: &CallbackMessage,
    ) -> DeliveryOutcome {
        match tokio::time::timeout(self.limits.attempt, self.post(url, rules, message)).await {
            Ok(Ok(response)) => judge(&response, message.sent_at),
            Ok(Err(why)) => why.into(),
            Err(_) => NotDeliveredReason::TimedOut.into(),
        }
    }

    async fn post(
        &self,
        url: &WebhookUrl,
        rules: &WebhookRules,
        message: &CallbackMessage,
    ) -> Result<Response, NotDeliveredReason> {
        rules.check(url).map_err(NotDeliveredReason::UrlRefused)?;
        let unusable = NotDeliveredReason::UrlUnusable;
        // Names in a certificate have no dot at the end.
        let host = url.host_name();
        let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned());
        let name = name.map_err(|_| unusable.clone())?;
        let request = request(url, message).map_err(|_| unusable)?;
        let addresses = allowed_addresses(&*self.resolver, url, rules).await?;
        let stream = connect(&addresses, url.port(), self.limits.connect).await?;
        if url.is_encrypted() {
            let stream = encrypt(stream, name, Arc::clone(&self.tls)).await?;
            exchange(stream, request, self.limits.body_bytes_max).await
        } else {
            exchange(stream, request, self.limits.body_bytes_max).await
        }
    }
}

/// The request. The HTTP library adds its length.
fn request(url: &WebhookUrl, message: &CallbackMessage) -> http::Result<Request<Full<Bytes>>> {
    Request::post(url.request_target())
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("keypool/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", HeaderValue::from(message.sent_at.unix_seconds()))
        .header(CONNECTION, "close")
        .body(Full::new(message.body.clone()))
}
