//! The connection to the shop's server: checked addresses, TCP, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use keypool_domain::{WebhookRules, WebhookUrl};
use rustls::{CertificateError, ClientConfig, InvalidMessage};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{NotDeliveredReason, Resolve, TlsFailure};

/// The most addresses that one attempt tries, so that a name cannot make keypool probe many servers.
const ADDRESSES_MAX: usize = 4;

/// Finds the addresses of the URL's host, all of which are allowed.
///
/// One forbidden address refuses them all. An honest name has none, and an attacker who mixes them waits for
/// the client to fall back to it.
pub(crate) async fn allowed_addresses(
    resolver: &dyn Resolve,
    url: &WebhookUrl,
    rules: &WebhookRules,
) -> Result<Vec<IpAddr>, NotDeliveredReason> {
    let found = match url.literal_address() {
        Some(address) => vec![address],
        None => resolver.resolve(url.host_name()).await.unwrap_or_default(),
    };
    // The client connects to the address that is checked, so it gets its final form here.
    let mut addresses: Vec<_> = found.into_iter().map(|address| address.to_canonical()).collect();
    if addresses.is_empty() {
        return Err(NotDeliveredReason::NameNotResolved);
    }
    for &address in &addresses {
        rules
            .check_address(address)
            .map_err(|refusal| NotDeliveredReason::AddressForbidden { address, refusal })?;
    }
    // Lambda has no route to IPv6 outside of a VPC.
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.truncate(ADDRESSES_MAX);
    Ok(addresses)
}

/// Opens a connection to the first of `addresses` that accepts one. They share `limit` evenly.
pub(crate) async fn connect(
    addresses: &[IpAddr],
    port: u16,
    limit: Duration,
) -> Result<TcpStream, NotDeliveredReason> {
    let limit = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = io::ErrorKind::NotFound;
    for &address in addresses {
        match tokio::time::timeout(limit, TcpStream::connect(SocketAddr::new(address, port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.kind(),
            Err(_) => last = io::ErrorKind::TimedOut,
        }
    }
    Err(NotDeliveredReason::NotConnected(last))
}

/// Speaks TLS with the server behind `stream`, which must prove to be `name`.
pub(crate) async fn encrypt(
    stream: TcpStream,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, NotDeliveredReason> {
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| failure_of(&error))
}

fn failure_of(error: &io::Error) -> NotDeliveredReason {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return NotDeliveredReason::Disconnected;
    };
    NotDeliveredReason::Tls(match error {
        rustls::Error::InvalidCertificate(invalid) => match invalid {
            // A forged certificate may bear the name of an authority, but not its signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFailure::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::WrongName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFailure::Expired,
            _ => TlsFailure::Handshake,
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsFailure::NotTls,
        _ => TlsFailure::Handshake,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_tls_has_its_reason() {
        use TlsFailure::{Expired, Handshake, NotTls, UnknownIssuer, WrongName};
        let invalid = rustls::Error::InvalidCertificate;
        for (error, expected) in [
            (invalid(CertificateError::UnknownIssuer), UnknownIssuer),
            (invalid(CertificateError::BadSignature), UnknownIssuer),
            (invalid(CertificateError::NotValidForName), WrongName),
            (invalid(CertificateError::Expired), Expired),
            (invalid(CertificateError::NotValidYet), Expired),
            (invalid(CertificateError::BadEncoding), Handshake),
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), NotTls),
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidCcs), Handshake),
            (rustls::Error::DecryptError, Handshake),
        ] {
            let failure = failure_of(&io::Error::new(io::ErrorKind::InvalidData, error));
            assert_eq!(failure, NotDeliveredReason::Tls(expected));
        }
        assert_eq!(failure_of(&io::ErrorKind::ConnectionReset.into()), NotDeliveredReason::Disconnected);
    }
}
