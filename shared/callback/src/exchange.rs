//! One request and its response over an open connection.

use std::io;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::NotDeliveredReason;

/// The longest head of a response. Servers send some kilobytes.
const HEAD_BYTES_MAX: usize = 65_536;

/// The parts of a response that count.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The beginning of the body of a successful response; empty for any other status.
    pub(crate) body: BytesMut,
}

/// Sends `request` over `stream` and reads the response, with `body_bytes_max` of its body.
///
/// The connection ends with this function.
pub(crate) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
    body_bytes_max: usize,
) -> Result<Response, NotDeliveredReason> {
    let mut builder = http1::Builder::new();
    // An invalid header, which keypool does not read, must not make the response invalid.
    builder.max_buf_size(HEAD_BYTES_MAX).ignore_invalid_headers_in_responses(true);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| reason_of(&error))?;
    let response = async {
        let response = sender.send_request(request).await.map_err(|error| reason_of(&error))?;
        read(response, body_bytes_max).await
    };
    // The connection makes progress only while it is polled. After it ends, the response may still be under
    // way.
    match select(pin!(response), pin!(connection)).await {
        Either::Left((response, _)) => response,
        Either::Right((_, response)) => response.await,
    }
}

/// Reads the body of a successful response to its end or to `body_bytes_max`. PHP ends a script whose client
/// goes away, so reading less could cut off the shop's handler.
async fn read(
    response: http::Response<Incoming>,
    body_bytes_max: usize,
) -> Result<Response, NotDeliveredReason> {
    let (http::response::Parts { status, headers, .. }, mut incoming) = response.into_parts();
    let mut body = BytesMut::new();
    while status.is_success() && body.len() < body_bytes_max {
        match incoming.frame().await {
            Some(Ok(frame)) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(error)) if !ends_by_closing(&headers, &error) => return Err(reason_of(&error)),
            _ => break,
        }
    }
    Ok(Response { status, headers, body })
}

/// Returns true if `error` is the end of a body without a length. Many old servers end it by closing the
/// connection, without the `close_notify` of TLS.
fn ends_by_closing(headers: &HeaderMap, error: &hyper::Error) -> bool {
    let unmarked = !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING);
    unmarked && io_kind_of(error) == Some(io::ErrorKind::UnexpectedEof)
}

fn io_kind_of(error: &hyper::Error) -> Option<io::ErrorKind> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<io::Error>().map(io::Error::kind)
}

fn reason_of(error: &hyper::Error) -> NotDeliveredReason {
    if error.is_parse() { NotDeliveredReason::NotHttp } else { NotDeliveredReason::Disconnected }
}
