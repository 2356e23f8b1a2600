//! Responses that the proxy makes instead of the service.

use std::io;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

/// Makes a response that is cut off after its head.
pub(crate) fn cut_off() -> Response<Body> {
    let body = Body::from_stream(stream::once(async {
        Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset))
    }));
    answer(StatusCode::OK, body)
}

pub(crate) fn answer(status: StatusCode, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", "application/x-amz-json-1.0".parse().unwrap());
    answer
}

/// Makes an error response with the service's status for it.
pub(crate) fn error(error: &Value) -> Response<Body> {
    let name = error["__type"].as_str().unwrap_or_default();
    let is = |suffix: &str| name.ends_with(suffix);
    let status =
        if is("InternalServerError") || is("KMSInternalException") || is("DependencyTimeoutException") {
            StatusCode::INTERNAL_SERVER_ERROR
        } else if is("ServiceUnavailable") {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::BAD_REQUEST
        };
    answer(status, Body::from(error.to_string()))
}

/// Makes the response of a transaction that was canceled because of one write.
pub(crate) fn cancelled(request: &Value, reason: &str, at: usize) -> Response<Body> {
    let writes = request["TransactItems"].as_array().map_or(1, Vec::len);
    let reasons: Vec<&str> = (0..writes).map(|n| if n == at % writes { reason } else { "None" }).collect();
    let super::Fault::Error(cancelled) = super::Fault::cancelled(&reasons) else { unreachable!() };
    error(&cancelled)
}

/// Makes the response of a `BatchGetItem` that has read nothing.
pub(crate) fn unread(request: &Value) -> Response<Body> {
    let unread = json!({"Responses": {}, "UnprocessedKeys": request["RequestItems"]});
    answer(StatusCode::OK, Body::from(unread.to_string()))
}

/// Removes the second half of the keys from a `BatchGetItem`. Returns them as `UnprocessedKeys`.
pub(crate) fn take_half(request: &mut Value) -> Value {
    let mut unread = serde_json::Map::new();
    for (table, asked) in request["RequestItems"].as_object_mut().into_iter().flatten() {
        let mut left = asked.clone();
        if let (Some(keys), Some(left_keys)) = (asked["Keys"].as_array_mut(), left["Keys"].as_array_mut()) {
            let half = keys.len().div_ceil(2);
            keys.truncate(half);
            left_keys.drain(..half);
            if !left_keys.is_empty() {
                unread.insert(table.clone(), left);
            }
        }
    }
    Value::Object(unread)
}
