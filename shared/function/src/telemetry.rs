//! Logs: JSON, one object a line. Every request has a log line, and no line contains a license key, an API
//! key, an owner or a signature.

use std::str::FromStr as _;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// The level of keypool's own logs: `error`, `warn`, `info` (the default), `debug` or `trace`.
pub const ENV_LOG_LEVEL: &str = "LOG_LEVEL";

/// The target of the line about a sale, which is logged at every level: it names the row ids of the assigned
/// keys, and a restore of the table to an earlier time depends on it.
pub(crate) const SALES: &str = "keypool_sales";

/// A level that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{ENV_LOG_LEVEL} must be one of error, warn, info, debug and trace")]
pub struct UnknownLogLevel;

/// Reads the level from the environment.
pub fn log_level() -> Result<Level, UnknownLogLevel> {
    match std::env::var(ENV_LOG_LEVEL) {
        Ok(text) if !text.is_empty() => Level::from_str(&text).map_err(|_| UnknownLogLevel),
        _ => Ok(Level::INFO),
    }
}

/// Starts to log to `writer`, once for a process. Other crates log only warnings and errors at any level,
/// because below that the SDK writes whole requests, license keys included. Those in `errors_only` do not
/// even warn.
pub fn init_logs(
    level: Level,
    errors_only: &[&str],
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> Result<(), TryInitError> {
    let json = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer);
    tracing_subscriber::registry().with(json).with(targets(level, errors_only)).try_init()
}

fn targets(level: Level, errors_only: &[&str]) -> Targets {
    Targets::new()
        .with_default(Level::WARN)
        .with_target("keypool", level)
        .with_target(SALES, level.max(Level::INFO))
        .with_targets(errors_only.iter().map(|target| (*target, Level::ERROR)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sales_are_logged_at_every_level() {
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::TRACE] {
            let targets = targets(level, &[]);
            assert!(targets.would_enable(SALES, &Level::INFO), "{level}");
            assert_eq!(
                targets.would_enable("keypool_function", &Level::INFO),
                level >= Level::INFO,
                "{level}"
            );
        }
    }
}
