use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use keypool_aws::Timeouts;
use keypool_domain::{
    ApiKey, ApiKeyRecord, ApiKeyRefusal, ApiKeySettings, Endpoint, IdempotencyKey, LicenseKey,
    LicenseKeyRecord, Parameters, QueuedOrder, Reply, RowId, Timestamp,
};
use keypool_store::{Found, Lookup};
use lambda_http::http::Method;
use lambda_http::http::header::{CONTENT_TYPE, HeaderMap};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _};
use tokio::time::Instant;

use crate::credentials::presented_api_key;
use crate::desk::visible_to;
use crate::limit::Allowance;
use crate::{BODY_BYTES_MAX, Desk, FunctionError, ProblemDetails, body, measure};

/// One request on its way through a function: the event, parsed.
#[derive(Debug)]
pub struct Invocation {
    pub(crate) desk: Arc<Desk>,
    pub(crate) endpoint: Endpoint,
    parameters: Result<Parameters, ProblemDetails>,
    pub(crate) api_key: Result<ApiKey, ApiKeyRefusal>,
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    /// The settings of the API key, once it is checked.
    settings: OnceLock<ApiKeySettings>,
    /// The keys that count towards the limit of the API key.
    pub(crate) allowance: Allowance,
    /// The queued order that is to be filled; `None` for a request that a client waits for.
    pub(crate) order: Option<QueuedOrder>,
    /// Set while a write is under way that the deadline must not cut off.
    is_selling: AtomicBool,
    /// The keys that the latest write was to sell.
    sold: Mutex<Vec<RowId>>,
    client: Option<IpAddr>,
    pub(crate) request_id: Option<String>,
    pub(crate) received: Instant,
    pub(crate) deadline: Deadline,
}

/// The header that makes a repetition of a request harmless.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

impl Invocation {
    /// Parses an event. Errors are stored, and returned by the accessor that needs the value.
    pub async fn receive(desk: Arc<Desk>, endpoint: Endpoint, event: Request) -> Self {
        desk.connect_ahead();
        let (client, request_id, received_ms) = match event.request_context_ref() {
            // The caller controls `X-Forwarded-For`; API Gateway sets this address.
            Some(RequestContext::ApiGatewayV2(context)) => {
                (context.http.source_ip.clone(), context.request_id.clone(), context.time_epoch)
            }
            _ => (None, None, i64::MAX),
        };
        let (parts, body) = event.into_parts();
        let parameters = match parts.method {
            Method::POST => read(&parts.headers, body).await,
            // Real clients send all parameters there, the API key included. The access log omits the query.
            Method::GET if endpoint.only_reads() => {
                let query = parts.uri.query().unwrap_or_default();
                body::form_parameters(query.as_bytes()).map_err(ProblemDetails::UnreadableBody)
            }
            _ => Err(ProblemDetails::MethodNotAllowed { allowed: endpoint.methods() }),
        };
        let api_key = match &parameters {
            Ok(parameters) => presented_api_key(&parts.headers, parameters),
            Err(_) => Err(ApiKeyRefusal::Invalid),
        };
        let (parameters, idempotency_key) = match idempotency_key(&parts.headers) {
            Ok(key) => (parameters, key),
            Err(malformed) => (parameters.and(Err(malformed)), None),
        };
        let timeouts = desk.store().timeouts();
        let deadline = Deadline::of_request(received_ms, timeouts);
        if !deadline.leaves_time_to_sell(timeouts) {
            measure::late_request();
        }
        Self {
            desk,
            endpoint,
            parameters,
            api_key,
            idempotency_key,
            settings: OnceLock::new(),
            allowance: Allowance::default(),
            order: None,
            is_selling: AtomicBool::default(),
            sold: Mutex::default(),
            client: client.and_then(|address| address.parse().ok()),
            request_id,
            received: Instant::now(),
            deadline,
        }
    }

    /// The invocation that fills a queued order. No client waits for its answer, but it has the same time
    /// limits.
    #[must_use]
    pub fn of_order(desk: Arc<Desk>, order: &QueuedOrder) -> Self {
        let deadline = Deadline::of_request(i64::MAX, desk.store().timeouts());
        Self {
            desk,
            endpoint: Endpoint::RandomAssignLicenseKeysQueued,
            parameters: Ok(Parameters::default()),
            api_key: Err(ApiKeyRefusal::Invalid),
            idempotency_key: None,
            settings: OnceLock::new(),
            allowance: Allowance::default(),
            order: Some(order.clone()),
            is_selling: AtomicBool::default(),
            sold: Mutex::default(),
            client: None,
            request_id: Some(order.id.to_string()),
            received: Instant::now(),
            deadline,
        }
    }

    /// The settings of the API key; the defaults until it is checked.
    #[must_use]
    pub fn settings(&self) -> &ApiKeySettings {
        // A call before the check must not fix the settings.
        static DEFAULTS: LazyLock<ApiKeySettings> = LazyLock::new(ApiKeySettings::default);
        self.settings.get().unwrap_or(&DEFAULTS)
    }

    /// The desk that serves it.
    #[must_use]
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Checks that a sale, and learning its outcome, would end before the buyer stops listening. Else returns
    /// [`FunctionError::OutOfTime`].
    pub fn check_time_to_sell(&self) -> Result<(), FunctionError> {
        if self.deadline.leaves_time_to_sell(self.desk.store().timeouts()) {
            Ok(())
        } else {
            Err(FunctionError::OutOfTime)
        }
    }

    /// Awaits a write that the deadline must not cut off, because its outcome would be unknown. The write
    /// must have a time limit of its own.
    pub async fn uncut<T>(&self, write: impl Future<Output = T>) -> T {
        self.is_selling.store(true, Ordering::Relaxed);
        let outcome = write.await;
        self.is_selling.store(false, Ordering::Relaxed);
        outcome
    }

    pub(crate) fn is_selling(&self) -> bool {
        self.is_selling.load(Ordering::Relaxed)
    }

    /// The time until the request must be answered.
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
    pub fn parameters(&self) -> Result<&Parameters, FunctionError> {
        self.parameters.as_ref().map_err(|problem| FunctionError::Unreadable(*problem))
    }

    /// Checks that the API key opens the endpoint to this client (codes 100, 101, 103, 102), and finds the
    /// records that the request is about. Fills in `about.api_key`. Makes one read at most.
    pub(crate) async fn authorise(&self, about: Lookup) -> Result<Found, FunctionError> {
        let refused = |refusal| FunctionError::Refused(Reply::Refused(refusal));
        let hash = self.api_key.as_ref().map_err(|refusal| refused(*refusal))?.hash();
        if let Some(record) = self.desk.known_api_key(hash) {
            let settings = self.check(&record).map_err(refused)?;
            let found = self.desk.look_up_for(settings, about).await?;
            return Ok(Found { api_key: Some(record), ..found });
        }
        let found = self.desk.look_up(Lookup { api_key: Some(hash), ..about }).await?;
        let record = found.api_key.as_ref().ok_or_else(|| refused(ApiKeyRefusal::Invalid))?;
        let settings = self.check(record).map_err(refused)?;
        Ok(visible_to(settings, found))
    }

    /// Checks the API key, and keeps its settings.
    fn check(&self, record: &ApiKeyRecord) -> Result<&ApiKeySettings, ApiKeyRefusal> {
        record.check(self.endpoint, self.client, self.now())?;
        // A request is authorized once.
        let _ = self.settings.set(record.settings.clone());
        Ok(self.settings())
    }

    /// Finds what exists for the API key, in the caches or in one read.
    pub async fn look_up(&self, lookup: Lookup) -> Result<Found, FunctionError> {
        self.desk.look_up_for(self.settings(), lookup).await
    }

    /// Reads a license key with a consistent read. A key of a product that does not exist for the API key is
    /// unknown. Call it only after the API key is checked.
    pub async fn license_key(
        &self,
        license_key: &LicenseKey,
    ) -> Result<Option<LicenseKeyRecord>, FunctionError> {
        let key = self.desk.store().license_key(license_key).await?;
        Ok(key.filter(|key| self.settings().opens(key.product_id)))
    }

    /// Returns true if the request may have a record, which identifies a repetition.
    pub(crate) fn may_be_repetition(&self) -> bool {
        self.idempotency_key.is_some() || self.settings().once_per_identifier
    }

    /// Notes the keys of the next write for the log. After a restore of the table, the log shows the keys
    /// that were sold since.
    pub(crate) fn note_row_ids(&self, row_ids: Vec<RowId>) {
        *self.sold.lock().unwrap_or_else(PoisonError::into_inner) = row_ids;
    }

    /// The numeric ids of the keys that the latest write was to sell; `None` if there was no such write.
    pub(crate) fn row_ids(&self) -> Option<String> {
        let sold = self.sold.lock().unwrap_or_else(PoisonError::into_inner);
        let ids: Vec<String> = sold.iter().map(ToString::to_string).collect();
        (!ids.is_empty()).then(|| ids.join(","))
    }
}

/// Reads the parameters, if the body is not too large.
async fn read(headers: &HeaderMap, body: Body) -> Result<Parameters, ProblemDetails> {
    let body = match body {
        Body::Text(text) => Bytes::from(text),
        Body::Binary(bytes) => Bytes::from(bytes),
        _ => Bytes::new(),
    };
    if body.len() > BODY_BYTES_MAX {
        return Err(ProblemDetails::TooLarge);
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    body::parameters(content_type, body).await.map_err(ProblemDetails::UnreadableBody)
}

/// The idempotency key, if one was sent.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ProblemDetails> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().and_then(|text| text.parse().ok());
    key.map(Some).ok_or(ProblemDetails::MalformedIdempotencyKey)
}

/// The moment by which a request must be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    instant: Instant,
    under_way: Duration,
}

/// The longest believable time before a request reaches the function: API Gateway waits for no answer longer
/// than 30 seconds. A longer or negative time means that two clocks disagree, and counts as zero.
const UNDER_WAY_MAX: Duration = Duration::from_secs(30);

impl Deadline {
    /// The deadline of a request that API Gateway received at `received_ms` (Unix milliseconds). The start of
    /// the environment, or a queue, has used up some of the time.
    pub(crate) fn of_request(received_ms: i64, timeouts: &Timeouts) -> Self {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let under_way_ms = i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(received_ms);
        let under_way = Duration::from_millis(u64::try_from(under_way_ms).unwrap_or(0));
        let under_way = if under_way <= UNDER_WAY_MAX { under_way } else { Duration::ZERO };
        Self { instant: Instant::now() + timeouts.answer_within.saturating_sub(under_way), under_way }
    }

    /// Returns true if a sale, with the repetitions of its write, would end in time. Else it must not begin:
    /// keys could leave the stock for a buyer who has stopped listening.
    pub(crate) fn leaves_time_to_sell(self, timeouts: &Timeouts) -> bool {
        self.instant.saturating_duration_since(Instant::now()) >= timeouts.sale_within
    }

    /// The time that the request was under way before it reached the function. It includes the difference of
    /// an environment whose clock is ahead of API Gateway's by up to 30 seconds.
    pub(crate) fn under_way(self) -> Duration {
        self.under_way
    }

    pub(crate) fn instant(self) -> Instant {
        self.instant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time that is left for a request that was received so long ago.
    fn left(received_ms_ago: i64) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let received_ms = i64::try_from(now).unwrap() - received_ms_ago;
        Deadline::of_request(received_ms, &Timeouts::CHECKOUT)
            .instant
            .saturating_duration_since(Instant::now())
    }

    #[tokio::test]
    async fn time_under_way_counts_but_a_wrong_clock_does_not() {
        let tolerance = Duration::from_millis(200);
        for (ago, expected_ms) in
            [(0, 4_400), (1_000, 3_400), (20_000, 0), (600_000, 4_400), (-600_000, 4_400)]
        {
            let expected = Duration::from_millis(expected_ms);
            let left = left(ago);
            assert!(left <= expected && left + tolerance >= expected, "{ago}: {left:?}");
        }
    }
}
