//! The embedded stack: everything that keypool needs, in one process on loopback. It needs no account,
//! container or other installation.
//!
//! - [`Services`]: DynamoDB (`dynamodb`, the crate dynoxide on SQLite), KMS (`kms`, with real RSA keys) and SQS
//!   (`sqs`, in memory), called over HTTP by the same SDK clients that call AWS;
//! - [`Gateway`]: turns HTTP requests into API Gateway events, passes them to the functions through
//!   `lambda_http`'s own parsing, and turns the responses back into HTTP;
//! - [`demo`]: the products, generators and the API key that the first run sets up;
//! - [`Stack`]: all parts together, as `keypool local` runs them, in a [`DataFolder`] or in memory;
//! - [`CallbackReceiver`]: a shop on this machine, to try queued orders.

mod data_folder;
pub mod demo;
mod dynamodb;
mod gateway;
mod kms;
mod receiver;
mod server;
mod services;
mod sqs;
mod stack;
mod worker;

pub use data_folder::{DataFolder, DataFolderError, Endpoints};
pub use gateway::Gateway;
pub use receiver::{CallbackReceiver, ReceivedCallback};
pub use services::{ServiceError, Services, TABLE};
pub use sqs::{DeliveryFaults, QueueSettings, Sqs};
pub use stack::{Stack, StackError, Storage};
pub use worker::serve_batch;
