use anyhow::{Context as _, bail};
use clap::Args;
use keypool_domain::{
    Activity, ApiKey as Secret, ApiKeyRecord, Clock as _, Name, OperatingSystemRandomness, SystemClock,
    Timestamp,
};
use keypool_store::UpdateOutcome;

use super::{Which, reveal};
use crate::commands::change;
use crate::exit::Exit;
use crate::moment::{Span, end_of_day, to_the_second};
use crate::output::Output;
use crate::target::Target;
use crate::view;

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    which: Which,
    /// How much longer the old key is good (90s, 30m, 24h, 7d); 0 is not at all
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    old_good_for: Span,
    /// The last day the new key is good for, in UTC; without it, as long as the old one was to be
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = end_of_day, conflicts_with = "no_expiry")]
    expires: Option<Timestamp>,
    /// The new key does not expire
    #[arg(long)]
    no_expiry: bool,
}

impl Rotate {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let before = self.which.find(&target.store).await?;
        let now = SystemClock.now();
        let secret = Secret::random(&OperatingSystemRandomness);
        let successor = self.successor(&before, &secret, now)?;
        let after = self.expiring(&before, now)?;
        let mut changed = view::api_key(&after);
        changed["successor"] = view::api_key(&successor);
        let entry = target
            .entry(
                "api-key.rotate",
                before.name.as_str(),
                Some(view::api_key(&before)),
                Some(changed.clone()),
            )
            .await?;
        match target.store.rotate_api_key(&before, &after, &successor, &entry).await? {
            UpdateOutcome::Updated => {}
            UpdateOutcome::Unknown => bail!("there is no API key {} any more", before.name.as_str()),
            UpdateOutcome::ChangedMeanwhile | UpdateOutcome::NotItsGenerator => {
                return Err(change::meanwhile(&format!("API key {}", before.name.as_str())));
            }
        }
        let mut value = view::api_key(&successor);
        value["replaces"] = view::api_key(&after);
        reveal(&secret, value, output)?;
        let end = after.valid_until.map(to_the_second).unwrap_or_default();
        output.note(&format!("The old one is called {} and is good until {end}.", after.name.as_str()));
        change::warm(output);
        Ok(Exit::Done)
    }

    /// The new key: the same rights, and the orders of the old one. It is in use even if the old one was switched off, say because it leaked.
    fn successor(
        &self,
        before: &ApiKeyRecord,
        secret: &Secret,
        now: Timestamp,
    ) -> anyhow::Result<ApiKeyRecord> {
        let valid_until = if self.no_expiry { None } else { self.expires.or(before.valid_until) };
        if let Some(end) = valid_until.filter(|end| *end <= now) {
            bail!(
                "the new key would have expired at {} already: say with --expires or --no-expiry how long it is good",
                to_the_second(end)
            );
        }
        let mut settings = before.settings.clone();
        settings.sees_orders_of.insert(before.hash);
        let (hash, activity) = (secret.hash(), Activity::Active);
        Ok(ApiKeyRecord { hash, activity, valid_until, settings, ..before.clone() })
    }

    /// What becomes of the old key: it leaves its name to the new one, and is good for a while, but no longer than it was.
    fn expiring(&self, before: &ApiKeyRecord, now: Timestamp) -> anyhow::Result<ApiKeyRecord> {
        let end = self.old_good_for.after(now).context("--old-good-for goes beyond the year 9999")?;
        let end = before.valid_until.map_or(end, |sooner| sooner.min(end));
        Ok(ApiKeyRecord { name: former(&before.name, now)?, valid_until: Some(end), ..before.clone() })
    }
}

/// What stands between a key's name and the date at which it left that name to another.
const ROTATED: &str = " (rotated ";

/// The name that an API key of this name left to another.
pub(in crate::commands) fn name_before(name: &Name) -> Option<&str> {
    name.as_str().strip_suffix(')')?.rsplit_once(ROTATED).map(|(before, _)| before)
}

/// What a key is called that left its name to another.
fn former(name: &Name, now: Timestamp) -> anyhow::Result<Name> {
    /// The most characters of a name, without the addition.
    const CHARACTERS_MAX: usize = 255 - " (rotated 2026-11-21)".len();
    let date: String = now.to_microseconds_text().chars().take("2026-11-21".len()).collect();
    let kept: String = name.as_str().chars().take(CHARACTERS_MAX).collect();
    Ok(format!("{kept}{ROTATED}{date})").parse()?)
}
