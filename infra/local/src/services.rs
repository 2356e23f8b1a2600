use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use keypool_aws::{AwsSettings, Timeouts};
use keypool_domain::{Clock, SystemClock};
use keypool_queue::Queue;

use crate::dynamodb::DynamoDb;
use crate::kms::Kms;
use crate::{DataFolder, QueueSettings, Sqs};

/// The name of the table in the embedded DynamoDB.
pub const TABLE: &str = "keypool";

/// The settings of the queue, the same as in the deployment template.
const QUEUE: QueueSettings = QueueSettings {
    visibility_timeout: Duration::from_mins(6),
    retention: Duration::from_hours(14 * 24),
    max_receive_count: 50,
};

/// The error for an embedded service that does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A port is not available, or a file cannot be written.
    #[error("cannot start an embedded service")]
    Io(#[from] io::Error),
    /// A file or folder cannot be read or created.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The database file is not a database, or of a later version.
    #[error("{} is not a database that the embedded DynamoDB can open", .0.display())]
    Database(PathBuf),
    /// The table cannot be created, or lacks an index that cannot be added.
    #[error("cannot set up the table in the embedded DynamoDB")]
    Table(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is a database, but no keys. Nobody could check the earlier responses.
    #[error("the private keys in {} are missing: restore them, or give another --data-dir", .0.display())]
    KeysGone(PathBuf),
    /// An alias names a missing key.
    #[error("the file {} names a missing private key", .0.display())]
    DanglingAlias(PathBuf),
    /// The path of the data folder is not UTF-8.
    #[error("the path {} is not UTF-8", .0.display())]
    Path(PathBuf),
    /// A key file contains no key.
    #[error("the file {} contains no private key (PKCS #8)", .0.display())]
    SpoiltKey(PathBuf),
    /// A tag file contains no tags.
    #[error("the file {} contains no tags (JSON)", .0.display())]
    SpoiltTags(PathBuf),
    /// No key could be created.
    #[error("the embedded KMS cannot create a key")]
    KeyGeneration,
}

/// The embedded DynamoDB, KMS and SQS, running.
#[derive(Debug)]
pub struct Services {
    dynamodb: DynamoDb,
    kms: Kms,
    sqs: Sqs,
}

impl Services {
    /// Starts all services on free ports. Without a folder, all data is in memory.
    pub async fn start(folder: Option<&DataFolder>) -> Result<Self, ServiceError> {
        Self::start_with_clock(folder, Arc::new(SystemClock)).await
    }

    /// Starts all services. The times of SQS follow `clock`.
    pub async fn start_with_clock(
        folder: Option<&DataFolder>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ServiceError> {
        let (database, keys) = (folder.map(DataFolder::database), folder.map(DataFolder::keys));
        if let (Some(database), Some(keys)) = (&database, &keys)
            && database.exists()
            && !keys.exists()
        {
            return Err(ServiceError::KeysGone(keys.clone()));
        }
        // KMS starts first, because an interrupted start must not leave a database without keys.
        let kms = Kms::start(keys.as_deref()).await?;
        let dynamodb = DynamoDb::start(database.as_deref()).await?;
        let sqs = Sqs::start(clock, QUEUE).await?;
        Ok(Self { dynamodb, kms, sqs })
    }

    /// The URL of the embedded DynamoDB.
    #[must_use]
    pub fn dynamodb_url(&self) -> String {
        self.dynamodb.url()
    }

    /// The URL of the embedded KMS.
    #[must_use]
    pub fn kms_url(&self) -> String {
        self.kms.url()
    }

    /// The embedded SQS: its addresses, and its faults.
    #[must_use]
    pub fn sqs(&self) -> &Sqs {
        &self.sqs
    }

    /// A client of the embedded queue of orders.
    #[must_use]
    pub fn queue(&self, timeouts: Timeouts) -> Queue {
        let settings = Self::settings(self.dynamodb_url(), self.kms_url());
        Queue::new(settings.queue(timeouts, Some(self.sqs.url())), self.sqs.queue_url())
    }

    /// The settings for embedded services at these URLs. The credentials open nothing.
    #[must_use]
    pub fn settings(dynamodb_url: String, kms_url: String) -> AwsSettings {
        AwsSettings {
            region: "eu-central-1".to_owned(),
            credentials: SharedCredentialsProvider::new(Credentials::from_keys("local", "local", None)),
            dynamodb_endpoint: Some(dynamodb_url),
            kms_endpoint: Some(kms_url),
        }
    }

    /// Stops all services.
    pub async fn stop(self) {
        tokio::join!(self.dynamodb.stop(), self.kms.stop(), self.sqs.stop());
    }
}
