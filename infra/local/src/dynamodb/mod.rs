mod front;
mod rules;
mod table;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use axum::Router;
use dynoxide::Database;

use self::front::Front;
use crate::server::{Server, bind};
use crate::services::ServiceError;

/// The embedded DynamoDB: dynoxide on SQLite, in a file or in memory, behind a proxy that refuses what AWS
/// refuses.
#[derive(Debug)]
pub(crate) struct DynamoDb {
    front: Server,
    emulator: Server,
}

impl DynamoDb {
    /// Starts the service with keypool's table.
    pub(crate) async fn start(file: Option<&Path>) -> Result<Self, ServiceError> {
        let database = match file {
            Some(file) => {
                // SQLite gives its further files the permissions of this one.
                let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(file);
                opened.map_err(|source| ServiceError::File { path: file.to_owned(), source })?;
                let text = file.to_str().ok_or_else(|| ServiceError::Path(file.to_owned()))?;
                Database::new(text)
            }
            None => Database::memory(),
        }
        .map_err(|error| {
            tracing::debug!(%error, "cannot open the database");
            ServiceError::Database(file.unwrap_or(Path::new("memory")).to_owned())
        })?;
        table::set_up(&database).map_err(ServiceError::Table)?;
        let emulator = Server::start(bind(0).await?, |listener, stopped| async move {
            let served = dynoxide::server::serve_with_shutdown(listener, database, stopped.wait());
            if let Err(error) = served.await {
                tracing::error!(%error, "the embedded DynamoDB ended");
            }
        })?;
        let front = Router::new().fallback(front::handle).with_state(Front::before(emulator.url()));
        Ok(Self { front: Server::start_router(bind(0).await?, front)?, emulator })
    }

    pub(crate) fn url(&self) -> String {
        self.front.url()
    }

    pub(crate) async fn stop(self) {
        self.front.stop().await;
        self.emulator.stop().await;
    }
}
