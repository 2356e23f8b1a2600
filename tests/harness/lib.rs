//! The base of the black-box tests: a new [`Shop`] on the embedded stack for each test. A [`Proxy`] in front
//! of each embedded service counts calls and injects faults. The clock stands still, and the log is searched
//! for secrets.
//!
//! Nothing here imitates DynamoDB, KMS or the functions. Requests go over HTTP, through the parser of
//! `lambda_http` and the real SDK clients, to the embedded services.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a harness fails its test")]

mod clock;
mod environment;
mod faults;
pub mod lambda;
mod logs;
mod openssl;
mod privileges;
mod promise;
mod proxy;
mod quota;
mod randomness;
mod receiver;
mod response;
mod sample;
mod shape;
mod shop;
#[path = "../storms/mod.rs"]
pub mod storms;
mod tls;

pub use clock::ManualClock;
pub use environment::{Environment, Lost, Sweep};
pub use faults::{CallSite, FaultPlan, KilledEnvironments, ObservedCall};
pub use logs::{lines_with, log_quietly};
pub use openssl::openssl_verifies;
pub use privileges::{
    PROCESS_ORDERS, Privilege, Privileges, SWEEP_ORDERS, function_resource, functions, template,
};
pub use promise::Promise;
pub use proxy::{AwsCall, Fault, Proxy};
pub use quota::CpuQuota;
pub use randomness::{ScriptedDraws, SeededRandomness};
pub use receiver::{Callback, Receiver, Reception};
pub use response::ShopResponse;
pub use sample::{sample, sample_envelope, sample_text};
pub use shape::Shape;
pub use shop::{API_KEY, FormerState, Shop, ShopBuilder};
pub use tls::{Certificate, TlsFront};
