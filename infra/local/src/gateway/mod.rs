//! API Gateway's part: routes requests, and turns HTTP into events and back. It also serves the public keys,
//! and the API's description with a page to try it.

mod docs;
mod event;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use futures_util::StreamExt as _;
use http::{HeaderValue, Method, Response, header};
use keypool_domain::{Endpoint, ProductId};
use keypool_function::{Desk, FunctionError, ProblemDetails, UnreadableBody};
use keypool_store::Lookup;
use lambda_http::lambda_runtime::{Context, LambdaEvent};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, service_fn};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service as _;

use crate::server::{Server, bind};

/// The number of events that are served at the same time, as if there were this many environments of the
/// functions. Further events wait, as they would for an environment to start.
const ENVIRONMENTS: usize = 32;

/// The part of the response time that is reserved for the function, to read, sign and assign keys. An event
/// that waits so long for an environment that less remains is refused, as Lambda refuses requests beyond its
/// concurrency.
const FUNCTION_WITHIN: Duration = Duration::from_millis(2_900);

/// The largest event body that API Gateway passes to Lambda.
const EVENT_BODY_BYTES_MAX: usize = 6 * 1_048_576;

/// The most bytes of a larger body that are read and discarded, so that a client that is still sending gets
/// the refusal.
const DISCARDED_BYTES_MAX: usize = 64 * 1_048_576;

/// The header in which API Gateway sends the request id.
const REQUEST_ID: &str = "apigw-requestid";

/// The running local gateway.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
}

struct Routes {
    functions: BTreeMap<Endpoint, Arc<Desk>>,
    public_keys: Desk,
    authority: String,
    environments: Semaphore,
    environment_within: Duration,
}

impl Gateway {
    /// Serves the functions on `port` of 127.0.0.1; 0 picks one. Each function has its own desk, as in
    /// Lambda, and the gateway has one (`None`) to look up public keys.
    pub async fn start(port: u16, desk: impl Fn(Option<Endpoint>) -> Desk) -> std::io::Result<Self> {
        Self::start_with_pages(port, desk, |_| Router::new()).await
    }

    /// Serves the functions as [`Self::start`] does, and the routes that `pages` returns for the port.
    pub(crate) async fn start_with_pages(
        port: u16,
        desk: impl Fn(Option<Endpoint>) -> Desk,
        pages: impl FnOnce(u16) -> Router,
    ) -> std::io::Result<Self> {
        let listener = bind(port).await?;
        let address = listener.local_addr()?;
        let authority = address.to_string();
        let environments = Semaphore::new(ENVIRONMENTS);
        let function = |endpoint| (endpoint, Arc::new(desk(Some(endpoint))));
        let functions = Endpoint::ALL.into_iter().map(function).collect();
        let public_keys = desk(None);
        let environment_within = public_keys.answer_within().saturating_sub(FUNCTION_WITHIN);
        let routes = Routes { functions, public_keys, authority, environments, environment_within };
        let api = Router::new().fallback(route).with_state(Arc::new(routes));
        let service = pages(address.port()).fallback_service(api);
        Ok(Self { server: Server::start_router(listener, service)? })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.server.url()
    }

    /// Stops listening and lets running requests finish.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

async fn route(
    State(routes): State<Arc<Routes>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if path == "/public-key.pem" {
        return match *request.method() {
            Method::GET => public_key(&routes.public_keys, request.uri().query()).await,
            _ => problem(ProblemDetails::MethodNotAllowed { allowed: "GET" }),
        };
    }
    if let Some(page) = docs::page(&path) {
        return match *request.method() {
            Method::GET => page,
            _ => problem(ProblemDetails::MethodNotAllowed { allowed: "GET" }),
        };
    }
    let function = routes
        .functions
        .iter()
        .find(|(endpoint, _)| [endpoint.path(), endpoint.short_path()].contains(&path));
    let Some((endpoint, desk)) = function.map(|(endpoint, desk)| (*endpoint, Arc::clone(desk))) else {
        return problem(ProblemDetails::NotFound);
    };
    if !endpoint.methods().split(", ").any(|method| request.method() == method) {
        return problem(ProblemDetails::MethodNotAllowed { allowed: endpoint.methods() });
    }
    let (parts, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(refused) => return problem(refused),
    };
    let request_id = uuid::Uuid::new_v4().to_string();
    let event = event::from_http(&parts, &body, client.ip(), &routes.authority, &request_id);
    let Ok(_environment) = timeout(routes.environment_within, routes.environments.acquire()).await else {
        return problem(ProblemDetails::NothingSold);
    };
    let invoked = invoke(desk, endpoint, &event).await;
    let mut response = invoked.unwrap_or_else(|| {
        tracing::error!(endpoint = endpoint.name(), request_id, "cannot read the event or its answer");
        problem(ProblemDetails::Internal)
    });
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Reads the whole body. Fails if it is cut off or too large for an event.
async fn read(body: Body) -> Result<Vec<u8>, ProblemDetails> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut total) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ProblemDetails::UnreadableBody(UnreadableBody::CutOff))?;
        total += chunk.len();
        if total <= EVENT_BODY_BYTES_MAX {
            bytes.extend_from_slice(&chunk);
        } else if total > DISCARDED_BYTES_MAX {
            break;
        }
    }
    if total <= EVENT_BODY_BYTES_MAX { Ok(bytes) } else { Err(ProblemDetails::TooLarge) }
}

/// Invokes a function with an event, in the same way as Lambda. Returns `None` if `lambda_http` cannot read
/// the event, or if API Gateway could not read the answer.
async fn invoke(desk: Arc<Desk>, endpoint: Endpoint, event: &str) -> Option<Response<Body>> {
    let request: LambdaRequest = serde_json::from_str(event).ok()?;
    let handler = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move {
            Ok::<_, std::convert::Infallible>(match endpoint {
                Endpoint::CreateLicenseKeys => create_license_keys::handle(desk, request).await,
                Endpoint::Generate => generate::handle(desk, request).await,
                Endpoint::AssignLicenseKey => assign_license_key::handle(desk, request).await,
                Endpoint::RandomAssignLicenseKeys => random_assign_license_keys::handle(desk, request).await,
                Endpoint::RandomAssignLicenseKeysQueued => {
                    random_assign_license_keys_queued::handle(desk, request).await
                }
                Endpoint::UpdateLicenseKey => update_license_key::handle(desk, request).await,
                Endpoint::ReplaceLicenseKey => replace_license_key::handle(desk, request).await,
                Endpoint::GetAvailableLicenseKeysCount => {
                    get_available_license_keys_count::handle(desk, request).await
                }
                Endpoint::GetLicenseKeys => get_license_keys::handle(desk, request).await,
            })
        }
    });
    let answered = Adapter::from(handler).call(LambdaEvent::new(request, Context::default())).await;
    let Ok(answer) = answered;
    event::to_http(serde_json::to_value(answer).ok()?)
}

/// The public key for responses about a product (`?product_id=2`), or else the global one.
async fn public_key(desk: &Desk, query: Option<&str>) -> Response<Body> {
    let asked = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("product_id=")));
    match public_key_pem(desk, asked).await {
        Ok(Some(pem)) => Response::builder()
            .header(header::CONTENT_TYPE, "application/x-pem-file")
            .body(Body::from(pem))
            .unwrap_or_default(),
        Ok(None) => problem(ProblemDetails::NotFound),
        Err(failure) => {
            tracing::error!(%failure, "cannot read the public key");
            problem(failure.problem())
        }
    }
}

async fn public_key_pem(desk: &Desk, product: Option<&str>) -> Result<Option<String>, FunctionError> {
    let product_key = match product.map(str::parse::<ProductId>) {
        None => None,
        Some(Err(_)) => return Ok(None),
        Some(Ok(id)) => {
            let about = Lookup { product: Some(id), ..Lookup::default() };
            let Some(product) = desk.look_up(about).await?.product else { return Ok(None) };
            product.signing_key_id
        }
    };
    let Some((key, _)) = desk.signer().key_for(product_key.as_ref()) else { return Ok(None) };
    Ok(Some(desk.signer().public_key(key).await?.to_pem()))
}

fn problem(problem: ProblemDetails) -> Response<Body> {
    problem.into_response(None).map(|body| Body::from(body.to_vec()))
}
