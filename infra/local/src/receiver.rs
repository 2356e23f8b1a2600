use std::{fmt, io};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use tokio::sync::mpsc;

use crate::server::{Server, bind};

/// The largest body of a callback. A response has 6 MB at most, the limit of Lambda.
const BODY_BYTES_MAX: usize = 8 * 1_048_576;

/// A shop on this machine that receives the callback of one queued order.
#[derive(Debug)]
pub struct CallbackReceiver {
    server: Server,
    path: String,
    callbacks: mpsc::Receiver<ReceivedCallback>,
}

/// A callback as it arrived. Its signature is not checked yet.
///
/// The body holds license keys, and `Debug` does not print it.
pub struct ReceivedCallback {
    /// The header `webhook-id`: the id of the order.
    pub webhook_id: String,
    /// The whole body: JSON whose member `original` is the envelope.
    pub body: Vec<u8>,
}

impl fmt::Debug for ReceivedCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedCallback").field("webhook_id", &self.webhook_id).finish_non_exhaustive()
    }
}

impl CallbackReceiver {
    /// Listens on a free port of 127.0.0.1, under a random path.
    ///
    /// keypool retries old orders for days. If an old order used the same port, it has another path and gets
    /// 404. So it cannot pass for the expected callback.
    pub async fn start() -> io::Result<Self> {
        let path = format!("/{}", uuid::Uuid::new_v4());
        // A repeated callback finds the channel full. It also gets 200, and is dropped.
        let (sender, callbacks) = mpsc::channel(1);
        let router = Router::new()
            .route(&path, post(receive))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(sender);
        let server = Server::start_router(bind(0).await?, router)?;
        Ok(Self { server, path, callbacks })
    }

    /// The `webhook_url` of the order: `http://127.0.0.1:PORT/PATH`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.server.url(), self.path)
    }

    /// Waits for the callback. `None` means that the receiver failed.
    pub async fn receive(&mut self) -> Option<ReceivedCallback> {
        self.callbacks.recv().await
    }

    /// Stops listening. A callback that has arrived gets its response first.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// Responds to a callback with an empty 200.
async fn receive(
    State(callbacks): State<mpsc::Sender<ReceivedCallback>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let Some(Ok(webhook_id)) = headers.get("webhook-id").map(|id| id.to_str()) else {
        return StatusCode::BAD_REQUEST;
    };
    let callback = ReceivedCallback { webhook_id: webhook_id.to_owned(), body: body.to_vec() };
    // An error means that the callback has already arrived.
    let _ = callbacks.try_send(callback);
    StatusCode::OK
}
