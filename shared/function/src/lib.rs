//! The common part of the functions: from an API Gateway event to a request, from a reply to an HTTP
//! response, and all that a function needs to run.
//!
//! A function implements [`EndpointHandler`]. Its `handle` calls [`answer`], which takes these steps, in this
//! order:
//!
//! 1. parse: [`Invocation::parameters`], from a body in any of three formats (`body`);
//! 2. authorize: one read fetches the API key and the records of the request, unless the [`Desk`]'s caches
//!    (`cache`) have them (`invocation`);
//! 3. validate: parameters that are not valid are refused only now;
//! 4. once: [`EndpointHandler::once`] looks up a request that may be a repetition (`endpoint`);
//! 5. limit: a request beyond a limit of its API key is refused (`limit`), at the latest before it hands out
//!    a key;
//! 6. act: the function's own part, [`EndpointHandler::act`], through [`Desk::store`];
//! 7. respond: the outcome becomes a response, be it an envelope or a problem (`respond`, `problem`).
//!
//! [`run`], [`run_with_queue`], [`run_on_queue`] or [`run_on_schedule`] is the whole `main` of a function:
//! logs, metrics ([`measure`]), clients, the Lambda runtime.

mod body;
mod cache;
mod credentials;
mod desk;
mod endpoint;
mod error;
mod invocation;
mod limit;
pub mod measure;
mod problem;
mod refusals;
mod respond;
mod runtime;
mod telemetry;

pub use body::{BODY_BYTES_MAX, UnreadableBody};
pub use cache::Window;
pub use desk::{CACHED_FOR, Desk};
pub use endpoint::{Checked, EndpointHandler, answer};
pub use error::FunctionError;
pub use invocation::Invocation;
pub use problem::ProblemDetails;
pub use respond::SignedReply;
pub use runtime::{
    ENV_METRICS_NAMESPACE, ENV_QUEUE, ENV_SIGNING_KEY, ENV_TABLE, StartError, run, run_on_queue,
    run_on_schedule, run_with_queue,
};
pub use telemetry::{ENV_LOG_LEVEL, UnknownLogLevel, init_logs, log_level};
