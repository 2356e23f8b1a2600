//! Commands for buyers who request their data, or its erasure.

mod erase;
mod export;

use clap::{Args, Subcommand};
use keypool_domain::{OwnerField, Timestamp};
use keypool_store::OwnerRecord;
use serde_json::{Value, json};

use crate::commands::audit;
use crate::exit::Exit;
use crate::output::{Output, printable};
use crate::target::Target;
use crate::view;

#[derive(Debug, Subcommand)]
pub(crate) enum Owner {
    Export(export::Export),
    Erase(erase::Erase),
}

impl Owner {
    pub(crate) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        match self {
            Self::Export(export) => export.run(target, output).await,
            Self::Erase(erase) => erase.run(target, output).await,
        }
    }
}

#[derive(Debug, Args)]
struct Whose {
    /// The owner's email address, as the shop sent it (not case-sensitive)
    #[arg(value_name = "EMAIL")]
    email: OwnerField,
}

impl Whose {
    /// Finds the records that contain the owner, license keys first.
    async fn records(&self, target: &Target, output: &Output) -> anyhow::Result<Vec<OwnerRecord>> {
        let total = Some(target.store.approximate_count().await?);
        let progress = output.progress("reading", total);
        let mut records =
            target.store.records_of_owner(&self.email, |read| progress.add(read as u64)).await?;
        drop(progress);
        records.sort_by_cached_key(|record| (kind(record), name(record)));
        if records.is_empty() {
            output.note("no record has this email address; owners without an address cannot be found");
        }
        Ok(records)
    }
}

/// The kinds of records, in the order of the output and of the erasure. Orders come before requests, because
/// a request is in use until its dead order is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    LicenseKey,
    Order,
    Request,
    AuditEntry,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::LicenseKey => "license key",
            Self::Order => "order",
            Self::Request => "request",
            Self::AuditEntry => "audit entry",
        }
    }
}

const fn kind(record: &OwnerRecord) -> Kind {
    match record {
        OwnerRecord::LicenseKey(_) => Kind::LicenseKey,
        OwnerRecord::QueuedOrder(_) => Kind::Order,
        OwnerRecord::Request(_) => Kind::Request,
        OwnerRecord::AuditEntry(_) => Kind::AuditEntry,
    }
}

/// The name of a record, unique within its kind.
fn name(record: &OwnerRecord) -> String {
    match record {
        OwnerRecord::LicenseKey(key) => key.license_key.as_str().to_owned(),
        OwnerRecord::QueuedOrder(order) => order.id.to_string(),
        OwnerRecord::Request(request) => request.id().to_owned(),
        OwnerRecord::AuditEntry(entry) => entry.id.to_string(),
    }
}

/// A short description of a record.
fn summary(record: &OwnerRecord) -> String {
    match record {
        OwnerRecord::LicenseKey(key) => {
            format!("product {}, {}, {}", key.product_id, key.status, view::owner(&key.owner))
        }
        OwnerRecord::QueuedOrder(order) => {
            format!("product {}, {}", order.request.product_id, order.state)
        }
        OwnerRecord::Request(request) => {
            let kept =
                if request.response.is_some() { "its response is remembered" } else { "a large order" };
            match expiry(request.expires_at) {
                Some(end) => format!("{kept}, until {end}"),
                None => kept.to_owned(),
            }
        }
        OwnerRecord::AuditEntry(entry) => format!("{} {}", entry.action, printable(&entry.subject)),
    }
}

fn expiry(unix_seconds: i64) -> Option<Timestamp> {
    unix_seconds.checked_mul(1_000_000).and_then(Timestamp::from_unix_microseconds)
}

/// The full content of a record.
fn content(record: &OwnerRecord) -> Value {
    match record {
        OwnerRecord::LicenseKey(key) => key.to_json(),
        OwnerRecord::QueuedOrder(order) => view::order(order),
        OwnerRecord::Request(request) => json!({
            "expires_at": expiry(request.expires_at).map(|end| end.to_string()),
            "response": request.response.as_ref().map(|response| {
                serde_json::from_str::<Value>(response.payload_json()).unwrap_or_default()
            }),
        }),
        OwnerRecord::AuditEntry(entry) => audit::value_of(entry),
    }
}
