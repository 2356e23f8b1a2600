//! A small KMS with real RSA keys. It has the operations that keypool uses, with the limits and the error
//! names of the service (AWS Key Management Service API Reference).

mod api;
mod key_ring;

use std::path::Path;
use std::sync::Arc;

use axum::Router;

pub(crate) use key_ring::KeyRing;

use crate::server::{Server, bind};
use crate::services::ServiceError;

/// The embedded KMS, with keys in a folder or in memory.
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
