use anyhow::bail;
use futures_util::StreamExt as _;
use keypool_domain::{Clock as _, LicenseKey, LicenseKeyRecord, Status, SystemClock, Timestamp};
use keypool_store::UpdateOutcome;
use serde_json::Value;

use crate::output::Output;
use crate::target::Target;

/// The number of keys that are changed at the same time.
const PARALLEL_MAX: usize = 16;
/// The most attempts at a key that others change in between.
const ATTEMPTS_MAX: usize = 5;

/// A key that was sold, though the table does not say so.
#[derive(Debug)]
pub(super) struct UnsoldKey {
    pub(super) license_key: LicenseKey,
    pub(super) sold_at: Timestamp,
}

/// The outcome for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Blocked,
    /// An owner has it, or it is blocked already: it is not for sale.
    NotForSale(Status),
    /// An order that is not yet ended holds it.
    Held,
    /// It is gone: it was made for an order that was undone.
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
    /// What went wrong first.
    pub(super) failure: Option<anyhow::Error>,
}

/// Blocks each of the keys that may be sold or put into stock. Ctrl-C ends it; what is under way is waited for.
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
            // The next ones would fail as well.
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
                output.note(&format!("{name}  whether it was blocked is not known: {error:#}"));
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

/// Blocks a key on the condition that it is as it was read, with the time of its sale: `keys unblock` then makes it the
/// buyer's, and not a part of the stock.
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
    bail!("others change it all the time")
}
