//! What the functions have in common: from an API Gateway event to a request, from a reply to an HTTP response,
//! and all that a function needs to run.
//!
//! A function's `handle` makes a [`Invocation`] of the event and lets it answer with what the function does:
//!
//! 1. parse: [`Invocation::parameters`], from a body in any of three formats (`body`);
//! 2. authorise: [`Invocation::authorise`], which fetches the API key and what the request is about in one read,
//!    or takes them from the [`Desk`]'s caches (`cache`);
//! 3. once: [`Invocation::begin`] or [`Invocation::recall`], for a request that may be a repetition;
//! 4. act: the function's own part, through [`Desk::store`];
//! 5. respond: [`Invocation::sign_reply`] signs a reply; [`Invocation::answer`] turns the outcome into a response, be it an
//!    envelope or a problem (`problem`).
//!
//! [`run`], or [`run_on_schedule`], is the whole of a function's `main`: logs, metrics ([`measure`]), clients, the
//! Lambda runtime.

mod body;
mod cache;
mod credentials;
mod deadline;
mod desk;
mod error;
mod invocation;
pub mod measure;
mod once;
mod problem;
mod refusals;
mod respond;
mod runtime;
mod telemetry;
mod windows;

pub use body::{BODY_BYTES_MAX, UnreadableBody};
pub use desk::{CACHED_FOR, Desk};
pub use error::FunctionError;
pub use invocation::Invocation;
pub use once::NextAction;
pub use problem::ProblemDetails;
pub use respond::SignedReply;
pub use runtime::{ENV_METRICS_NAMESPACE, ENV_SIGNING_KEY, ENV_TABLE, StartError, run, run_on_schedule};
pub use telemetry::{ENV_LOG_LEVEL, UnknownLogLevel, init_logs, log_level};
pub use windows::Window;
