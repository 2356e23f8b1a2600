use std::time::Duration;

use keypool_domain::{Envelope, Reply, SignablePayload, SigningKeyId, Timestamp};
use keypool_store::{Recorded, StoreError};
use lambda_http::http::StatusCode;
use lambda_http::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use lambda_http::{Body, Response};

use crate::telemetry::SALES;
use crate::{FunctionError, Invocation, ProblemDetails, measure};

/// A signed reply.
#[derive(Debug, Clone)]
pub struct SignedReply {
    envelope: Envelope,
    code: u16,
    http_status: u16,
    /// The time that the client must wait before it repeats the request.
    retry_after: Option<Duration>,
}

/// The size of a response that Lambda accepts: 6 MB, of which headers are a small part.
const ANSWER_BYTES_MAX: usize = 6 * 1_048_576 - 65_536;

impl Invocation {
    /// Returns true if Lambda accepts a response with this reply.
    #[must_use]
    pub fn fits(&self, reply: &Reply) -> bool {
        SignablePayload::new(reply, self.now()).envelope_bytes_max() <= ANSWER_BYTES_MAX
    }

    /// Signs a reply, given now, with the product's key, else the global key. The global key signs a refusal
    /// without members of its own once a second.
    pub async fn sign_reply(
        &self,
        reply: &Reply,
        product_key: Option<&SigningKeyId>,
    ) -> Result<SignedReply, FunctionError> {
        let now = self.now();
        let signed = self.signed(reply, product_key, now);
        if product_key.is_none() && reply.is_bare_refusal() {
            // On the heap, so that a sale does not carry its size.
            let signed = Box::pin(self.desk.refusals().answer(reply.code(), now, signed)).await?;
            // The wait is outside of the signed bytes, which are the same for all.
            Ok(SignedReply { retry_after: reply.retry_after(), ..signed })
        } else {
            signed.await
        }
    }

    async fn signed(
        &self,
        reply: &Reply,
        product_key: Option<&SigningKeyId>,
        now: Timestamp,
    ) -> Result<SignedReply, FunctionError> {
        let identifier = self.order.as_ref().and_then(|order| order.request.identifier.as_ref());
        let payload = SignablePayload::about(identifier, reply, now);
        let envelope = Box::pin(self.desk.sign(payload, product_key)).await?;
        let (code, http_status) = (reply.code(), reply.http_status());
        Ok(SignedReply { envelope, code, http_status, retry_after: reply.retry_after() })
    }

    /// Responds with the outcome of `act`, in time, and writes the request's one log line.
    pub(crate) async fn respond(
        &self,
        act: impl Future<Output = Result<SignedReply, FunctionError>>,
    ) -> Response<Body> {
        let signed = async {
            match act.await {
                Err(FunctionError::Refused(reply)) => self.sign_reply(&reply, None).await,
                outcome => self.or_repeat(outcome),
            }
        };
        let mut signed = std::pin::pin!(signed);
        let outcome = match tokio::time::timeout_at(self.deadline.instant(), &mut signed).await {
            Ok(outcome) => outcome,
            // A sale has a time limit of its own, shortly after the deadline at the latest. If it were cut
            // off, its outcome would be unknown.
            Err(_) if self.is_selling() => signed.await,
            Err(_) => Err(FunctionError::OutOfTime),
        };
        let (response, code) = match &outcome {
            Ok(answer) => (answer.to_response(), Some(answer.code)),
            Err(failure) => (self.problem(failure).into_response(self.request_id.as_deref()), None),
        };
        self.log(response.status(), code, outcome.as_ref().err());
        response
    }

    /// Returns the response that another attempt has recorded, if this one failed because of it.
    pub fn or_repeat(
        &self,
        outcome: Result<SignedReply, FunctionError>,
    ) -> Result<SignedReply, FunctionError> {
        let Err(FunctionError::Store(StoreError::Recorded(Recorded::Answered(envelope)))) = outcome else {
            return outcome;
        };
        measure::repeated();
        // The first response may have been lost before it was logged.
        let row_ids =
            envelope.row_ids().map_err(|_| FunctionError::Bug("the recorded response is not a reply"))?;
        self.note_row_ids(row_ids);
        SignedReply::remembered(envelope)
    }

    /// The problem details of a failure of this request.
    fn problem(&self, failure: &FunctionError) -> ProblemDetails {
        match failure.problem() {
            ProblemDetails::OutcomeUnknown { .. } => {
                ProblemDetails::OutcomeUnknown { is_repeatable: self.idempotency_key.is_some() }
            }
            problem => problem,
        }
    }

    /// Logs the outcome of a queued order that is filled, ended or failed.
    pub fn log_order(&self, outcome: Result<&SignedReply, &FunctionError>) {
        match outcome {
            Ok(reply) => self.log(StatusCode::OK, Some(reply.code), None),
            Err(failure) => {
                let status = failure.problem().into_response(None).status();
                self.log(status, None, Some(failure));
            }
        }
    }

    /// Logs a request; no other place does. The line and the texts of all failures are free of license keys,
    /// API keys, owners and signatures.
    fn log(&self, status: StatusCode, code: Option<u16>, failure: Option<&FunctionError>) {
        let endpoint = self.endpoint.name();
        let request_id = self.request_id.as_deref().unwrap_or_default();
        let duration_ms = milliseconds(self.received.elapsed());
        let status = status.as_u16();
        let row_ids = self.row_ids();
        match failure {
            None if row_ids.is_some() => {
                tracing::info!(
                    target: SALES, endpoint, request_id, status, code, duration_ms, row_ids, "answered"
                );
            }
            None => tracing::info!(endpoint, request_id, status, code, duration_ms, "answered"),
            Some(failure) if status < 500 => {
                tracing::info!(endpoint, request_id, status, duration_ms, %failure, "refused");
            }
            Some(failure) => {
                measure::failure();
                if let Some(service) = failure.throttled_service() {
                    measure::throttle(service);
                }
                // The write may have succeeded, so the line names its keys. A long time under way means a
                // queue, a cold start, or a clock that is ahead.
                let under_way_ms = milliseconds(self.deadline.under_way());
                tracing::error!(
                    endpoint, request_id, status, duration_ms, under_way_ms, row_ids, %failure, "failed"
                );
            }
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl SignedReply {
    /// A response that was recorded before. Its status is 200, like that of all recorded responses.
    pub fn remembered(envelope: Envelope) -> Result<Self, FunctionError> {
        let (code, _) =
            envelope.read().map_err(|_| FunctionError::Bug("the recorded response is not a reply"))?;
        Ok(Self { envelope, code, http_status: 200, retry_after: None })
    }

    /// The contract's code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The signed envelope.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    fn to_response(&self) -> Response<Body> {
        let mut response = Response::new(Body::Text(self.envelope.to_json()));
        *response.status_mut() = self.http_status.try_into().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        response
    }
}
