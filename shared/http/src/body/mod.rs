//! Reads the parameters out of a body, whatever format it is in.

mod form;
mod json;
mod multipart;

use bytes::Bytes;
use keypool_domain::Parameters;
use mime::Mime;

/// The most bytes a body may have, once decoded: 1 MiB.
pub const BODY_BYTES_MAX: usize = 1_048_576;

/// Why a body cannot be read. The texts go to the client, so they quote nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableBody {
    /// The connection ended before the body did.
    #[error("the body is cut off")]
    CutOff,
    /// Not UTF-8, after percent-decoding.
    #[error("the form is not UTF-8")]
    FormEncoding,
    /// Not JSON.
    #[error("the body is not JSON")]
    Json,
    /// JSON, but no object.
    #[error("the body is JSON, but not an object with the parameters as its members")]
    NotAnObject,
    /// The `Content-Type` names no boundary.
    #[error("the Content-Type multipart/form-data has no boundary")]
    Boundary,
    /// Cut off, or its parts are malformed.
    #[error("the multipart body is malformed or cut off")]
    Multipart,
    /// A part that is not UTF-8.
    #[error("a part of the multipart body is not UTF-8")]
    MultipartEncoding,
}

/// Reads `body` as its `Content-Type` says; without one, or with one that is unknown, as a form.
pub(crate) async fn parameters(
    content_type: Option<&str>,
    body: Bytes,
) -> Result<Parameters, UnreadableBody> {
    let mime = content_type.and_then(|text| text.parse::<Mime>().ok());
    match mime.as_ref().map(|mime| (mime.type_().as_str(), mime.subtype().as_str())) {
        Some(("application", "json")) => json::parameters(&body),
        Some(("multipart", "form-data")) => {
            let boundary = mime.as_ref().and_then(|mime| mime.get_param(mime::BOUNDARY));
            let boundary = boundary.ok_or(UnreadableBody::Boundary)?.as_str().to_owned();
            multipart::parameters(boundary, body).await
        }
        _ => form::parameters(&body),
    }
}
