use std::cell::Cell;

use clap::Args;
use futures_util::StreamExt as _;
use keypool_domain::{
    Assignment, Clock as _, KeyOrder, LicenseKey, LicenseKeyRecord, NotAllowedInStatus,
    OperatingSystemRandomness, OrderReference, Owner, OwnerField, SystemClock,
};
use keypool_store::UpdateOutcome;
use serde_json::json;

use super::select::Named;
use crate::commands::change::Reason;
use crate::exit::Exit;
use crate::output::{BAD, GOOD, Output};
use crate::target::Target;

/// The number of keys that are changed in parallel.
const PARALLEL_MAX: usize = 16;
/// The most attempts at a key that others change in between.
const ATTEMPTS_MAX: usize = 5;

/// Block license keys: they cannot be sold, but keep their owner.
///
/// Keys that a large order holds at this moment are refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool keys block OFF-7K2M-9QXA --reason \"charged back\"\n  \
    keypool keys block --file leaked.txt --reason leaked\n\n\
    Exit code 3: a key was not changed.\n\
    Costs 1 read unit and 4 write units a key, and 2 for the index if the key leaves the stock.")]
pub(crate) struct Block {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    reason: Reason,
}

/// Unblock license keys: they return to their owner or, without one, to the stock.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keypool keys unblock OFF-7K2M-9QXA --reason \"paid after all\"\n\n\
    Exit code 3: a key was not changed.\n\
    Costs 1 read unit and 4 write units a key, and 2 for the index if the key leaves or enters the stock.")]
pub(crate) struct Unblock {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    reason: Reason,
}

/// Return reserved license keys to the stock; with --take-from-owner, assigned keys too.
///
/// The former owner still knows the key: release it only if nobody can use it any more, or if nobody ever
/// did.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool keys release SET-ASIDE-0001\n  \
    keypool keys release OFF-7K2M-9QXA --take-from-owner --reason \"refund, never activated\"\n\n\
    Exit code 3: a key was not changed.\n\
    Costs 1 read unit and 4 write units a key, and 2 for the index if the key leaves or enters the stock.")]
pub(crate) struct Release {
    #[command(flatten)]
    named: Named,
    /// Also release keys that have an owner
    #[arg(long)]
    take_from_owner: bool,
    #[command(flatten)]
    reason: Reason,
}

/// Assign named license keys, available or reserved, to an owner.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    keypool keys assign OFF-7K2M-9QXA --owner-name \"Ada Lovelace\" --owner-email ada@example.com\n\n\
    Exit code 3: a key was not changed.\n\
    Costs 1 read unit and 4 write units a key, and 2 for the index if the key leaves or enters the stock.")]
pub(crate) struct Assign {
    #[command(flatten)]
    named: Named,
    /// The owner's name
    #[arg(long, value_name = "NAME", required_unless_present = "owner_email")]
    owner_name: Option<OwnerField>,
    /// The owner's email address
    #[arg(long, value_name = "EMAIL")]
    owner_email: Option<OwnerField>,
    /// The shop's order reference
    #[arg(long, value_name = "REFERENCE")]
    order: Option<OrderReference>,
    #[command(flatten)]
    reason: Reason,
}

/// The new record of a key, or the reason for refusing the change.
type Next = Result<LicenseKeyRecord, String>;

impl Block {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let next = |key: &LicenseKeyRecord| key.blocked(SystemClock.now()).map_err(|unfit| unfit.to_string());
        change(target, output, "keys.block", &self.named, &self.reason, next).await
    }
}

impl Unblock {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let next = |key: &LicenseKeyRecord| {
            let unblocked = key.unblocked(SystemClock.now(), &OperatingSystemRandomness);
            unblocked.map_err(|unfit| unfit.to_string())
        };
        change(target, output, "keys.unblock", &self.named, &self.reason, next).await
    }
}

impl Release {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let next = |key: &LicenseKeyRecord| {
            if key.has_owner() && !self.take_from_owner {
                return Err("it has an owner; --take-from-owner takes it back".to_owned());
            }
            let released = key.released(SystemClock.now(), &OperatingSystemRandomness);
            released.map_err(|unfit| unfit.to_string())
        };
        change(target, output, "keys.release", &self.named, &self.reason, next).await
    }
}

impl Assign {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let next = |key: &LicenseKeyRecord| {
            let owner = Owner { name: self.owner_name.clone(), email: self.owner_email.clone() };
            let assignment = Assignment::new(owner, SystemClock.now(), &OperatingSystemRandomness);
            let order = self.order.clone().map(|reference| KeyOrder { reference, sold_by: None });
            key.given(assignment.under(order)).map_err(|unfit: NotAllowedInStatus| unfit.to_string())
        };
        change(target, output, "keys.assign", &self.named, &self.reason, next).await
    }
}

/// Changes the keys, and prints the outcome of each in the given order.
async fn change(
    target: &Target,
    output: Output,
    action: &'static str,
    named: &Named,
    reason: &Reason,
    next: impl Fn(&LicenseKeyRecord) -> Next,
) -> anyhow::Result<Exit> {
    let keys = named.read()?;
    // Asked once before the parallel changes, which all need it.
    target.principal().await?;
    let (next, gave_up) = (&next, &Cell::new(false));
    let count = keys.len();
    let mut outcomes = futures_util::stream::iter(keys)
        .map(|license_key| async move {
            let outcome = if gave_up.get() {
                Ok(Err("not tried".to_owned()))
            } else {
                change_one(target, action, &license_key, reason, next).await
            };
            gave_up.set(gave_up.get() || outcome.is_err());
            (license_key, outcome)
        })
        .buffered(PARALLEL_MAX);
    let progress = output.progress("keys", Some(count as u64));
    let (mut refused, mut failure) = (0, None);
    let (mut interrupted, interrupt) = (false, tokio::signal::ctrl_c());
    tokio::pin!(interrupt);
    loop {
        let (license_key, outcome) = tokio::select! {
            Ok(()) = &mut interrupt, if !interrupted => {
                // Changes under way finish and are reported.
                interrupted = true;
                gave_up.set(true);
                continue;
            }
            next = outcomes.next() => match next {
                Some(next) => next,
                None => break,
            },
        };
        progress.add(1);
        let name = license_key.as_str();
        let outcome = outcome.unwrap_or_else(|error| {
            let why = format!("the outcome is unknown: {error:#}");
            failure = failure.take().or(Some(error));
            Err(why)
        });
        match outcome {
            Ok((before, after)) => {
                let text = format!("{GOOD}{name}{GOOD:#}  {} → {}", before.status, after.status);
                let value = json!({
                    "license_key": name,
                    "changed": true,
                    "before": before.to_json(),
                    "after": after.to_json(),
                });
                output.result(&text, &value)?;
            }
            Err(why) => {
                refused += 1;
                let value = json!({"license_key": name, "changed": false, "reason": why});
                output.result(&format!("{BAD}{name}{BAD:#}  not changed: {why}"), &value)?;
            }
        }
    }
    drop(progress);
    if refused == 0 {
        return Ok(Exit::Done);
    }
    output.note(&format!("{} of {count} changed, {refused} not", count - refused));
    match failure {
        _ if interrupted => Ok(Exit::Interrupted),
        Some(error) if refused == count => Err(error),
        _ => Ok(Exit::Partly),
    }
}

/// Changes one key, on condition that nobody else changes it in between.
async fn change_one(
    target: &Target,
    action: &str,
    license_key: &LicenseKey,
    reason: &Reason,
    next: impl Fn(&LicenseKeyRecord) -> Next,
) -> anyhow::Result<Result<(LicenseKeyRecord, LicenseKeyRecord), String>> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(seen) = target.store.license_key(license_key).await? else {
            return Ok(Err("there is no such license key".to_owned()));
        };
        let changed = match next(&seen) {
            Ok(changed) => changed,
            Err(why) => return Ok(Err(why)),
        };
        let mut after = changed.to_json();
        reason.note(&mut after);
        let before = Some(seen.to_json());
        let entry = target.entry(action, license_key.as_str(), before, Some(after)).await?;
        if target.store.change_key(&seen, &changed, &entry).await? == UpdateOutcome::Updated {
            return Ok(Ok((seen, changed)));
        }
    }
    Ok(Err("other writers keep changing it; try again".to_owned()))
}
