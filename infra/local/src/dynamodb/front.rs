use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use super::rules::{Refusal, Rules};

/// The largest request that DynamoDB accepts, in bytes (16 MB).
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A proxy in front of the emulator. It refuses requests that DynamoDB refuses but the emulator accepts, and
/// forwards the others.
pub(super) struct Front {
    client: Client<HttpConnector, Body>,
    emulator: String,
    rules: Rules,
}

impl Front {
    /// Creates a proxy for the emulator at this URL, such as `http://127.0.0.1:8000`.
    pub(super) fn before(emulator: String) -> Arc<Self> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Arc::new(Self { client, emulator, rules: Rules::default() })
    }
}

/// Serves one request.
pub(super) async fn handle(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, REQUEST_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.strip_prefix("DynamoDB_20120810."));
    if let Some(operation) = operation
        && let Err(Refusal { error, message }) = front.rules.check(operation, &body)
    {
        let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{error}"), "message": message});
        let json = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
        return (StatusCode::BAD_REQUEST, json, body.to_string()).into_response();
    }
    // The path does not matter: an SDK client may have an endpoint URL with a path.
    let Ok(uri) = format!("{}/", front.emulator).parse::<Uri>() else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    parts.uri = uri;
    match front.client.request(Request::from_parts(parts, Body::from(body))).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::debug!(%error, "the embedded DynamoDB does not respond");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}
