use std::collections::HashSet;

use anyhow::{Context as _, bail};
use clap::Args;
use keypool_domain::{
    Assignment, Clock as _, Generator, LicenseKey, LicenseKeyRecord, NewKey, OperatingSystemRandomness,
    Product, SystemClock,
};
use keypool_store::{Look, UpdateOutcome};
use serde_json::json;

use crate::commands::change::Reason;
use crate::exit::Exit;
use crate::output::{BAD, GOOD, Output};
use crate::target::Target;

/// The number of attempts with keys that others take or change at the same time.
const ATTEMPTS_MAX: usize = 8;

/// Replace a sold license key: block it, and give its owner another one of the same product.
///
/// One write does both, and keeps the order reference. A key is replaced once; its successor can be replaced
/// in turn. keypool does not notify the owner: send the new key yourself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool keys replace OFF-7K2M-9QXA --reason \"does not activate, ticket 88\"\n  \
    keypool keys replace OFF-7K2M-9QXA --generate --json\n\n\
    Exit code 3: the key was not replaced.\n\
    Costs 3 read units and some 11 write units, indexes included.")]
pub(crate) struct Replace {
    /// The license key to replace
    #[arg(value_name = "KEY")]
    key: LicenseKey,
    /// Generate the new key if there is none in stock
    #[arg(long)]
    generate: bool,
    #[command(flatten)]
    reason: Reason,
}

impl Replace {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let name = self.key.as_str();
        match self.replace(target).await? {
            Ok(successor) => {
                let successor = successor.as_str();
                let text = format!("{GOOD}{name}{GOOD:#}  replaced by {successor}");
                let value = json!({"license_key": name, "changed": true, "replaced_by": successor});
                output.result(&text, &value)
            }
            Err(why) => {
                let value = json!({"license_key": name, "changed": false, "reason": why});
                output.result(&format!("{BAD}{name}{BAD:#}  not replaced: {why}"), &value)?;
                Ok(Exit::Partly)
            }
        }
    }

    /// Replaces the key. Returns its successor, or why it was not replaced.
    async fn replace(&self, target: &Target) -> anyhow::Result<Result<LicenseKey, String>> {
        let name = self.key.as_str();
        // Keys that somebody else took. The index may still show them.
        let mut gone = HashSet::new();
        for _ in 0..ATTEMPTS_MAX {
            let Some(seen) = target.store.license_key(&self.key).await? else {
                return Ok(Err("there is no such license key".to_owned()));
            };
            let Some(successor) = self.successor(&seen, &gone, target).await? else {
                let why = "the product has no key in stock; --generate makes one";
                return Ok(Err(why.to_owned()));
            };
            let now = SystemClock.now();
            let Some(next) = seen.replaced_by(&successor.license_key, now) else {
                let why = match seen.replaced_by {
                    Some(_) => "it was replaced before".to_owned(),
                    None => format!("it is {}; only assigned keys can be replaced", seen.status),
                };
                return Ok(Err(why));
            };
            let assignment = Assignment::new(seen.owner.clone(), now, &OperatingSystemRandomness);
            let assignment = assignment.under(seen.order.clone());
            let (before, after) = (seen.to_json(), self.reason.with(next.to_json()));
            let entry = target.entry("keys.replace", name, Some(before), Some(after)).await?;
            let replaced = target.store.replace_key([&seen, &next], &successor, &assignment, &entry).await?;
            if replaced == UpdateOutcome::Updated {
                return Ok(Ok(successor.license_key));
            }
            gone.insert(successor.license_key);
        }
        bail!("other writers changed the key or took its successor {ATTEMPTS_MAX} times; try again")
    }

    /// Draws a key from the stock, or makes one.
    async fn successor(
        &self,
        seen: &LicenseKeyRecord,
        gone: &HashSet<LicenseKey>,
        target: &Target,
    ) -> anyhow::Result<Option<LicenseKeyRecord>> {
        let store = &target.store;
        let drawn = store.draw(seen.product_id, 1, gone, Look::Twice).await?;
        if let Some(key) = drawn.candidates.into_iter().next() {
            return Ok(Some(key));
        }
        if !self.generate {
            return Ok(None);
        }
        let product = store.find::<Product>(seen.product_id).await?;
        let id = product.and_then(|product| product.generator_id).context("the product has no generator")?;
        let generator = store.find::<Generator>(id).await?.filter(Generator::is_active);
        let generator = generator.context("the generator of the product is disabled")?;
        let made = generator.make_distinct(1, &OperatingSystemRandomness)?;
        let (made, ids) = (made.into_iter().next(), store.take_row_ids(1).await?);
        let key = made.zip(ids.into_iter().next()).map(|(made, id)| {
            let new = NewKey::in_stock(&generator, made);
            new.into_record(id, SystemClock.now(), &OperatingSystemRandomness).unstored()
        });
        Ok(key)
    }
}
