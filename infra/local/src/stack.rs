use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use keypool_aws::Timeouts;
use keypool_callback::{CallbackClient, CallbackLimits, SystemResolver, UnusableRoots};
use keypool_domain::{OperatingSystemRandomness, SystemClock};
use keypool_function::Desk;
use keypool_signing::Signer;
use keypool_store::Store;
use process_orders::Worker;
use tokio::task::JoinHandle;

use crate::demo::DemoError;
use crate::{DataFolder, DataFolderError, Endpoints, Gateway, ServiceError, Services, TABLE, demo, worker};

/// The interval of the sweep, the same as in the deployment template.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// The storage of the stack's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In its data folder.
    Disk,
    /// In memory: the data is lost when the stack stops. The data in its folder is neither read nor changed.
    Memory,
}

/// The error for a stack that does not start.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// An embedded service does not start.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The demo could not be set up.
    #[error("cannot set up the demo")]
    Demo(#[from] DemoError),
    /// The certificate authorities that callbacks trust cannot be read.
    #[error(transparent)]
    Callbacks(#[from] UnusableRoots),
    /// The gateway's port is not available.
    #[error("cannot listen on port {port} of 127.0.0.1")]
    Port {
        /// The port.
        port: u16,
        /// The cause.
        source: io::Error,
    },
}

/// The whole stack, running.
#[derive(Debug)]
pub struct Stack {
    gateway: Gateway,
    sweeping: JoinHandle<()>,
    processing: JoinHandle<()>,
    services: Services,
    folder: DataFolder,
}

impl Stack {
    /// The modules whose warnings are normal business. The embedded DynamoDB warns of every failed condition,
    /// for example when another buyer was faster. Only their errors are logged.
    pub const WARNS_OF_BUSINESS: &'static [&'static str] = &["dynoxide"];

    /// Starts all services, sets up the demo if it is missing, and serves on `port` of 127.0.0.1; 0 picks
    /// one. The data folder records the addresses, whatever the storage.
    pub async fn start(port: u16, folder: &Path, storage: Storage) -> Result<Self, StackError> {
        Self::start_with_pages(port, folder, storage, |_| Router::new()).await
    }

    /// Starts the stack as [`Self::start`] does. The API's port also serves the routes that `pages` returns
    /// for it.
    pub async fn start_with_pages(
        port: u16,
        folder: &Path,
        storage: Storage,
        pages: impl FnOnce(u16) -> Router,
    ) -> Result<Self, StackError> {
        let folder = DataFolder::take(folder)?;
        let services = Services::start((storage == Storage::Disk).then_some(&folder)).await?;
        let settings = Services::settings(services.dynamodb_url(), services.kms_url());
        // Setting up can be slow on a slow disk, so a checkout's timeouts are too short.
        let clients = settings.clients(Timeouts::OPERATOR);
        let randomness = Arc::new(OperatingSystemRandomness);
        let store = Store::new(clients.dynamodb, TABLE, randomness.clone());
        demo::provision(&store, &Signer::new(clients.kms, None)).await?;

        let clients = settings.clients(Timeouts::CHECKOUT);
        let store = Store::new(clients.dynamodb, TABLE, randomness.clone());
        let signer = Signer::new(clients.kms, Some(demo::global_signing_key()?));
        let queue = services.queue(Timeouts::CHECKOUT);
        let desk = |_| {
            let desk = Desk::new(store.clone(), signer.clone(), Arc::new(SystemClock), randomness.clone());
            desk.with_queue(queue.clone()).with_local_webhooks()
        };
        let gateway = Gateway::start_with_pages(port, desk, pages)
            .await
            .map_err(|source| StackError::Port { port, source })?;
        let sweeper = Arc::new(desk(None));
        let sweeping = tokio::spawn(async move {
            let mut schedule = tokio::time::interval(SWEEP_EVERY);
            loop {
                schedule.tick().await;
                if let Err(failure) = sweep_orders::handle(Arc::clone(&sweeper)).await {
                    tracing::warn!(%failure, "the sweep failed");
                }
            }
        });
        let client = CallbackClient::new(Arc::new(SystemResolver), CallbackLimits::default())?;
        let worker = Worker::new(Arc::new(desk(None)), client);
        let processing = tokio::spawn(worker::serve(services.queue(Timeouts::OPERATOR), worker));
        folder.announce(&Endpoints {
            base_url: gateway.base_url(),
            dynamodb: services.dynamodb_url(),
            kms: services.kms_url(),
        })?;
        Ok(Self { gateway, sweeping, processing, services, folder })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.gateway.base_url()
    }

    /// The URL of the queue in the embedded SQS.
    #[must_use]
    pub fn queue_url(&self) -> String {
        self.services.sqs().queue_url()
    }

    /// The URL of the dead letter queue.
    #[must_use]
    pub fn dead_letter_queue_url(&self) -> String {
        self.services.sqs().dead_letter_queue_url()
    }

    /// Stops all services. Running requests finish first.
    pub async fn stop(self) {
        self.gateway.stop().await;
        self.sweeping.abort();
        self.processing.abort();
        self.folder.withdraw();
        self.services.stop().await;
    }
}
