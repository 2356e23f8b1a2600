use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use keypool_domain::{Parameters, Value};
use multer::Multipart;

use super::UnreadableBody;

/// Reads `multipart/form-data` (RFC 7578). Each named part is a parameter, even a file; its own
/// `Content-Type` is ignored.
pub(super) async fn parameters(boundary: String, body: Bytes) -> Result<Parameters, UnreadableBody> {
    let body = stream::once(async { Ok::<_, Infallible>(body) });
    let mut parts = Multipart::new(body, boundary);
    let mut pairs = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(|_| UnreadableBody::Multipart)? {
        let Some(name) = part.name().map(str::to_owned) else { return Err(UnreadableBody::Multipart) };
        let bytes = part.bytes().await.map_err(|_| UnreadableBody::Multipart)?;
        let text = String::from_utf8(bytes.into()).map_err(|_| UnreadableBody::MultipartEncoding)?;
        pairs.push((name, Value::Text(text)));
    }
    Ok(pairs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(body: &[u8]) -> Result<Parameters, UnreadableBody> {
        parameters("XX".to_owned(), Bytes::copy_from_slice(body)).await
    }

    #[tokio::test]
    async fn parts_are_parameters() {
        let body = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
            --XX\r\ncontent-disposition: form-data; name=\"b\"; filename=\"b.txt\"\r\n\
            Content-Type: text/plain; charset=ISO-8859-1\r\n\r\nx\r\nü\r\n--XX--\r\n";
        let parameters = read(body.as_bytes()).await.unwrap();
        assert_eq!(parameters.text("a"), Some("1"));
        assert_eq!(parameters.text("b"), Some("x\r\nü"));
    }

    #[tokio::test]
    async fn a_malformed_body_is_refused() {
        let part = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
        for body in ["", "a=1", "--YY--\r\n", part, &format!("{part}1\r\n"), "--XX\r\n\r\n1\r\n--XX--\r\n"] {
            assert_eq!(read(body.as_bytes()).await, Err(UnreadableBody::Multipart), "{body:?}");
        }
        let latin = [part.as_bytes(), b"\xe4\r\n--XX--\r\n"].concat();
        assert_eq!(read(&latin).await, Err(UnreadableBody::MultipartEncoding));
    }
}
