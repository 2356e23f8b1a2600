mod backing;
mod builder;
mod former;
mod sale;
mod setup;

use std::sync::Arc;
use std::time::Duration;

use keypool_aws::Timeouts;
use keypool_callback::CallbackLimits;
use keypool_domain::{Endpoint, LicenseKeyRecord, OperatingSystemRandomness, Status};
use keypool_local::{Gateway, Services, Sqs, TABLE, demo, serve_batch};
use keypool_queue::Queue;
use keypool_signing::{PublicKey, SignedEnvelope, Signer};
use keypool_store::Store;
use process_orders::Worker;
use reqwest::multipart::Form;
use serde_json::Value;

pub(crate) use self::backing::Backing;
use self::backing::settings_of_its_own;
pub use self::builder::ShopBuilder;
pub use self::former::FormerState;
pub(crate) use self::setup::{numbered_generator, numbered_product};
use crate::weather::{Deaths, Weather};
use crate::{Environment, ManualClock, Privileges, Proxy, ScriptedDraws, ShopResponse, Sweep, logs};

/// The demo's API key.
pub const API_KEY: &str = demo::API_KEY;

/// In so many rounds every queued order must have ended: more than the days of a delivery.
const ROUNDS_MAX: usize = 40;
const HALF_A_DAY: i64 = 12 * 3_600;

/// A shop with its own licence desk: the embedded stack, fresh.
#[derive(Debug)]
pub struct Shop {
    /// The gateway's base URL.
    pub base_url: String,
    /// Before DynamoDB.
    pub dynamodb: Proxy,
    /// Before KMS.
    pub kms: Proxy,
    /// Before SQS.
    pub sqs: Proxy,
    /// The functions' clock.
    pub clock: Arc<ManualClock>,
    /// The functions' randomness.
    pub draws: Arc<ScriptedDraws>,
    /// The table, reached past the proxies: for setting up and for looking afterwards.
    pub store: Store,
    /// KMS, reached past the proxies.
    pub signer: Signer,
    client: reqwest::Client,
    backing: Backing,
    deaths: Deaths,
    // Ends with the shop, like the services.
    _gateway: Gateway,
    services: Services,
}

impl Shop {
    /// A shop with the demo.
    pub async fn open() -> Self {
        Self::builder().open().await
    }

    /// The table as the command reaches it: through the proxy, with an operator's time-outs.
    #[must_use]
    pub fn operators_store(&self) -> Store {
        let settings = settings_of_its_own(self.dynamodb.url(), self.kms.url());
        let clients = settings.clients(Timeouts::OPERATOR);
        Store::new(clients.dynamodb, TABLE, Arc::new(OperatingSystemRandomness))
            .with_timeouts(Timeouts::OPERATOR)
    }

    /// Where the embedded services are, past the proxies: DynamoDB and KMS.
    #[must_use]
    pub fn services(&self) -> [String; 2] {
        [self.services.dynamodb_url(), self.services.kms_url()]
    }

    /// A signer as a function has it, with connections of its own.
    #[must_use]
    pub fn signer_of_its_own(&self) -> Signer {
        self.backing.services("gateway").1
    }

    /// A shop to be set up otherwise.
    #[must_use]
    pub fn builder() -> ShopBuilder {
        ShopBuilder {
            global_signing_key: true,
            timeouts: Timeouts::OPERATOR,
            sale_keys_max: usize::MAX,
            callback_limits: CallbackLimits::default(),
        }
    }

    /// Sends a form with the demo's API key.
    pub async fn post(&self, endpoint: &str, parameters: &[(&str, &str)]) -> ShopResponse {
        let mut form = vec![("api_key", API_KEY)];
        form.extend(parameters);
        self.post_form(endpoint, &form).await
    }

    /// Sends a form.
    pub async fn post_form(&self, endpoint: &str, form: &[(&str, &str)]) -> ShopResponse {
        Self::note_secrets(form);
        self.send(self.request(endpoint).form(form)).await
    }

    /// Sends a form with the demo's API key and an `Idempotency-Key`.
    pub async fn post_once(
        &self,
        endpoint: &str,
        idempotency_key: &str,
        parameters: &[(&str, &str)],
    ) -> ShopResponse {
        let mut form = vec![("api_key", API_KEY)];
        form.extend(parameters);
        Self::note_secrets(&form);
        self.send(self.request(endpoint).header("idempotency-key", idempotency_key).form(&form)).await
    }

    /// Sends a form as `multipart/form-data`.
    pub async fn post_multipart(&self, endpoint: &str, form: &[(&str, &str)]) -> ShopResponse {
        Self::note_secrets(form);
        let parts = form
            .iter()
            .fold(Form::new(), |parts, (name, value)| parts.text((*name).to_owned(), (*value).to_owned()));
        self.send(self.request(endpoint).multipart(parts)).await
    }

    /// Sends JSON.
    pub async fn post_json(&self, endpoint: &str, json: &Value) -> ShopResponse {
        let members = json.as_object().into_iter().flatten();
        let texts = members.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        Self::note_secrets(&texts.collect::<Vec<_>>());
        self.send(self.request(endpoint).json(json)).await
    }

    /// A request to an endpoint, to be filled in.
    pub fn request(&self, endpoint: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/api/v1/{endpoint}", self.base_url))
    }

    /// Another client of the same shop's HTTP interface.
    #[must_use]
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Another environment of all functions, with the time-outs of this shop, and with a clock and randomness of its own, in which
    /// one request is served after the other. The weather disturbs it. Numbers may not be used twice.
    pub async fn environment(&self, number: u32, seed: u64, clock_skew_seconds: i64) -> Environment {
        let (backing, deaths) = (self.backing.clone(), self.deaths.clone());
        Environment::start(number, backing, self.queue(), deaths, seed, clock_skew_seconds).await
    }

    /// Calls the function that brings orders to their end, as its schedule does.
    ///
    /// # Panics
    /// If it fails.
    pub async fn sweep_orders(&self) {
        sweep_orders::handle(self.backing.sweeper()).await.unwrap();
    }

    /// The function that fills queued orders and calls back.
    ///
    /// # Panics
    /// If the certificate authorities cannot be read.
    #[must_use]
    pub fn worker(&self) -> Worker {
        self.backing.worker()
    }

    /// Has the queue of orders served until no message is visible. Returns the number of messages.
    ///
    /// # Panics
    /// If the queue fails.
    pub async fn process_orders(&self) -> usize {
        let (queue, worker) = (self.queue(), self.worker());
        let mut total = 0;
        loop {
            let count = serve_batch(&queue, &worker, Duration::ZERO).await.unwrap();
            if count == 0 {
                return total;
            }
            total += count;
        }
    }

    /// The queue of orders, with an operator's time-outs.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.services.queue(Timeouts::OPERATOR)
    }

    /// The embedded SQS: its faults.
    #[must_use]
    pub fn embedded_sqs(&self) -> &Sqs {
        self.services.sqs()
    }

    /// Opens the connections to DynamoDB, as each environment of a function does while it starts.
    ///
    /// # Panics
    /// If one fails.
    pub async fn warm_up(&self) {
        for endpoint in Endpoint::ALL {
            let (store, _) = self.backing.services(endpoint.name());
            store.warm_up().await.unwrap();
        }
    }

    /// Does what is done every minute, undisturbed, so many seconds ahead of the shop's clock.
    pub async fn sweep(&self, sweep: Sweep, ahead_seconds: i64) {
        let clock = Arc::new(ManualClock::off_by(ahead_seconds));
        sweep(Backing { clock, ..self.backing.clone() }.sweeper()).await;
    }

    /// Lets time pass until no queued order is left: minutes first, then half days. Each time, `sweep` runs, and the
    /// worker processes every message.
    ///
    /// # Panics
    /// If the queue or the table fails.
    pub async fn let_queue_end(&self, sweep: Sweep) {
        for round in 0..ROUNDS_MAX {
            if self.store.queued_orders().await.unwrap().is_empty() {
                return;
            }
            self.clock.advance_seconds(if round < 6 { 60 } else { HALF_A_DAY });
            sweep(self.backing.sweeper()).await;
            self.process_orders().await;
        }
    }

    /// From now on the weather decides what happens to the calls of other environments; none: they pass.
    pub fn set_weather(&self, weather: Option<Arc<dyn Weather>>) {
        let [dynamodb, kms, sqs] = self.proxies();
        dynamodb.set_weather(weather.clone());
        kms.set_weather(weather.clone());
        sqs.set_weather(weather);
    }

    /// Passes on all calls that were postponed.
    pub async fn deliver_postponed(&self) {
        for proxy in self.proxies() {
            let _ = proxy.deliver().await;
        }
    }

    fn proxies(&self) -> [&Proxy; 3] {
        [&self.dynamodb, &self.kms, &self.sqs]
    }

    /// Sends a request, and checks what is true of every response.
    ///
    /// # Panics
    /// If it is not true of this one.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> ShopResponse {
        let response = ShopResponse::read(request.send().await.unwrap()).await.unwrap();
        response.check_form();
        if let Some(signature) = response.json()["signature"].as_str()
            && signature != keypool_domain::Envelope::WITHOUT_KEY
        {
            logs::keep_secret(signature);
        }
        response.license_keys().iter().for_each(|key| logs::keep_secret(key));
        response
    }

    /// The public key that the shop hands out.
    ///
    /// # Panics
    /// If it does not.
    pub async fn public_key_pem(&self, product_id: Option<u32>) -> String {
        let query = product_id.map(|id| format!("?product_id={id}")).unwrap_or_default();
        let response =
            self.client.get(format!("{}/public-key.pem{query}", self.base_url)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }

    /// Whether the signature of a response is the one of the key that its `private_key_used` tells of.
    ///
    /// # Panics
    /// If the shop does not hand out its key.
    pub async fn verifies(&self, response: &ShopResponse, product_id: u32) -> bool {
        let product_id = (response.envelope_text("private_key_used") == "product").then_some(product_id);
        let key = PublicKey::from_pem(self.public_key_pem(product_id).await.as_bytes()).unwrap();
        SignedEnvelope::from_json(&response.text).unwrap().verify(&key).is_ok()
    }

    /// Calls an operation of DynamoDB past everything, as somebody at a console would.
    ///
    /// # Panics
    /// If DynamoDB refuses.
    pub async fn dynamodb_call(&self, operation: &str, request: &Value) -> Value {
        let request = self
            .client
            .post(self.services.dynamodb_url())
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=local/20260101/eu-central-1/dynamodb/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=00",
            )
            .body(request.to_string());
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// How many keys a product has in stock.
    ///
    /// # Panics
    /// If the table does not say.
    pub async fn in_stock(&self, product_id: u32) -> usize {
        let asked = self
            .post(
                "random-assign-license-keys",
                &[("product_id", &product_id.to_string()), ("quantity", "99")],
            )
            .await;
        match asked.code() {
            802 => usize::try_from(asked.response()["available_quantity"].as_u64().unwrap()).unwrap(),
            code => panic!("this asks by ordering more than there is, but the answer was {code}"),
        }
    }

    /// A key as the table has it.
    ///
    /// # Panics
    /// If there is no such key.
    pub async fn stored(&self, license_key: &str) -> LicenseKeyRecord {
        self.store.license_key(&license_key.parse().unwrap()).await.unwrap().unwrap()
    }

    /// The status of a key as the table has it.
    ///
    /// # Panics
    /// If there is no such key.
    pub async fn status(&self, license_key: &str) -> Status {
        self.stored(license_key).await.status
    }

    fn note_secrets(form: &[(&str, &str)]) {
        for (name, value) in form {
            if ["api_key", "license_key", "owner_name", "owner_email", "email"].contains(name) {
                logs::keep_secret(value);
            }
            if *name == "license_keys" {
                let keys: Vec<String> = serde_json::from_str(value).unwrap_or_default();
                for key in &keys {
                    logs::keep_secret(key);
                }
            }
        }
    }
}

impl Drop for Shop {
    /// Whatever the test was about, no log line may hold a license key, an API key, an owner or a signature, and no
    /// function may have called what its role does not grant.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            logs::check();
            let calls = [self.dynamodb.privileges_used(), self.kms.privileges_used()].concat();
            Privileges::granted().check(&calls);
        }
    }
}
