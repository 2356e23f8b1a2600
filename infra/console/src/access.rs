//! The protection of the console: links, sessions, and the requests that it refuses.
//!
//! The console listens on loopback only, where other users of the machine and pages of other sites can reach
//! it, too. So a request needs the cookie of a session, and a session begins with a link that only this
//! user can read. A link works once. Requests with a foreign `Host` (DNS rebinding) or `Origin` (a form on
//! another site) are refused.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use keypool_domain::Randomness;
use serde::Deserialize;

use crate::Desk;
use crate::pages::{Failure, render};

/// The path below which all of the console is.
pub const HOME: &str = "/console";

/// The most sessions at a time. A further one ends the others.
const SESSIONS_MAX: usize = 32;

/// The header in which a browser says where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The length of a new id, in hexadecimal digits.
const ID_CHARACTERS: usize = 16;

/// The headers of every response. Scripts and styles come from the console alone, no page may frame it, and
/// no address leaves it in a `Referer`. (With `no-referrer`, browsers would hide the origin of a form from
/// the console, too.)
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The links and the sessions of a console.
pub struct Access {
    /// The names by which a browser on this machine reaches the console, with the port.
    hosts: Vec<String>,
    port: u16,
    randomness: Arc<dyn Randomness>,
    /// Receives each new link, after the one before has been used.
    on_link: Box<dyn Fn(&str) + Send + Sync>,
    state: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    link: String,
    /// The open sessions, by their cookies.
    open: HashMap<String, Session>,
}

struct Session {
    token: FormToken,
    message: Message,
}

/// A message about a change, for the page that is shown next.
#[derive(Default)]
pub(crate) struct Message {
    /// The change; empty if there was none.
    pub(crate) done: String,
    /// A new API key, which is shown once.
    pub(crate) secret: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Access {
    /// The access to a console on `port` of 127.0.0.1. `on_link` receives each link after the first.
    #[must_use]
    pub fn new(
        port: u16,
        randomness: Arc<dyn Randomness>,
        on_link: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let hosts = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}")).into();
        let state = Sessions { link: secret(&*randomness), open: HashMap::new() };
        Self { hosts, port, randomness, on_link: Box::new(on_link), state: Mutex::new(state) }
    }

    /// The link that opens the next session. It works once.
    #[must_use]
    pub fn link(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        format!("http://127.0.0.1:{}{HOME}/open?token={}", self.port, state.link)
    }

    /// Begins a session if `token` is that of the link, and makes a new link.
    fn open(&self, token: &str) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_same(token, &state.link) {
            return None;
        }
        let cookie = secret(&*self.randomness);
        if state.open.len() >= SESSIONS_MAX {
            state.open.clear();
        }
        let token = FormToken(secret(&*self.randomness));
        state.open.insert(cookie.clone(), Session { token, message: Message::default() });
        state.link = secret(&*self.randomness);
        drop(state);
        (self.on_link)(&self.link());
        Some(cookie)
    }

    /// Leaves a message for the next page of a session, in place of an earlier one.
    pub(crate) fn leave(&self, token: &FormToken, message: Message) {
        self.exchange(token, message);
    }

    /// Takes the message that was left for a session.
    pub(crate) fn take_message(&self, token: &FormToken) -> Message {
        self.exchange(token, Message::default()).unwrap_or_default()
    }

    fn exchange(&self, token: &FormToken, message: Message) -> Option<Message> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let session = state.open.values_mut().find(|session| session.token.is(token.as_str()))?;
        Some(std::mem::replace(&mut session.message, message))
    }

    /// A new random id.
    pub(crate) fn new_id(&self) -> String {
        secret(&*self.randomness).chars().take(ID_CHARACTERS).collect()
    }

    /// The form token of the request's session.
    pub(crate) fn session(&self, headers: &HeaderMap) -> Option<FormToken> {
        let name = self.cookie_name();
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(cookie, _)| *cookie == name)?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let session = state.open.iter().find(|(cookie, _)| is_same(cookie, value));
        session.map(|(_, session)| session.token.clone())
    }

    /// Cookies belong to a host, not to a port, so consoles on two ports need two names.
    fn cookie_name(&self) -> String {
        format!("keypool-console-{}", self.port)
    }
}

/// The token that a form must carry. Another site cannot read it, so it cannot send the form.
#[derive(Clone)]
pub(crate) struct FormToken(String);

impl FormToken {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is(&self, text: &str) -> bool {
        is_same(&self.0, text)
    }
}

/// 256 random bits as text.
fn secret(randomness: &dyn Randomness) -> String {
    use std::fmt::Write as _;
    let mut bytes = [0; 32];
    randomness.fill(&mut bytes);
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Compares two secrets in a time that does not depend on where they differ.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// The link's own route.
pub(crate) fn routes() -> Router<Desk> {
    Router::new().route("/open", get(open))
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
}

/// Turns the token of a link into the cookie of a session.
async fn open(State(desk): State<Desk>, headers: HeaderMap, Query(link): Query<Link>) -> Response {
    if let Some(session) = desk.access.open(&link.token) {
        let name = desk.access.cookie_name();
        let cookie = format!("{name}={session}; Path={HOME}; HttpOnly; SameSite=Strict");
        return ([(header::SET_COOKIE, cookie)], render(&Entrance)).into_response();
    }
    if desk.access.session(&headers).is_some() {
        // The link was opened twice in the same browser.
        return render(&Entrance).into_response();
    }
    Failure::Link.into_response()
}

/// A page that loads the first page. After a redirect, a browser that came from another page would not send
/// the `SameSite=Strict` cookie.
#[derive(Template)]
#[template(path = "entrance.html")]
struct Entrance;

/// Returns true for requests of the console's own pages, and for a link that is opened from elsewhere.
fn is_own(access: &Access, request: &Request) -> bool {
    let header =
        |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let own = header(header::HOST).filter(|host| access.hosts.iter().any(|own| own == host));
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // A browser names the origin of every change. It may omit the origin when it only reads a page.
    let is_own_origin = header(header::ORIGIN)
        .map_or(reads, |origin| own.is_some_and(|host| origin.strip_prefix("http://") == Some(host)));
    // Other ports of this machine count as the same site. Only the link may be opened from elsewhere.
    let is_own_site = header(SEC_FETCH_SITE).is_none_or(|site| matches!(site, "same-origin" | "none"));
    own.is_some() && is_own_origin && (is_own_site || request.uri().path().ends_with("/open"))
}

/// Refuses foreign hosts and origins, and puts the headers on every response.
pub(crate) async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let mut response = if is_own(&access, &request) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "The console answers its own pages on this machine only.\n").into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if !response.headers().contains_key(header::CACHE_CONTROL) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Refuses requests without a session.
pub(crate) async fn require_session(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    match access.session(request.headers()) {
        Some(token) => {
            request.extensions_mut().insert(token);
            next.run(request).await
        }
        None => Failure::NoSession.into_response(),
    }
}
