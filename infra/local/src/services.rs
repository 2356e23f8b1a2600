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

/// The table's name in the embedded DynamoDB.
pub const TABLE: &str = "keypool";

/// The settings of the queue, as the deployment template has them.
const QUEUE: QueueSettings = QueueSettings {
    visibility_timeout: Duration::from_mins(6),
    retention: Duration::from_hours(14 * 24),
    max_receive_count: 50,
};

/// Why an embedded service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A port cannot be had, or a file not be written.
    #[error("an embedded service does not start")]
    Io(#[from] io::Error),
    /// A file or folder cannot be read or made.
    #[error("{} cannot be used", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database file is not one, or of a later version.
    #[error("{} is not a database that the embedded DynamoDB can open", .0.display())]
    Database(PathBuf),
    /// There is a database, but no keys: whatever it has signed for could not be checked any more.
    #[error("the private keys in {} are gone; bring them back, or begin anew in another data folder", .0.display())]
    KeysGone(PathBuf),
    /// An alias stands for a key that is not there.
    #[error("the file {} names a private key that is not there", .0.display())]
    DanglingAlias(PathBuf),
    /// The path of the data folder is not UTF-8.
    #[error("the path {} is not UTF-8", .0.display())]
    Path(PathBuf),
    /// A key file holds no key.
    #[error("the file {} holds no private key (PKCS #8)", .0.display())]
    SpoiltKey(PathBuf),
    /// A file with the tags of a key holds none.
    #[error("the file {} holds no tags (JSON)", .0.display())]
    SpoiltTags(PathBuf),
    /// No key could be made.
    #[error("the embedded KMS could not make a key")]
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
    /// Starts all, on ports of their own; without a folder nothing is kept.
    pub async fn start(folder: Option<&DataFolder>) -> Result<Self, ServiceError> {
        Self::start_with_clock(folder, Arc::new(SystemClock)).await
    }

    /// Starts all, with a clock that SQS follows.
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
        // In this order: a start that is interrupted must not leave a database without keys.
        let kms = Kms::start(keys.as_deref()).await?;
        let dynamodb = DynamoDb::start(database.as_deref()).await?;
        let sqs = Sqs::start(clock, QUEUE).await?;
        Ok(Self { dynamodb, kms, sqs })
    }

    /// Where the embedded DynamoDB listens.
    #[must_use]
    pub fn dynamodb_url(&self) -> String {
        self.dynamodb.url()
    }

    /// Where the embedded KMS listens.
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

    /// Settings for services of this kind at these addresses. The credentials open nothing.
    #[must_use]
    pub fn settings(dynamodb_url: String, kms_url: String) -> AwsSettings {
        AwsSettings {
            region: "eu-central-1".to_owned(),
            credentials: SharedCredentialsProvider::new(Credentials::from_keys("local", "local", None)),
            dynamodb_endpoint: Some(dynamodb_url),
            kms_endpoint: Some(kms_url),
        }
    }

    /// Stops all.
    pub async fn stop(self) {
        tokio::join!(self.dynamodb.stop(), self.kms.stop(), self.sqs.stop());
    }
}
