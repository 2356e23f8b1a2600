use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use keypool_function::Desk;
use keypool_local::{Gateway, serve_batch};
use keypool_queue::Queue;
use process_orders::Worker;
use tokio::runtime::Runtime;

use crate::faults::KilledEnvironments;
use crate::shop::StackConfig;
use crate::{API_KEY, ManualClock, SeededRandomness, ShopResponse};

/// The work of every minute in an environment: it completes abandoned work. A failure waits for the next
/// minute.
pub type Sweep = fn(Arc<Desk>) -> BoxFuture<'static, ()>;

/// An environment with all functions, on a runtime of its own. A kill stops it in the middle of a request,
/// and nothing of it runs on.
#[derive(Debug)]
pub struct Environment {
    number: u32,
    base_url: String,
    /// The environment's clock.
    pub clock: Arc<ManualClock>,
    /// The desk that runs the sweep.
    sweeper: Arc<Desk>,
    /// The worker that fills queued orders.
    worker: Worker,
    /// The queue as Lambda reaches it for a function. Nothing disturbs it.
    queue: Queue,
    client: reqwest::Client,
    deaths: KilledEnvironments,
    // The gateway ends with the environment.
    _gateway: Gateway,
    runtime: Option<Runtime>,
}

/// No response: the environment died, or the connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

impl Environment {
    pub(crate) async fn start(
        number: u32,
        backing: StackConfig,
        queue: Queue,
        deaths: KilledEnvironments,
        seed: u64,
        clock_skew_seconds: i64,
    ) -> Self {
        let clock = Arc::new(ManualClock::off_by(clock_skew_seconds));
        let backing = StackConfig {
            clock: Arc::clone(&clock) as _,
            randomness: Arc::new(SeededRandomness::new(seed)),
            environment: Some(number),
            ..backing
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sweeper, worker) = (backing.sweeper(), backing.worker());
        let gateway = runtime.spawn(async move { backing.gateway().await }).await.unwrap();
        Self {
            number,
            base_url: gateway.base_url(),
            clock,
            sweeper,
            worker,
            queue,
            client: reqwest::Client::new(),
            deaths,
            _gateway: gateway,
            runtime: Some(runtime),
        }
    }

    /// The number of the environment.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// True if the environment has died.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.deaths.has(self.number)
    }

    /// Sends a form with the demo API key, and an `Idempotency-Key` if there is one.
    ///
    /// # Errors
    /// If the environment dies or the connection is lost.
    pub async fn post(
        &self,
        endpoint: &str,
        parameters: &[(&str, &str)],
        idempotency_key: Option<&str>,
    ) -> Result<ShopResponse, Lost> {
        let mut form = vec![("api_key", API_KEY)];
        form.extend(parameters);
        let mut request = self.client.post(format!("{}/api/v1/{endpoint}", self.base_url)).form(&form);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let answered = async { ShopResponse::read(request.send().await?).await };
        tokio::select! {
            biased;
            () = self.deaths.of(self.number) => Err(Lost),
            response = answered => response.map_err(|_| Lost),
        }
    }

    /// Runs the work of every minute in this environment.
    ///
    /// # Errors
    /// If the environment dies.
    pub async fn sweep(&self, sweep: Sweep) -> Result<(), Lost> {
        tokio::select! {
            biased;
            () = self.deaths.of(self.number) => Err(Lost),
            () = sweep(Arc::clone(&self.sweeper)) => Ok(()),
        }
    }

    /// Serves a batch of messages of the queue. Returns the number of messages.
    ///
    /// # Errors
    /// If the environment dies. Its messages return after their time-out.
    ///
    /// # Panics
    /// If Lambda cannot reach the queue.
    pub async fn work(&self) -> Result<usize, Lost> {
        tokio::select! {
            biased;
            () = self.deaths.of(self.number) => Err(Lost),
            served = serve_batch(&self.queue, &self.worker, Duration::ZERO) => Ok(served.unwrap()),
        }
    }

    /// The dead environments.
    #[must_use]
    pub fn deaths(&self) -> &KilledEnvironments {
        &self.deaths
    }

    /// Kills the environment at once, in the middle of its work.
    pub fn kill(&mut self) {
        self.deaths.kill(self.number);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.kill();
    }
}
