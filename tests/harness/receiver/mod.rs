mod reception;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::task::JoinHandle;

pub use self::reception::Reception;
use self::reception::web_page;

/// The webhook key of the receiver's shop.
const WEBHOOK_KEY: &str = "demo-webhook-key";

/// A callback that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The header `webhook-id`.
    pub id: String,
    /// The header `webhook-timestamp`.
    pub timestamp: String,
    /// The body.
    pub text: String,
    /// True if the shop accepted it, whatever its response.
    pub is_taken: bool,
}

impl Callback {
    /// Returns the signed response.
    ///
    /// # Panics
    /// If the body is not a callback.
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

/// A shop that receives callbacks, with the logic of the shop's plugin. It reads only `identifier`, `code`
/// and `license_keys` of a callback.
#[derive(Debug)]
pub struct Receiver {
    /// The URL for orders.
    pub url: String,
    shared: Arc<Mutex<Heard>>,
    serving: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Heard {
    callbacks: Vec<Callback>,
    /// The receptions of the next callbacks. After these, the storm or the plugin decides.
    scripted: VecDeque<Reception>,
    /// The seed of the storm around the shop's server.
    storm: Option<u64>,
    /// The number of callbacks of each order in the storm.
    arrived: HashMap<String, u64>,
    /// The orders that the shop knows. If empty, it knows all.
    known: Vec<String>,
    /// The rows that the plugin inserted, by order.
    rows: Vec<(String, Vec<Value>)>,
}

impl Receiver {
    /// Starts a shop that listens on its own port and knows every order.
    ///
    /// # Panics
    /// If no port is free.
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

    /// Sets the statuses of the next responses.
    pub fn respond(&self, statuses: &[u16]) {
        self.receive(statuses.iter().map(|status| Reception::Status(*status)));
    }

    /// Sets the receptions of the next callbacks.
    pub fn receive(&self, receptions: impl IntoIterator<Item = Reception>) {
        self.heard().scripted.extend(receptions);
    }

    /// True if all scripted receptions have happened.
    #[must_use]
    pub fn is_script_over(&self) -> bool {
        self.heard().scripted.is_empty()
    }

    /// Makes the shop's server fail at times, as the seed of the storm decides. `None` ends the storm.
    pub fn set_storm(&self, seed: Option<u64>) {
        self.heard().storm = seed;
    }

    /// Limits the orders that the shop knows.
    pub fn know(&self, orders: &[&str]) {
        self.heard().known = orders.iter().map(|order| (*order).to_owned()).collect();
    }

    /// Returns the callbacks so far.
    #[must_use]
    pub fn callbacks(&self) -> Vec<Callback> {
        self.heard().callbacks.clone()
    }

    /// Returns the rows that the plugin inserted so far, each with its order.
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
    let text = String::from_utf8(body.to_vec()).unwrap();
    let mut callback =
        Callback { id: header("webhook-id"), timestamp: header("webhook-timestamp"), text, is_taken: false };
    let (reception, own) = {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let reception = heard.reception(&callback);
        let has_key = uri.query() == Some(&*format!("keevault-webhook={WEBHOOK_KEY}"));
        let own = if reception.takes() && has_key { heard.take(&mut callback) } else { web_page() };
        heard.callbacks.push(callback);
        (reception, own)
    };
    reception.respond(own).await
}

impl Heard {
    fn reception(&mut self, callback: &Callback) -> Reception {
        if let Some(scripted) = self.scripted.pop_front() {
            return scripted;
        }
        let Some(seed) = self.storm else { return Reception::Plugin };
        let order = callback.response()["identifier"].as_str().unwrap_or_default().to_owned();
        let arrived = self.arrived.entry(order.clone()).or_default();
        *arrived += 1;
        Reception::in_storm(seed, &order, *arrived)
    }

    /// Processes a callback like the plugin, and returns its response.
    fn take(&mut self, callback: &mut Callback) -> Response {
        let response = callback.response();
        let order = response["identifier"].as_str().unwrap_or_default().to_owned();
        if !self.known.is_empty() && !self.known.contains(&order) {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        callback.is_taken = true;
        if response["code"] == 803 {
            let mut rows = response["license_keys"].as_array().unwrap().clone();
            for row in &mut rows {
                // The plugin's table has no column for these two.
                let row = row.as_object_mut().unwrap();
                assert!(row.remove("contract_id").is_some() && row.remove("meta_data").is_some());
            }
            self.rows.push((order, rows));
        }
        StatusCode::OK.into_response()
    }
}
