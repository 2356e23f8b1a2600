use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keypool_aws::{AwsSettings, Timeouts};
use keypool_callback::{CallbackClient, CallbackLimits, SystemResolver};
use keypool_domain::{Clock, Endpoint, Randomness, SigningKeyId};
use keypool_function::Desk;
use keypool_local::{Gateway, Services, TABLE};
use keypool_queue::Queue;
use keypool_signing::Signer;
use keypool_store::Store;
use process_orders::Worker;

use crate::{PROCESS_ORDERS, SWEEP_ORDERS};

/// The parts of a gateway's desks.
#[derive(Clone)]
pub(crate) struct StackConfig {
    pub(crate) dynamodb_url: String,
    pub(crate) kms_url: String,
    pub(crate) global_key: Option<SigningKeyId>,
    pub(crate) timeouts: Timeouts,
    pub(crate) sale_keys_max: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) sqs_url: String,
    pub(crate) queue_url: String,
    pub(crate) callback_limits: CallbackLimits,
    /// The environment of all desks, if the proxies should know it.
    pub(crate) environment: Option<u32>,
}

/// Makes settings with a region that no other client has. Within a process the SDK shares one retry quota per
/// region. On Lambda every environment has its own process.
pub(super) fn settings_of_its_own(dynamodb_url: String, kms_url: String) -> AwsSettings {
    static REGIONS: AtomicUsize = AtomicUsize::new(0);
    let region = format!("region-{}", REGIONS.fetch_add(1, Ordering::Relaxed));
    AwsSettings { region, ..Services::settings(dynamodb_url, kms_url) }
}

impl StackConfig {
    /// Makes the clients of the table and KMS for a function or another caller.
    pub(crate) fn services(&self, name: &str) -> (Store, Signer) {
        let clients = self.settings(name).clients(self.timeouts);
        let store = Store::new(clients.dynamodb, TABLE, Arc::clone(&self.randomness))
            .with_timeouts(self.timeouts)
            .with_sale_keys_max(self.sale_keys_max);
        (store, Signer::new(clients.kms, self.global_key.clone()))
    }

    /// Makes a function's client of the queue.
    pub(crate) fn queue(&self, name: &str) -> Queue {
        let endpoint = self.endpoint(&self.sqs_url, name);
        Queue::new(self.settings(name).queue(self.timeouts, Some(endpoint)), self.queue_url.clone())
    }

    /// Returns the address of a service. Its path tells the proxies the calling function and its environment.
    fn endpoint(&self, url: &str, name: &str) -> String {
        let environment = self.environment.map(|number| format!("/{number}")).unwrap_or_default();
        format!("{url}/{name}{environment}")
    }

    fn settings(&self, name: &str) -> AwsSettings {
        let at = |url: &str| self.endpoint(url, name);
        settings_of_its_own(at(&self.dynamodb_url), at(&self.kms_url))
    }

    /// Makes the worker that fills queued orders and delivers callbacks.
    pub(crate) fn worker(&self) -> Worker {
        let client = CallbackClient::new(Arc::new(SystemResolver), self.callback_limits).unwrap();
        Worker::new(Arc::new(self.desk(PROCESS_ORDERS)), client)
    }

    /// Makes the desk of the sweep.
    pub(crate) fn sweeper(&self) -> Arc<Desk> {
        Arc::new(self.desk(SWEEP_ORDERS))
    }

    /// Makes the desk of a function or of the gateway itself.
    pub(crate) fn desk(&self, name: &str) -> Desk {
        let (store, signer) = self.services(name);
        Desk::new(store, signer, Arc::clone(&self.clock), Arc::clone(&self.randomness))
            .with_queue(self.queue(name))
            .with_local_webhooks()
    }

    /// Starts a gateway in front of functions on these services.
    pub(crate) async fn gateway(&self) -> Gateway {
        Gateway::start(0, |function| self.desk(function.map_or("gateway", Endpoint::name))).await.unwrap()
    }
}

impl fmt::Debug for StackConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackConfig").field("environment", &self.environment).finish_non_exhaustive()
    }
}
