//! A small KMS with real RSA keys: as much of the service as keypool uses, with its limits and its error names
//! (AWS Key Management Service API Reference).

mod api;
mod key_ring;

use std::path::Path;
use std::sync::Arc;

use axum::Router;

pub(crate) use key_ring::KeyRing;

use crate::server::{Server, bind};
use crate::services::ServiceError;

/// KMS, embedded: keys in a folder or in memory.
#[derive(Debug)]
pub(crate) struct Kms {
    server: Server,
}

impl Kms {
    pub(crate) async fn start(folder: Option<&Path>) -> Result<Self, ServiceError> {
        let key_ring = Arc::new(KeyRing::open(folder)?);
        let router = Router::new().fallback(api::handle).with_state(key_ring);
        Ok(Self { server: Server::start_router(bind(0).await?, router)? })
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}
