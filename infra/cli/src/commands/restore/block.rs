use anyhow::bail;
use keypool_domain::{Clock as _, LicenseKey, LicenseKeyRecord, Status, SystemClock, Timestamp};
use keypool_store::UpdateOutcome;
use serde_json::Value;

use crate::commands::change::in_parallel;
use crate::output::Output;
use crate::target::Target;

/// The most attempts at a key that others change in between.
const ATTEMPTS_MAX: usize = 5;

/// A sold key that the restored table has as unsold.
#[derive(Debug)]
pub(super) struct UnsoldKey {
    pub(super) license_key: LicenseKey,
    pub(super) sold_at: Timestamp,
}

/// The outcome for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Blocked,
    /// Not for sale: an owner has it, or it is already blocked.
    NotForSale(Status),
    /// Held by an order that has not ended.
    Held,
    /// Deleted: it was made for an order that was undone.
    Gone,
}

/// The outcomes for all keys.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) blocked: u64,
    pub(super) assigned: u64,
    pub(super) already_blocked: u64,
    pub(super) held: u64,
    pub(super) gone: u64,
    pub(super) failed: u64,
    pub(super) is_interrupted: bool,
    /// The first error.
    pub(super) failure: Option<anyhow::Error>,
}

/// Blocks those of the keys that could be sold or return to the stock, and counts all of them. After Ctrl-C,
/// only changes under way finish.
pub(super) async fn block(
    target: &Target,
    output: &Output,
    restored_to: Timestamp,
    keys: Vec<UnsoldKey>,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    let block = async |key: &UnsoldKey| block_one(target, key, restored_to).await;
    let interrupted = in_parallel("keys", keys, output, block, |key, outcome| {
        match outcome {
            Some(Ok(outcome)) => counts.count(outcome),
            Some(Err(error)) => {
                let name = key.license_key.as_str();
                output.note(&format!("{name}  the outcome is unknown: {error:#}"));
                counts.failed += 1;
                counts.failure = counts.failure.take().or(Some(error));
            }
            None => counts.failed += 1,
        }
        Ok(())
    })
    .await;
    counts.is_interrupted = interrupted?;
    Ok(())
}

impl Counts {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Blocked => self.blocked += 1,
            Outcome::NotForSale(Status::Blocked) => self.already_blocked += 1,
            Outcome::NotForSale(_) => self.assigned += 1,
            Outcome::Held => self.held += 1,
            Outcome::Gone => self.gone += 1,
        }
    }
}

/// Blocks a key, on condition that nobody else changes it in between. The key gets the time of its sale, so
/// that `keys unblock` returns it to the buyer and not to the stock.
async fn block_one(target: &Target, key: &UnsoldKey, restored_to: Timestamp) -> anyhow::Result<Outcome> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(seen) = target.store.license_key(&key.license_key).await? else {
            return Ok(Outcome::Gone);
        };
        if matches!(seen.status, Status::Assigned | Status::Blocked) {
            return Ok(Outcome::NotForSale(seen.status));
        }
        let Ok(blocked) = seen.blocked(SystemClock.now()) else { return Ok(Outcome::Held) };
        let next = LicenseKeyRecord { assigned_at: Some(key.sold_at), ..blocked };
        let mut after = next.to_json();
        after["reason"] = Value::String(format!("sold after the restore point {restored_to}"));
        let before = Some(seen.to_json());
        let entry = target.entry("restore.block", key.license_key.as_str(), before, Some(after)).await?;
        if target.store.change_key(&seen, &next, &entry).await? == UpdateOutcome::Updated {
            return Ok(Outcome::Blocked);
        }
    }
    bail!("other writers keep changing it")
}
