use bytes::Bytes;
use http::HeaderValue;
use keypool_domain::Timestamp;

/// The longest `webhook-id`. keypool's own are shorter.
const WEBHOOK_ID_BYTES_MAX: usize = 255;

/// One attempt to deliver a callback, with the headers of Standard Webhooks.
///
/// The body holds license keys, and `Debug` does not print it.
#[derive(Clone)]
pub struct CallbackMessage {
    pub(crate) id: HeaderValue,
    pub(crate) sent_at: Timestamp,
    pub(crate) body: Bytes,
}

/// A text that cannot be a `webhook-id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {WEBHOOK_ID_BYTES_MAX} printable ASCII characters without spaces")]
pub struct InvalidWebhookId;

impl CallbackMessage {
    /// Puts a message together.
    ///
    /// - `id` is the `webhook-id`, the same for all attempts of one delivery.
    /// - `sent_at` is the moment of this attempt: `webhook-timestamp`, in whole seconds.
    /// - `body` is JSON, the same bytes for all attempts.
    pub fn new(id: &str, sent_at: Timestamp, body: impl Into<Bytes>) -> Result<Self, InvalidWebhookId> {
        let printable = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable || id.len() > WEBHOOK_ID_BYTES_MAX {
            return Err(InvalidWebhookId);
        }
        let id = HeaderValue::from_str(id).map_err(|_| InvalidWebhookId)?;
        Ok(Self { id, sent_at, body: body.into() })
    }
}

impl std::fmt::Debug for CallbackMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallbackMessage")
            .field("id", &self.id)
            .field("sent_at", &self.sent_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_printable_and_the_body_is_not_printed() {
        let sent_at = Timestamp::from_unix_microseconds(0).unwrap();
        let message = |id: &str| CallbackMessage::new(id, sent_at, "license key");
        for bad in ["", " ", "a b", "a\r\nx: y", "é", &"a".repeat(256)] {
            assert_eq!(message(bad).err(), Some(InvalidWebhookId), "{bad:?}");
        }
        assert!(message(&"a".repeat(255)).is_ok());
        assert!(!format!("{:?}", message("whk_1").unwrap()).contains("license key"));
    }
}
