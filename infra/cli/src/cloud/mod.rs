//! Facts from AWS about a deployed stack beyond its table and keys: resources, log lines, metrics, alarms and
//! quotas.

mod logs;
mod quotas;
mod resources;
mod watch;

pub(crate) use self::logs::{LogGroup, Logs};
pub(crate) use self::quotas::{CONCURRENT_EXECUTIONS, RSA_REQUESTS, quota};
pub(crate) use self::resources::Resources;
pub(crate) use self::watch::{Readings, ringing, sum_and_peak};
