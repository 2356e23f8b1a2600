use anyhow::bail;
use clap::Args;
use keypool_domain::{
    Assignment, Clock as _, KeyOrder, LicenseKey, LicenseKeyRecord, OperatingSystemRandomness,
    OrderReference, Owner, OwnerField, SystemClock,
};
use keypool_store::UpdateOutcome;

use super::select::Named;
use crate::commands::change::{Changed, Kind, Reason, change_all};
use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

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

impl Block {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let next = |key: &LicenseKeyRecord| Ok(key.blocked(SystemClock.now())?);
        change(target, output, "keys.block", &self.named, &self.reason, next).await
    }
}

impl Unblock {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let next = |key: &LicenseKeyRecord| Ok(key.unblocked(SystemClock.now(), &OperatingSystemRandomness)?);
        change(target, output, "keys.unblock", &self.named, &self.reason, next).await
    }
}

impl Release {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let next = |key: &LicenseKeyRecord| {
            if key.has_owner() && !self.take_from_owner {
                bail!("it has an owner; --take-from-owner takes it back");
            }
            Ok(key.released(SystemClock.now(), &OperatingSystemRandomness)?)
        };
        change(target, output, "keys.release", &self.named, &self.reason, next).await
    }
}

impl Assign {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let next = |key: &LicenseKeyRecord| {
            let owner = Owner { name: self.owner_name.clone(), email: self.owner_email.clone() };
            let assignment = Assignment::new(owner, SystemClock.now(), &OperatingSystemRandomness);
            let order = self.order.clone().map(|reference| KeyOrder { reference, sold_by: None });
            Ok(key.given(assignment.under(order))?)
        };
        change(target, output, "keys.assign", &self.named, &self.reason, next).await
    }
}

/// Changes the keys, and prints the outcome of each in the given order. `next` returns the new record of a
/// key, or the reason for refusing the change.
async fn change(
    target: &Target,
    output: &Output,
    action: &'static str,
    named: &Named,
    reason: &Reason,
    next: impl Fn(&LicenseKeyRecord) -> anyhow::Result<LicenseKeyRecord>,
) -> anyhow::Result<Exit> {
    let keys = named.read()?;
    // Asked once before the parallel changes, which all need it.
    target.principal().await?;
    let name = |key: &LicenseKey| key.as_str().to_owned();
    let kind = Kind { noun: "keys", member: "license_key", name, remark: None };
    change_all(kind, keys, output, async |key| change_one(target, action, key, reason, &next).await).await
}

/// Changes one key, on condition that nobody else changes it in between.
async fn change_one(
    target: &Target,
    action: &str,
    license_key: &LicenseKey,
    reason: &Reason,
    next: impl Fn(&LicenseKeyRecord) -> anyhow::Result<LicenseKeyRecord>,
) -> anyhow::Result<Result<Changed, String>> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(seen) = target.store.license_key(license_key).await? else {
            return Ok(Err("there is no such license key".to_owned()));
        };
        let changed = match next(&seen) {
            Ok(changed) => changed,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let (before, after) = (seen.to_json(), changed.to_json());
        let noted = Some(reason.with(after.clone()));
        let entry = target.entry(action, license_key.as_str(), Some(before.clone()), noted).await?;
        if target.store.change_key(&seen, &changed, &entry).await? == UpdateOutcome::Updated {
            let text = format!("{} → {}", seen.status, changed.status);
            return Ok(Ok(Changed { text, records: [before, after] }));
        }
    }
    Ok(Err("other writers keep changing it; try again".to_owned()))
}
