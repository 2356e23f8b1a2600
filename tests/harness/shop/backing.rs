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

/// What a gateway's desks are made from.
#[derive(Clone)]
pub(crate) struct Backing {
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
    /// The environment that all desks belong to, if the proxies shall know it.
    pub(crate) environment: Option<u32>,
}

/// Settings in a region that no other client has. Within a process the SDK keeps one quota of repetitions for a region.
/// On Lambda every environment has a process of its own.
pub(super) fn settings_of_its_own(dynamodb_url: String, kms_url: String) -> AwsSettings {
    static REGIONS: AtomicUsize = AtomicUsize::new(0);
    let region = format!("region-{}", REGIONS.fetch_add(1, Ordering::Relaxed));
    AwsSettings { region, ..Services::settings(dynamodb_url, kms_url) }
}

impl Backing {
    /// The table and KMS, as a function sees them or somebody of another name.
    pub(crate) fn services(&self, name: &str) -> (Store, Signer) {
        let clients = self.settings(name).clients(self.timeouts);
        let store = Store::new(clients.dynamodb, TABLE, Arc::clone(&self.randomness))
            .with_timeouts(self.timeouts)
            .with_sale_keys_max(self.sale_keys_max);
        (store, Signer::new(clients.kms, self.global_key.clone()))
    }

    /// The queue of orders, as a function sees it.
    pub(crate) fn queue(&self, name: &str) -> Queue {
        let endpoint = self.endpoint(&self.sqs_url, name);
        Queue::new(self.settings(name).queue(self.timeouts, Some(endpoint)), self.queue_url.clone())
    }

    /// The address of a service. Its path tells the proxies which function calls, and in which environment.
    fn endpoint(&self, url: &str, name: &str) -> String {
        let environment = self.environment.map(|number| format!("/{number}")).unwrap_or_default();
        format!("{url}/{name}{environment}")
    }

    fn settings(&self, name: &str) -> AwsSettings {
        let at = |url: &str| self.endpoint(url, name);
        settings_of_its_own(at(&self.dynamodb_url), at(&self.kms_url))
    }

    /// The function that fills queued orders and calls back.
    pub(crate) fn worker(&self) -> Worker {
        let client = CallbackClient::new(Arc::new(SystemResolver), self.callback_limits).unwrap();
        Worker::new(Arc::new(self.desk(PROCESS_ORDERS)), client)
    }

    /// The desk of the function that brings orders to their end.
    pub(crate) fn sweeper(&self) -> Arc<Desk> {
        Arc::new(self.desk(SWEEP_ORDERS))
    }

    /// The desk of a function, or of the gateway itself.
    pub(crate) fn desk(&self, name: &str) -> Desk {
        let (store, signer) = self.services(name);
        Desk::new(store, signer, Arc::clone(&self.clock), Arc::clone(&self.randomness))
            .with_queue(self.queue(name))
            .with_local_webhooks()
    }

    /// Starts a gateway before functions on these services.
    pub(crate) async fn gateway(&self) -> Gateway {
        Gateway::start(0, |function| self.desk(function.map_or("gateway", Endpoint::name))).await.unwrap()
    }
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backing").field("environment", &self.environment).finish_non_exhaustive()
    }
}
