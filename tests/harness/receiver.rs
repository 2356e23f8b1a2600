use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::task::JoinHandle;

/// The webhook key of the receiver's shop.
const WEBHOOK_KEY: &str = "demo-webhook-key";

/// The page that the shop shows to whoever has not the webhook key.
const HOME_PAGE: &str = "<!DOCTYPE html><html><body>Welcome to the shop</body></html>";

/// A callback as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The header `webhook-id`.
    pub id: String,
    /// The header `webhook-timestamp`.
    pub timestamp: String,
    /// The body.
    pub text: String,
}

impl Callback {
    /// The signed response in it.
    ///
    /// # Panics
    /// If the body is no callback's.
    #[must_use]
    pub fn response(&self) -> Value {
        let body: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(
            (&body["headers"], &body["exception"]),
            (&Value::Object(serde_json::Map::new()), &Value::Null)
        );
        body["original"]["response"].clone()
    }
}

/// A shop that is called back, with the logic of the shop's plugin: of a callback it reads `identifier`, `code`
/// and `license_keys` only.
#[derive(Debug)]
pub struct Receiver {
    /// The URL that an order names.
    pub url: String,
    shared: Arc<Mutex<Heard>>,
    serving: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Heard {
    callbacks: Vec<Callback>,
    /// The statuses of the next responses; the plugin's own after these.
    scripted: VecDeque<StatusCode>,
    /// The orders that the shop knows; all if there are none.
    known: Vec<String>,
    /// The rows that the plugin has inserted, by order.
    rows: Vec<(String, Vec<Value>)>,
}

impl Receiver {
    /// A shop that listens on a port of its own, and knows every order.
    ///
    /// # Panics
    /// If no port can be had.
    pub async fn start() -> Self {
        let shared = Arc::new(Mutex::new(Heard::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/?keevault-webhook={WEBHOOK_KEY}", listener.local_addr().unwrap());
        let router = Router::new().fallback(hear).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, serving }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next responses have these statuses, whatever arrives.
    pub fn respond(&self, statuses: &[u16]) {
        let statuses = statuses.iter().filter_map(|status| StatusCode::from_u16(*status).ok());
        self.heard().scripted.extend(statuses);
    }

    /// From now on the shop knows these orders only.
    pub fn know(&self, orders: &[&str]) {
        self.heard().known = orders.iter().map(|order| (*order).to_owned()).collect();
    }

    /// The callbacks that have arrived so far.
    #[must_use]
    pub fn callbacks(&self) -> Vec<Callback> {
        self.heard().callbacks.clone()
    }

    /// The rows that the plugin has inserted so far, each with its order.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, Vec<Value>)> {
        self.heard().rows.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn hear(State(heard): State<Arc<Mutex<Heard>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8(body.to_vec()).unwrap();
    heard.callbacks.push(Callback { id: header("webhook-id"), timestamp: header("webhook-timestamp"), text });
    if let Some(status) = heard.scripted.pop_front() {
        return (status, "scripted").into_response();
    }
    if uri.query() != Some(&*format!("keevault-webhook={WEBHOOK_KEY}")) {
        return Html(HOME_PAGE).into_response();
    }
    let response = heard.callbacks.last().unwrap().response();
    let order = response["identifier"].as_str().unwrap_or_default().to_owned();
    if !heard.known.is_empty() && !heard.known.contains(&order) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if response["code"] == 803 {
        let mut rows = response["license_keys"].as_array().unwrap().clone();
        for row in &mut rows {
            // The plugin's table has no column for these two.
            let row = row.as_object_mut().unwrap();
            assert!(row.remove("contract_id").is_some() && row.remove("meta_data").is_some());
        }
        heard.rows.push((order, rows));
    }
    StatusCode::OK.into_response()
}
