use anyhow::bail;
use futures_util::StreamExt as _;
use keypool_domain::{Clock as _, LicenseKey, LicenseKeyRecord, Status, SystemClock, Timestamp};
use keypool_store::UpdateOutcome;
use serde_json::Value;

use crate::output::Output;
use crate::target::Target;

/// The number of keys that are changed in parallel.
const PARALLEL_MAX: usize = 16;
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

/// Blocks those of the keys that could be sold or return to the stock. After Ctrl-C, only changes under way
/// finish.
pub(super) async fn block(
    target: &Target,
    output: Output,
    restored_to: Timestamp,
    keys: Vec<UnsoldKey>,
) -> Counts {
    let progress = output.progress("keys", Some(keys.len() as u64));
    let gave_up = &std::cell::Cell::new(false);
    let mut outcomes = futures_util::stream::iter(keys)
        .map(|key| async move {
            if gave_up.get() {
                return None;
            }
            let outcome = block_one(target, &key, restored_to).await;
            // The next changes would fail as well.
            gave_up.set(gave_up.get() || outcome.is_err());
            Some((key, outcome))
        })
        .buffer_unordered(PARALLEL_MAX);
    let mut result = Counts::default();
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        let next = tokio::select! {
            Ok(()) = &mut interrupt, if !result.is_interrupted => {
                result.is_interrupted = true;
                gave_up.set(true);
                continue;
            }
            next = outcomes.next() => next,
        };
        let Some(tried) = next else { break };
        progress.add(1);
        match tried {
            Some((_, Ok(outcome))) => result.count(outcome),
            Some((key, Err(error))) => {
                let name = key.license_key.as_str();
                output.note(&format!("{name}  the outcome is unknown: {error:#}"));
                result.failed += 1;
                result.failure = result.failure.take().or(Some(error));
            }
            None => result.failed += 1,
        }
    }
    result
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
