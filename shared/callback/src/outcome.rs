use std::net::IpAddr;
use std::time::Duration;

use keypool_domain::WebhookRefusal;

/// The end of one attempt to deliver a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The shop has the callback.
    Delivered {
        /// The status of its response, 200 to 299.
        status: u16,
    },
    /// The shop may not have the callback: attempt it again later.
    NotDelivered {
        /// The reason, for an operator.
        why: NotDeliveredReason,
        /// The wait that the shop asks for by `Retry-After`, with status 429 or 503. It is not bounded.
        retry_after: Option<Duration>,
    },
    /// Status 410: the shop wants no callback at this URL, now or later.
    Gone,
}

/// The reason why a callback was not delivered. `Display` is a sentence without its period. It quotes nothing
/// of the URL's query, the request or the response's body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDeliveredReason {
    /// The rules refuse the URL. keypool did not contact the shop's server.
    #[error("the webhook URL {0}")]
    UrlRefused(WebhookRefusal),
    /// The URL has a host or a path that cannot be in a request. keypool did not contact the shop's server.
    #[error("the webhook URL has a host or a path that no request can have")]
    UrlUnusable,
    /// The name leads to at least one forbidden address. keypool did not contact the shop's server.
    #[error("the name in the webhook URL leads to {address}: it {refusal}")]
    AddressForbidden {
        /// The first forbidden address.
        address: IpAddr,
        /// The reason why it is forbidden.
        refusal: WebhookRefusal,
    },
    /// The name has no address, or its name servers do not answer.
    #[error("the name in the webhook URL could not be resolved")]
    NameNotResolved,
    /// No address of the shop's server accepts a connection.
    #[error("no connection to the shop's server: {0}")]
    NotConnected(std::io::ErrorKind),
    /// There is no encrypted connection to the shop's server.
    #[error("no encrypted connection to the shop's server: {0}")]
    Tls(TlsFailure),
    /// The shop's server closed the connection before its response was complete.
    #[error("the shop's server closed the connection before its response was complete")]
    Disconnected,
    /// The attempt took too long.
    #[error("the shop's server did not respond in time")]
    TimedOut,
    /// The response is not HTTP/1, or its headers are too long.
    #[error("the response of the shop's server is not HTTP, or its headers are too long")]
    NotHttp,
    /// A redirect. keypool does not follow it.
    #[error("the shop's server responded with a redirect (status {0}): correct the webhook URL")]
    Redirect(u16),
    /// A web page instead of the plugin's response: the webhook key in the URL is wrong.
    #[error("the shop's server responded with a web page: check the webhook key in the webhook URL")]
    WebPage,
    /// Any other status that reports no success.
    #[error("the shop's server responded with status {0}")]
    Status(u16),
}

/// The reason why there is no encrypted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// No authority that keypool trusts has signed the certificate.
    #[error("its certificate is not from a trusted authority")]
    UnknownIssuer,
    /// The certificate is for another name.
    #[error("its certificate is for another name")]
    WrongName,
    /// The certificate is not valid yet, or no longer.
    #[error("its certificate has expired or is not valid yet")]
    Expired,
    /// The server does not speak TLS on this port.
    #[error("it does not speak TLS on this port")]
    NotTls,
    /// Any other failure of the handshake.
    #[error("the TLS handshake failed")]
    Handshake,
}

impl From<NotDeliveredReason> for DeliveryOutcome {
    /// Makes a failure without a `Retry-After`.
    fn from(why: NotDeliveredReason) -> Self {
        Self::NotDelivered { why, retry_after: None }
    }
}
