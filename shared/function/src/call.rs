use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use keypool_domain::{
    ApiKey, AssignmentId, ClaimId, Endpoint, Envelope, Fingerprint, IdempotencyKey, Parameters, Refusal,
    Reply, RowId, SignablePayload, SigningKeyId, StockedKey, Timestamp, Value,
};
use keypool_store::{Attempt, Claim, ClaimOutcome, Found, Held, Lookup, Recording};
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

/// What to do about a request that may have been made before.
#[derive(Debug)]
pub enum NextAction {
    /// Do it; with a claim, if it is to be done once.
    Proceed(Option<Claim>),
    /// It was done before, and answered so.
    Repeat(Answer),
}

/// The header that makes a repetition of a request harmless.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What Lambda takes as the answer to an event: 6 MB, of which the response's own head is a small part.
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

    /// To be asked before keys are given away: [`Failure::OutOfTime`] if it might not come to its end before the
    /// buyer stops listening.
    pub fn check_time_to_give_away(&self) -> Result<(), Failure> {
        if self.deadline.leaves_time_to_give_away(self.desk.store()) {
            Ok(())
        } else {
            Err(Failure::OutOfTime)
        }
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

    /// To be asked before anything is done: whether the request was made before under its `Idempotency-Key`. Without
    /// one it is simply to be done, and nothing is read or written.
    pub async fn next_action(&self, asked: Fingerprint) -> Result<NextAction, Failure> {
        let (Some(key), Ok(api_key)) = (&self.idempotency_key, &self.api_key) else {
            return Ok(NextAction::Proceed(None));
        };
        let claim = ClaimId::new(api_key.hash(), self.endpoint, key);
        let attempt =
            self.attempt.get_or_init(|| Attempt::new(claim, AssignmentId::random(self.desk.randomness())));
        match self.desk.store().claim(attempt, asked, self.now(), self.desk.lease()).await? {
            ClaimOutcome::Claimed(claim) => {
                self.resumed.store(claim.is_resumed(), Ordering::Relaxed);
                Ok(NextAction::Proceed(Some(claim)))
            }
            ClaimOutcome::Answered(envelope) => {
                measure::repeated();
                // The first answer may have been lost before it was logged.
                let row_ids =
                    envelope.row_ids().map_err(|_| Failure::Bug("what is remembered is no reply"))?;
                self.note_row_ids(row_ids);
                Ok(NextAction::Repeat(Answer::remembered(envelope)?))
            }
            ClaimOutcome::InFlight => Err(Failure::InFlight),
            ClaimOutcome::Mismatch => Err(Failure::Mismatch),
        }
    }

    /// Notes what is about to be done and answered under a claim, for a later attempt to take up.
    pub async fn plan(&self, claim: Option<&Claim>, answer: &Answer) -> Result<(), Failure> {
        let Some(recording) = answer.recording(claim) else { return Ok(()) };
        still_held(self.desk.store().plan(recording).await?)
    }

    /// Finishes a claim with the answer to what was done.
    pub async fn finish(&self, claim: Option<&Claim>, answer: &Answer) -> Result<(), Failure> {
        let Some(recording) = answer.recording(claim) else { return Ok(()) };
        still_held(self.desk.store().finish(recording).await?)
    }

    /// Notes which keys the next write gives away, for the log: after a restore of the table, the log tells which keys
    /// were sold since. Keys noted before are forgotten.
    pub fn note_sale<'a>(&self, keys: impl IntoIterator<Item = &'a StockedKey>) {
        self.note_row_ids(keys.into_iter().map(|key| key.id).collect());
    }

    fn note_row_ids(&self, row_ids: Vec<RowId>) {
        *self.sold.lock().unwrap_or_else(PoisonError::into_inner) = row_ids;
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
        let outcome = tokio::time::timeout_at(self.deadline.instant(), sealed).await;
        let outcome = outcome.unwrap_or(Err(Failure::OutOfTime));
        self.let_go(&outcome).await;
        let (response, code) = match &outcome {
            Ok(answer) => (answer.to_response(), Some(answer.code)),
            Err(failure) => (failure.problem().into_response(self.request_id.as_deref()), None),
        };
        self.log(response.status(), code, outcome.err());
        response
    }

    /// Lets go of the claim that this attempt may hold, unless what it did is to be remembered. If it cannot, the lease
    /// ends by itself.
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

fn still_held(held: Held) -> Result<(), Failure> {
    match held {
        Held::Yes => Ok(()),
        Held::No => Err(Failure::InFlight),
    }
}

impl Answer {
    /// What was answered before, or was about to be: 200, as all that is remembered.
    pub fn remembered(envelope: Envelope) -> Result<Self, Failure> {
        let (code, _) = envelope.read().map_err(|_| Failure::Bug("what is remembered is no reply"))?;
        Ok(Self { envelope, code, http_status: 200, remembered: true })
    }

    /// What finishes a claim, if there is one.
    #[must_use]
    pub fn recording<'a>(&'a self, claim: Option<&'a Claim>) -> Option<Recording<'a>> {
        claim.map(|claim| Recording { claim, envelope: &self.envelope })
    }

    /// Whether it is more than Lambda hands on: then nobody would get it.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        // The body is text within JSON, where quotes and backslashes are two characters.
        let body = self.envelope.to_json();
        let escaped = body.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        body.len() + escaped > ANSWER_BYTES_MAX
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
