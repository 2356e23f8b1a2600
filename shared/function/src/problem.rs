use std::time::Duration;

use lambda_http::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use lambda_http::{Body, Response};
use serde::Serialize;

use crate::UnreadableBody;

/// An unsigned response: problem details (RFC 9457). It never has a stack trace, an AWS error text, an ARN or
/// a table name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemDetails {
    /// 400.
    UnreadableBody(UnreadableBody),
    /// 400.
    MalformedIdempotencyKey,
    /// 404. API Gateway knows the routes, so this is for the local gateway.
    NotFound,
    /// 405.
    MethodNotAllowed {
        /// The methods that it takes, as the header `Allow` lists them.
        allowed: &'static str,
    },
    /// 409: the first request with this `Idempotency-Key` is not answered yet.
    InFlight,
    /// 409: the first request with this `Idempotency-Key` was answered, and its owner has been erased since.
    Erased,
    /// 409: an order has the license key reserved.
    KeyHeld,
    /// 413.
    TooLarge,
    /// 422: the `Idempotency-Key` was used for a request with other parameters.
    Mismatch,
    /// 500.
    Internal,
    /// 503: DynamoDB or KMS cannot serve. No key left the stock for the request, and none will.
    NothingSold,
    /// 503: DynamoDB did not answer the write of the sale, so the outcome is unknown.
    OutcomeUnknown {
        /// True if the request has an `Idempotency-Key`, so that a repetition is safe.
        is_repeatable: bool,
    },
}

impl ProblemDetails {
    /// The time after which a client may retry a 503. By then, throttles have usually passed.
    pub const RETRY_AFTER: Duration = Duration::from_secs(1);

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::UnreadableBody(_) | Self::MalformedIdempotencyKey => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::InFlight | Self::Erased | Self::KeyHeld => 409,
            Self::TooLarge => 413,
            Self::Mismatch => 422,
            Self::Internal => 500,
            Self::NothingSold | Self::OutcomeUnknown { .. } => 503,
        }
    }

    /// The problem type (RFC 9457, section 3.1.1), relative to the API. Most problems say no more than their
    /// status.
    const fn type_uri(self) -> &'static str {
        match self {
            Self::NothingSold => "/problems/nothing-was-sold",
            Self::OutcomeUnknown { .. } => "/problems/outcome-unknown",
            _ => "about:blank",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::UnreadableBody(_) | Self::MalformedIdempotencyKey => "Bad Request",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed { .. } => "Method Not Allowed",
            Self::InFlight | Self::Erased | Self::KeyHeld => "Conflict",
            Self::TooLarge => "Content Too Large",
            Self::Mismatch => "Unprocessable Content",
            Self::Internal => "Internal Server Error",
            Self::NothingSold | Self::OutcomeUnknown { .. } => "Service Unavailable",
        }
    }

    fn detail(self) -> String {
        match self {
            Self::UnreadableBody(error) => format!("The request cannot be read: {error}."),
            Self::MalformedIdempotencyKey => {
                format!("The header Idempotency-Key {}.", keypool_domain::InvalidIdempotencyKey)
            }
            Self::InFlight => {
                "The first request with this Idempotency-Key is not answered yet. Try again in a moment."
                    .to_owned()
            }
            Self::Erased => {
                "This request was answered, and the response was erased with its owner. Nothing is done a second time."
                    .to_owned()
            }
            Self::KeyHeld => {
                "An order holds this license key at this moment. Try again in a minute.".to_owned()
            }
            Self::Mismatch => "This Idempotency-Key was used for a request with other parameters.".to_owned(),
            Self::NotFound => "There is no such endpoint.".to_owned(),
            Self::MethodNotAllowed { allowed } => format!("This path takes only {allowed}."),
            Self::TooLarge => "The body is larger than 1 MiB.".to_owned(),
            Self::Internal => {
                "Something is wrong on this side. Nothing is wrong with the request.".to_owned()
            }
            Self::NothingSold => {
                "The service is unavailable. Nothing was sold for this request. Try again in a moment."
                    .to_owned()
            }
            Self::OutcomeUnknown { is_repeatable: true } => {
                "The outcome of this request is unknown. Repeat it with the \
                same Idempotency-Key: keys that were sold are returned, and are not sold twice."
                    .to_owned()
            }
            Self::OutcomeUnknown { is_repeatable: false } => {
                "The outcome of this request is unknown: its keys may have \
                been sold. Do not repeat it before you have looked its owner up."
                    .to_owned()
            }
        }
    }

    /// The response; `request_id` helps to find its log line.
    #[must_use]
    pub fn into_response(self, request_id: Option<&str>) -> Response<Body> {
        #[derive(Serialize)]
        struct Members<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            detail: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            request_id: Option<&'a str>,
        }
        let members = Members {
            r#type: self.type_uri(),
            title: self.title(),
            status: self.status(),
            detail: self.detail(),
            request_id,
        };
        // The members are text and a number, so writing them cannot fail.
        let mut response = Response::new(Body::Text(serde_json::to_string(&members).unwrap_or_default()));
        *response.status_mut() =
            self.status().try_into().unwrap_or(lambda_http::http::StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Self::NothingSold | Self::OutcomeUnknown { is_repeatable: true } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(Self::RETRY_AFTER.as_secs()));
            }
            Self::MethodNotAllowed { allowed } => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            _ => {}
        }
        response
    }
}
