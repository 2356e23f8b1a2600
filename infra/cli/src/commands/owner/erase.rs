use clap::Args;
use keypool_domain::{Clock as _, SystemClock};
use keypool_store::{DeadOrders, EraseOutcome, OwnerRecord};
use serde_json::json;

use super::{Kind, Whose, kind, name, summary};
use crate::commands::change::Reason;
use crate::exit::Exit;
use crate::output::{BAD, GOOD, Output};
use crate::target::Target;

/// Erase an owner's name and address from all records.
///
/// License keys stay assigned to an owner called "erased", and keep their order reference. Stored responses
/// are erased; a repeated request then gets status 409, so nothing is sold twice. Delivered orders are
/// deleted. Audit entries lose the name, but keep the reasons that operators wrote.
///
/// The command skips an order that is not delivered. Run it again after the delivery. It skips a dead order,
/// too, unless you give --dead-orders.
///
/// Backups still contain the owner. Point-in-time recovery reaches back 35 days: erase again after a restore.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool owner erase ada@example.com --dry-run\n  \
    keypool owner erase ada@example.com --reason \"ticket 88\"\n\n\
    Exit code 3: a record was skipped.\n\
    Costs half a read unit for 4 KB of the whole table, and 4 write units for each KB of a record.")]
pub(crate) struct Erase {
    #[command(flatten)]
    whose: Whose,
    /// Also delete the owner's dead orders; their callbacks can then never be redelivered
    #[arg(long)]
    dead_orders: bool,
    /// Show what would be erased, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reason: Reason,
}

impl Erase {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let records = self.whose.records(target, output).await?;
        let mut left = 0;
        for record in &records {
            let why = if self.dry_run {
                record.needed_by_order(self.of_dead_orders()).and_then(reason)
            } else {
                self.erase(target, record).await?
            };
            let (kind, name) = (kind(record).as_str(), name(record));
            let is_erased = !self.dry_run && why.is_none();
            let text = match &why {
                Some(why) => format!("{BAD}{kind} {name}{BAD:#}  not erased: {why}"),
                None if self.dry_run => format!("{kind} {name}  would be erased: {}", summary(record)),
                None => format!("{GOOD}{kind} {name}{GOOD:#}  erased"),
            };
            let value = json!({"record": kind, "name": name, "erased": is_erased, "reason": why});
            output.result(&text, &value)?;
            left += usize::from(why.is_some());
        }
        match left {
            _ if self.dry_run => output.note("Dry run: nothing was changed."),
            0 => {}
            _ => output.note(&format!("{} of {} erased, {left} not", records.len() - left, records.len())),
        }
        Ok(if left == 0 { Exit::Done } else { Exit::Partly })
    }

    /// Erases the owner from a record. Returns the reason if the record was skipped.
    async fn erase(&self, target: &Target, record: &OwnerRecord) -> anyhow::Result<Option<&'static str>> {
        let name = name(record);
        let subject = match kind(record) {
            Kind::LicenseKey => name,
            kind => format!("{} {name}", kind.as_str()),
        };
        let after = self.reason.with(json!({"owner": "erased"}));
        let entry = target.entry("owner.erase", subject, None, Some(after)).await?;
        let (email, now) = (&self.whose.email, SystemClock.now());
        let outcome = target.store.erase_owner(record, email, self.of_dead_orders(), now, &entry).await?;
        Ok(reason(outcome))
    }

    fn of_dead_orders(&self) -> DeadOrders {
        if self.dead_orders { DeadOrders::Delete } else { DeadOrders::Keep }
    }
}

/// The reason why a record was not erased.
fn reason(outcome: EraseOutcome) -> Option<&'static str> {
    match outcome {
        EraseOutcome::Erased => None,
        EraseOutcome::InUse => {
            Some("an undelivered order needs it: see `keypool orders list`, and try again later")
        }
        EraseOutcome::KeptForDeadOrder => {
            Some("keypool has given up the callback: redeliver the order, or give --dead-orders")
        }
        EraseOutcome::ChangedMeanwhile => {
            Some("somebody else changed it at the same moment; run the command again")
        }
    }
}
