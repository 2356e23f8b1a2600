use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use keypool_domain::{
    ApiKey, AssignmentId, ClaimId, Endpoint, Envelope, Fingerprint, IdempotencyKey, Parameters, Refusal,
    Reply, RowId, SignablePayload, SigningKeyId, StockedKey, Timestamp, Value,
};
use keypool_store::{
    Attempt, BeginOutcome, Begun, Found, HeldOutcome, Lookup, Recalled, Recorded, RequestSlot, Sale,
    SaleOutcome,
};
use lambda_http::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use lambda_http::http::{Method, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _, Response};
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::telemetry::SALES;
use crate::{BODY_BYTES_MAX, Desk, Failure, Problem, body, measure};

/// One request on its way through a function.
#[derive(Debug)]
pub struct Call {
    desk: Arc<Desk>,
    endpoint: Endpoint,
    parameters: Result<Parameters, Problem>,
    api_key: Result<ApiKey, Refusal>,
    idempotency_key: Option<IdempotencyKey>,
    /// This attempt at a request with an `Idempotency-Key`, from when on it may hold a claim.
    attempt: OnceLock<Attempt>,
    /// Whether it has taken over from another attempt, which may have done a part of it.
    resumed: AtomicBool,
    /// Whether the write of a sale is under way. The deadline must not cut it off.
    selling: AtomicBool,
    /// The keys that the latest write was to give away.
    sold: Mutex<Vec<RowId>>,
    client: Option<IpAddr>,
    request_id: Option<String>,
    received: Instant,
    deadline: Deadline,
}

/// A reply, signed.
#[derive(Debug, Clone)]
pub struct Answer {
    envelope: Envelope,
    code: u16,
    http_status: u16,
    remembered: bool,
}

/// The next step of a request that may be a repetition.
#[derive(Debug)]
pub enum NextAction<T> {
    /// Do it. Carries what the request needs to be remembered, if it has an `Idempotency-Key`.
    Proceed(Option<T>),
    /// Give the response that it got before.
    Repeat(Answer),
}

/// The header that makes a repetition of a request harmless.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The size of a response that Lambda accepts: 6 MB, of which headers are a small part.
const ANSWER_BYTES_MAX: usize = 6 * 1_048_576 - 65_536;

/// How long a failed attempt may take to let go of its claim, after the time for an answer is over.
const LET_GO_WITHIN: Duration = Duration::from_millis(300);

impl Call {
    /// Takes an event apart. Whatever is wrong with it shows when it is asked for.
    pub async fn receive(desk: Arc<Desk>, endpoint: Endpoint, event: Request) -> Self {
        desk.connect_ahead();
        let (client, request_id, received_ms) = match event.request_context_ref() {
            // `X-Forwarded-For` is the caller's word; this is API Gateway's.
            Some(RequestContext::ApiGatewayV2(context)) => {
                (context.http.source_ip.clone(), context.request_id.clone(), context.time_epoch)
            }
            _ => (None, None, i64::MAX),
        };
        let (parts, body) = event.into_parts();
        let parameters = match parts.method {
            Method::POST => read(&parts.headers, body).await,
            _ => Err(Problem::MethodNotAllowed),
        };
        let api_key = match &parameters {
            Ok(parameters) => presented_api_key(&parts.headers, parameters),
            Err(_) => Err(Refusal::Invalid),
        };
        let (parameters, idempotency_key) = match idempotency_key(&parts.headers) {
            Ok(key) => (parameters, key),
            Err(malformed) => (parameters.and(Err(malformed)), None),
        };
        let deadline = Deadline::of_request(received_ms, desk.answer_within());
        Self {
            desk,
            endpoint,
            parameters,
            api_key,
            idempotency_key,
            attempt: OnceLock::new(),
            resumed: AtomicBool::new(false),
            selling: AtomicBool::new(false),
            sold: Mutex::default(),
            client: client.and_then(|address| address.parse().ok()),
            request_id,
            received: Instant::now(),
            deadline,
        }
    }

    /// The desk it came to.
    #[must_use]
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Checks that a sale, and finding out what became of it, would end before the buyer stops listening. Else returns
    /// [`Failure::OutOfTime`].
    pub fn check_time_to_sell(&self) -> Result<(), Failure> {
        if self.time_left() >= self.desk.store().sale_within() { Ok(()) } else { Err(Failure::OutOfTime) }
    }

    /// How long there is until the request must be answered.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.instant().saturating_duration_since(Instant::now())
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.desk.clock().now()
    }

    /// The parameters, if the body can be read.
    pub fn parameters(&self) -> Result<&Parameters, Failure> {
        self.parameters.as_ref().map_err(|problem| Failure::Unreadable(*problem))
    }

    /// Checks that the API key opens the endpoint to this client (codes 100, 101, 103, 102), and finds what the
    /// request is about; `about.api_key` is filled in here. One read at most.
    pub async fn authorise(&self, about: Lookup) -> Result<Found, Failure> {
        let refused = |refusal| Failure::Refused(Reply::Refused(refusal));
        let hash = self.api_key.as_ref().map_err(|refusal| refused(*refusal))?.hash();
        let found = self.desk.look_up(Lookup { api_key: Some(hash), ..about }).await?;
        let record = found.api_key.as_ref().ok_or_else(|| refused(Refusal::Invalid))?;
        record.check(self.endpoint, self.client, self.now()).map_err(refused)?;
        Ok(found)
    }

    /// Reads what is recorded of a request that sells keys, beside its draw. Without an `Idempotency-Key` nothing is
    /// read.
    pub async fn recall(&self, asked: Fingerprint) -> Result<NextAction<RequestSlot>, Failure> {
        let Some(id) = self.request_id_of_key() else { return Ok(NextAction::Proceed(None)) };
        match self.desk.store().recall(id, asked, self.now()).await? {
            Recalled::New(slot) => Ok(NextAction::Proceed(Some(slot))),
            Recalled::Recorded(recorded) => self.repeat(recorded).map(NextAction::Repeat),
        }
    }

    /// Begins a request that stores keys one by one. Without an `Idempotency-Key` nothing is read or written.
    pub async fn begin(&self, asked: Fingerprint) -> Result<NextAction<Begun>, Failure> {
        let Some(id) = self.request_id_of_key() else { return Ok(NextAction::Proceed(None)) };
        let attempt =
            self.attempt.get_or_init(|| Attempt::new(id, AssignmentId::random(self.desk.randomness())));
        match self.desk.store().begin(attempt, asked, self.now(), self.desk.lease()).await? {
            BeginOutcome::Begun(begun) => {
                self.resumed.store(begun.is_resumed(), Ordering::Relaxed);
                Ok(NextAction::Proceed(Some(begun)))
            }
            BeginOutcome::Recorded(recorded) => self.repeat(recorded).map(NextAction::Repeat),
        }
    }

    fn request_id_of_key(&self) -> Option<ClaimId> {
        let (Some(key), Ok(api_key)) = (&self.idempotency_key, &self.api_key) else { return None };
        Some(ClaimId::new(api_key.hash(), self.endpoint, key))
    }

    /// The answer to a request of which another attempt has left a record.
    pub fn repeat(&self, recorded: Recorded) -> Result<Answer, Failure> {
        match recorded {
            Recorded::Answered(envelope) => {
                measure::repeated();
                // The first answer may have been lost before it was logged.
                let row_ids =
                    envelope.row_ids().map_err(|_| Failure::Bug("what is remembered is no reply"))?;
                self.note_row_ids(row_ids);
                Answer::remembered(envelope)
            }
            Recorded::InProgress => Err(Failure::InFlight),
            Recorded::Mismatch => Err(Failure::Mismatch),
            Recorded::Void => Err(Failure::Contention),
        }
    }

    /// Notes the response that is about to be carried out, for a later attempt to take up.
    pub async fn note_response(&self, begun: Option<&Begun>, answer: &Answer) -> Result<(), Failure> {
        let Some(begun) = begun else { return Ok(()) };
        still_held(self.desk.store().note_response(begun, &answer.envelope, self.now()).await?)
    }

    /// Records the answer to a request that was begun.
    pub async fn record_answer(&self, begun: Option<&Begun>, answer: &Answer) -> Result<(), Failure> {
        let Some(begun) = begun else { return Ok(()) };
        still_held(self.desk.store().answer(begun, &answer.envelope, self.now()).await?)
    }

    /// Sells keys: the last write of a sale. It needs enough time before the deadline. Once it has begun, the deadline
    /// does not cut it off.
    pub async fn finish(
        &self,
        sale: &Sale,
        keys: &[StockedKey],
        answer: &Answer,
    ) -> Result<SaleOutcome, Failure> {
        self.check_time_to_sell()?;
        self.note_row_ids(sale.taken().chain(keys).map(|key| key.id).collect());
        self.selling.store(true, Ordering::Relaxed);
        let deadline = self.deadline.instant();
        let store = self.desk.store();
        let outcome = store.finish(sale, keys, &answer.envelope, self.now(), deadline).await;
        self.selling.store(false, Ordering::Relaxed);
        if let Ok(SaleOutcome::Missed { .. }) = outcome {
            self.note_row_ids(Vec::new());
        }
        Ok(outcome?)
    }

    /// Notes the keys of the next write for the log. After a restore of the table, the log tells which keys were sold
    /// since.
    fn note_row_ids(&self, row_ids: Vec<RowId>) {
        *self.sold.lock().unwrap_or_else(PoisonError::into_inner) = row_ids;
    }

    /// Whether Lambda accepts a response with this reply. The body is text in JSON, where quotes and backslashes are two
    /// characters.
    #[must_use]
    pub fn fits(&self, reply: &Reply) -> bool {
        SignablePayload::new(reply, self.now()).envelope_bytes_max() <= ANSWER_BYTES_MAX
    }

    /// Signs a reply, given now, with the product's key, else the global key. The global key signs a refusal without
    /// members of its own once a second.
    pub async fn seal(&self, reply: &Reply, product_key: Option<&SigningKeyId>) -> Result<Answer, Failure> {
        let now = self.now();
        let signed = self.signed(reply, product_key, now);
        if product_key.is_none() && reply.is_bare_refusal() {
            // On the heap: a sale shall not carry its size.
            Box::pin(self.desk.refusals().answer(reply.code(), now, signed)).await
        } else {
            signed.await
        }
    }

    async fn signed(
        &self,
        reply: &Reply,
        product_key: Option<&SigningKeyId>,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        let envelope = Box::pin(self.desk.sign(SignablePayload::new(reply, now), product_key)).await?;
        let remembered = reply.is_remembered();
        Ok(Answer { envelope, code: reply.code(), http_status: reply.http_status(), remembered })
    }

    /// Answers with the outcome of `act`, in time, and writes the request's one log line.
    pub async fn answer(&self, act: impl Future<Output = Result<Answer, Failure>>) -> Response<Body> {
        let sealed = async {
            match act.await {
                Err(Failure::Refused(reply)) => self.seal(&reply, None).await,
                outcome => outcome,
            }
        };
        let mut sealed = std::pin::pin!(sealed);
        let outcome = match tokio::time::timeout_at(self.deadline.instant(), &mut sealed).await {
            Ok(outcome) => outcome,
            // A sale ends by itself, shortly after the deadline at the latest. Cut off, its outcome would be unknown.
            Err(_) if self.selling.load(Ordering::Relaxed) => sealed.await,
            Err(_) => Err(Failure::OutOfTime),
        };
        self.let_go(&outcome).await;
        let (response, code) = match &outcome {
            Ok(answer) => (answer.to_response(), Some(answer.code)),
            Err(failure) => (self.problem(failure).into_response(self.request_id.as_deref()), None),
        };
        self.log(response.status(), code, outcome.err());
        response
    }

    /// Ends the lease of an attempt that has failed, or deletes its record if it has changed nothing. If it cannot, the
    /// lease ends by itself.
    async fn let_go(&self, outcome: &Result<Answer, Failure>) {
        let Some(attempt) = self.attempt.get() else { return };
        let store = self.desk.store();
        let let_go = async {
            match outcome {
                Ok(answer) if answer.remembered => Ok(()),
                // It never was this attempt's.
                Err(Failure::InFlight | Failure::Mismatch) => Ok(()),
                // Nothing was done: the request may be made again, and may be another then.
                Ok(_) if !self.resumed.load(Ordering::Relaxed) => store.withdraw(attempt).await,
                _ => store.release(attempt).await,
            }
        };
        if let Ok(Err(error)) = tokio::time::timeout(LET_GO_WITHIN, let_go).await {
            tracing::debug!(%error, "a claim is left to its lease");
        }
    }

    /// The problem details of a failure of this request.
    fn problem(&self, failure: &Failure) -> Problem {
        match failure.problem() {
            Problem::OutcomeUnknown { .. } => {
                Problem::OutcomeUnknown { is_repeatable: self.idempotency_key.is_some() }
            }
            problem => problem,
        }
    }

    /// The one place that logs a request. What it names is free of license keys, API keys, owners and
    /// signatures, and so are the texts of all failures.
    fn log(&self, status: StatusCode, code: Option<u16>, failure: Option<Failure>) {
        let endpoint = self.endpoint.name();
        let request_id = self.request_id.as_deref().unwrap_or_default();
        let duration_ms = u64::try_from(self.received.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = status.as_u16();
        let row_ids = self.row_ids();
        match failure {
            None if matches!(code, Some(800 | 803)) => {
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
                // The write may have been done, so its keys are named.
                tracing::error!(endpoint, request_id, status, duration_ms, row_ids, %failure, "failed");
            }
        }
    }

    /// The keys that the latest write was to give away, by their numeric ids; `None` if there was no such write.
    fn row_ids(&self) -> Option<String> {
        let sold = self.sold.lock().unwrap_or_else(PoisonError::into_inner);
        let ids: Vec<String> = sold.iter().map(ToString::to_string).collect();
        (!ids.is_empty()).then(|| ids.join(","))
    }
}

fn still_held(held: HeldOutcome) -> Result<(), Failure> {
    match held {
        HeldOutcome::Written => Ok(()),
        HeldOutcome::Lost => Err(Failure::InFlight),
    }
}

impl Answer {
    /// What was answered before, or was about to be: 200, as all that is remembered.
    pub fn remembered(envelope: Envelope) -> Result<Self, Failure> {
        let (code, _) = envelope.read().map_err(|_| Failure::Bug("what is remembered is no reply"))?;
        Ok(Self { envelope, code, http_status: 200, remembered: true })
    }

    fn to_response(&self) -> Response<Body> {
        let mut response = Response::new(Body::Text(self.envelope.to_json()));
        *response.status_mut() = self.http_status.try_into().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Reads the parameters, if the body is not too large.
async fn read(headers: &HeaderMap, body: Body) -> Result<Parameters, Problem> {
    let body = match body {
        Body::Text(text) => Bytes::from(text),
        Body::Binary(bytes) => Bytes::from(bytes),
        _ => Bytes::new(),
    };
    if body.len() > BODY_BYTES_MAX {
        return Err(Problem::TooLarge);
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    body::parameters(content_type, body).await.map_err(Problem::UnreadableBody)
}

/// The idempotency key, if one was sent.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().and_then(|text| text.parse().ok());
    key.map(Some).ok_or(Problem::MalformedIdempotencyKey)
}

/// The API key from the body, the header, or both if they agree.
fn presented_api_key(headers: &HeaderMap, parameters: &Parameters) -> Result<ApiKey, Refusal> {
    let in_body = match parameters.value("api_key") {
        Some(Value::Text(text)) => text.parse::<ApiKey>().ok(),
        // Something was given, and whatever it is, it is no key.
        Some(Value::Array(_) | Value::Object) => return Err(Refusal::Invalid),
        None => None,
    };
    let in_header = headers.get(AUTHORIZATION).map(bearer).transpose()?.flatten();
    match (in_body, in_header) {
        (Some(a), Some(b)) if a.hash() != b.hash() => Err(Refusal::Invalid),
        (Some(api_key), _) | (None, Some(api_key)) => Ok(api_key),
        (None, None) => Err(Refusal::Invalid),
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1), if there is one. Another scheme is not
/// for us; a token that is not text is refused.
fn bearer(value: &HeaderValue) -> Result<Option<ApiKey>, Refusal> {
    let value = value.as_bytes().trim_ascii();
    let Some(at) = value.iter().position(|byte| *byte == b' ') else { return Ok(None) };
    let (scheme, token) = value.split_at(at);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let token = std::str::from_utf8(token.trim_ascii()).map_err(|_| Refusal::Invalid)?;
    Ok(token.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(in_body: Option<&str>, in_header: Option<&str>) -> Result<String, Refusal> {
        let parameters =
            in_body.map(|text| ("api_key".to_owned(), Value::Text(text.to_owned()))).into_iter().collect();
        let mut headers = HeaderMap::new();
        if let Some(value) = in_header {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        presented_api_key(&headers, &parameters).map(|key| key.reveal().to_owned())
    }

    #[test]
    fn the_api_key_comes_from_the_body_or_the_header() {
        let key = || Ok("k1".to_owned());
        assert_eq!(presented(Some("k1"), None), key());
        assert_eq!(presented(None, Some("Bearer k1")), key());
        assert_eq!(presented(None, Some("bearer  k1 ")), key());
        assert_eq!(presented(Some("k1"), Some("Bearer k1")), key());
        assert_eq!(presented(Some(""), Some("Bearer k1")), key(), "an empty parameter is not given");
        assert_eq!(presented(Some("k1"), Some("Basic dXNlcjpwdw==")), key(), "not for us");
    }

    #[test]
    fn no_api_key_or_two_that_differ_are_refused() {
        for (in_body, in_header) in [
            (None, None),
            (Some(""), None),
            (None, Some("Bearer")),
            (None, Some("Bearer ")),
            (None, Some("k1")),
            (Some("k1"), Some("Bearer k2")),
        ] {
            assert_eq!(presented(in_body, in_header), Err(Refusal::Invalid), "{in_body:?} {in_header:?}");
        }
    }

    #[test]
    fn what_is_given_but_no_text_differs_from_everything() {
        let bearer = |bytes: &[u8]| HeaderValue::from_bytes(&[b"Bearer ", bytes].concat()).unwrap();
        let headers = |value| HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let body = |value| Parameters::from_iter([("api_key".to_owned(), value)]);
        let refused = |headers: &HeaderMap, body: &Parameters| presented_api_key(headers, body).is_err();
        let good = body(Value::Text("k1".to_owned()));
        assert!(refused(&headers(bearer(b"\xff")), &good));
        assert!(!refused(&headers(bearer("k1".as_bytes())), &good));
        for value in [Value::Array("[\"k1\"]".to_owned()), Value::Object] {
            assert!(refused(&headers(bearer(b"k1")), &body(value)));
        }
    }
}
