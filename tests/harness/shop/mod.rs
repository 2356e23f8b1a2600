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
use keypool_function::Desk;
use keypool_local::{Gateway, Services, Sqs, TABLE, demo, serve_batch};
use keypool_queue::Queue;
use keypool_signing::{PublicKey, SignedEnvelope, Signer};
use keypool_store::Store;
use process_orders::Worker;
use reqwest::multipart::Form;
use serde_json::{Value, json};

pub(crate) use self::backing::StackConfig;
use self::backing::settings_of_its_own;
pub use self::builder::ShopBuilder;
pub use self::former::FormerState;
pub(crate) use self::setup::{numbered_generator, numbered_product};
use crate::faults::{FaultPlan, KilledEnvironments};
use crate::{Environment, ManualClock, Privileges, Proxy, ScriptedDraws, ShopResponse, Sweep, logs};

/// The demo API key.
pub const API_KEY: &str = demo::API_KEY;

/// The rounds within which every queued order must end: more than the days of a delivery.
const ROUNDS_MAX: usize = 40;
const HALF_A_DAY: i64 = 12 * 3_600;

/// A shop with a license desk of its own on a new embedded stack.
#[derive(Debug)]
pub struct Shop {
    /// The gateway's base URL.
    pub base_url: String,
    /// The proxy in front of DynamoDB.
    pub dynamodb: Proxy,
    /// The proxy in front of KMS.
    pub kms: Proxy,
    /// The proxy in front of SQS.
    pub sqs: Proxy,
    /// The functions' clock.
    pub clock: Arc<ManualClock>,
    /// The functions' randomness.
    pub draws: Arc<ScriptedDraws>,
    /// The table without the proxy, for setting up and for looking afterwards.
    pub store: Store,
    /// KMS without the proxy.
    pub signer: Signer,
    client: reqwest::Client,
    backing: StackConfig,
    deaths: KilledEnvironments,
    /// The moment before the first call of this shop.
    opened: logs::Moment,
    // The gateway ends with the shop, like the services.
    _gateway: Gateway,
    services: Services,
}

impl Shop {
    /// Opens a shop with the demo data.
    pub async fn open() -> Self {
        Self::builder().open().await
    }

    /// Returns the table as the command reaches it: through the proxy, with an operator's time-outs.
    #[must_use]
    pub fn operators_store(&self) -> Store {
        let settings = settings_of_its_own(self.dynamodb.url(), self.kms.url());
        let clients = settings.clients(Timeouts::OPERATOR);
        Store::new(clients.dynamodb, TABLE, Arc::new(OperatingSystemRandomness))
            .with_timeouts(Timeouts::OPERATOR)
    }

    /// Returns the URLs of the embedded DynamoDB and KMS, without the proxies.
    #[must_use]
    pub fn services(&self) -> [String; 2] {
        [self.services.dynamodb_url(), self.services.kms_url()]
    }

    /// Returns a signer like a function's, with its own connections.
    #[must_use]
    pub fn signer_of_its_own(&self) -> Signer {
        self.backing.services("gateway").1
    }

    /// Builds a shop with other settings.
    #[must_use]
    pub fn builder() -> ShopBuilder {
        ShopBuilder {
            global_signing_key: true,
            timeouts: Timeouts::OPERATOR,
            sale_keys_max: usize::MAX,
            callback_limits: CallbackLimits::default(),
        }
    }

    /// Sends a form with the demo API key.
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

    /// Sends a form with the demo API key and an `Idempotency-Key`.
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

    /// Starts a request to an endpoint.
    pub fn request(&self, endpoint: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/api/v1/{endpoint}", self.base_url))
    }

    /// Returns the HTTP client of this shop.
    #[must_use]
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Starts another environment of all functions, with this shop's time-outs and its own clock and
    /// randomness. It serves one request at a time, and the fault plan disturbs it. Each number can be used
    /// once.
    pub async fn environment(&self, number: u32, seed: u64, clock_skew_seconds: i64) -> Environment {
        let (backing, deaths) = (self.backing.clone(), self.deaths.clone());
        Environment::start(number, backing, self.queue(), deaths, seed, clock_skew_seconds).await
    }

    /// Makes another desk for a function: a new environment.
    #[must_use]
    pub fn desk(&self, endpoint: Endpoint) -> Desk {
        self.backing.desk(endpoint.name())
    }

    /// Calls the sweep like its schedule, which repeats a failed one: a call may time out on a busy machine.
    ///
    /// # Panics
    /// If the sweep fails three times.
    pub async fn sweep_orders(&self) {
        for _ in 0..2 {
            if sweep_orders::handle(self.backing.sweeper()).await.is_ok() {
                return;
            }
        }
        sweep_orders::handle(self.backing.sweeper()).await.unwrap();
    }

    /// Returns the worker that fills queued orders and delivers callbacks.
    ///
    /// # Panics
    /// If the certificate authorities cannot be read.
    #[must_use]
    pub fn worker(&self) -> Worker {
        self.backing.worker()
    }

    /// Serves the queue of orders until no message is visible. Returns the number of messages.
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

    /// Returns the queue of orders, with an operator's time-outs.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.services.queue(Timeouts::OPERATOR)
    }

    /// Returns the embedded SQS, to set its faults.
    #[must_use]
    pub fn embedded_sqs(&self) -> &Sqs {
        self.services.sqs()
    }

    /// Opens the connections to DynamoDB, like each environment of a function at its start.
    ///
    /// # Panics
    /// If a connection fails.
    pub async fn warm_up(&self) {
        for endpoint in Endpoint::ALL {
            let (store, _) = self.backing.services(endpoint.name());
            store.warm_up().await.unwrap();
        }
    }

    /// Runs `sweep` once without disturbance, with a clock this number of seconds ahead of the real time.
    pub async fn sweep(&self, sweep: Sweep, ahead_seconds: i64) {
        let clock = Arc::new(ManualClock::off_by(ahead_seconds));
        sweep(StackConfig { clock, ..self.backing.clone() }.sweeper()).await;
    }

    /// Lets time pass until no queued order is left: minutes first, then half days. Each time `sweep` runs,
    /// and the worker processes every message.
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

    /// Sets the plan of faults for the calls of numbered environments from now on. Without a plan they pass.
    pub fn set_fault_plan(&self, fault_plan: Option<Arc<dyn FaultPlan>>) {
        let [dynamodb, kms, sqs] = self.proxies();
        dynamodb.set_fault_plan(fault_plan.clone());
        kms.set_fault_plan(fault_plan.clone());
        sqs.set_fault_plan(fault_plan);
    }

    /// Forwards all held calls.
    pub async fn deliver_postponed(&self) {
        for proxy in self.proxies() {
            let _ = proxy.deliver().await;
        }
    }

    fn proxies(&self) -> [&Proxy; 3] {
        [&self.dynamodb, &self.kms, &self.sqs]
    }

    /// Sends a request, and checks the form of the response.
    ///
    /// # Panics
    /// If the response has a wrong form.
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

    /// Returns the public key that the shop serves.
    ///
    /// # Panics
    /// If the shop serves none.
    pub async fn public_key_pem(&self, product_id: Option<u32>) -> String {
        let query = product_id.map(|id| format!("?product_id={id}")).unwrap_or_default();
        let response =
            self.client.get(format!("{}/public-key.pem{query}", self.base_url)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }

    /// True if the key that `private_key_used` names made the signature of the response.
    ///
    /// # Panics
    /// If the shop does not serve its key.
    pub async fn verifies(&self, response: &ShopResponse, product_id: u32) -> bool {
        let product_id = (response.envelope_text("private_key_used") == "product").then_some(product_id);
        let key = PublicKey::from_pem(self.public_key_pem(product_id).await.as_bytes()).unwrap();
        SignedEnvelope::from_json(&response.text).unwrap().verify(&key).is_ok()
    }

    /// Reads the stock of product 1 from the index: the response of DynamoDB to one query.
    ///
    /// # Panics
    /// If DynamoDB refuses.
    pub async fn query_stock(&self) -> Value {
        let query = json!({
            "TableName": "keypool",
            "IndexName": "available",
            "KeyConditionExpression": "stock = :stock",
            "ExpressionAttributeValues": {":stock": {"S": "PRODUCT#1"}},
        });
        self.dynamodb_call("Query", &query).await
    }

    /// Calls an operation of DynamoDB directly, like somebody at a console.
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

    /// Returns the number of keys that a product has in stock.
    ///
    /// # Panics
    /// If the response does not say.
    pub async fn in_stock(&self, product_id: u32) -> usize {
        let asked = self
            .post(
                "random-assign-license-keys",
                &[("product_id", &product_id.to_string()), ("quantity", "99")],
            )
            .await;
        match asked.code() {
            802 => usize::try_from(asked.response()["available_quantity"].as_u64().unwrap()).unwrap(),
            code => panic!("an order of more keys than in stock got code {code}, not 802"),
        }
    }

    /// Returns a key from the table.
    ///
    /// # Panics
    /// If there is no such key.
    pub async fn stored(&self, license_key: &str) -> LicenseKeyRecord {
        self.store.license_key(&license_key.parse().unwrap()).await.unwrap().unwrap()
    }

    /// Returns the status of a key from the table.
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
    /// No log line since the shop opened may contain a license key, an API key, an owner or a signature. No
    /// function may have made a call without a grant of its role.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            logs::check_since(self.opened);
            let calls = [self.dynamodb.privileges_used(), self.kms.privileges_used()].concat();
            Privileges::granted().check(&calls);
        }
    }
}
