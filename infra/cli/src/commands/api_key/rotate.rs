use anyhow::{Context as _, bail};
use clap::Args;
use keypool_domain::{
    Activity, ApiKey, ApiKeyRecord, Clock as _, Name, OperatingSystemRandomness, SystemClock, Timestamp,
};

use super::{Which, reveal};
use crate::commands::catalogue::{Resource as _, WARM, expect_updated};
use crate::exit::Exit;
use crate::moment::{Span, end_of_day, to_the_second};
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    which: Which,
    /// The time for which the old key stays valid (90s, 30m, 24h, 7d); 0 ends it at once
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    old_good_for: Span,
    /// The last day on which the new key is valid, in UTC [default: that of the old key]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = end_of_day, conflicts_with = "no_expiry")]
    expires: Option<Timestamp>,
    /// Let the new key never expire
    #[arg(long)]
    no_expiry: bool,
}

impl Rotate {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let before = self.which.find(target).await?;
        let now = SystemClock.now();
        let secret = ApiKey::random(&OperatingSystemRandomness);
        let successor = self.successor(&before, &secret, now)?;
        let after = self.expiring(&before, now)?;
        let mut changed = after.json();
        changed["successor"] = successor.json();
        let subject = before.audit_subject();
        let entry = target.entry("api-key.rotate", subject, Some(before.json()), Some(changed)).await?;
        let outcome = target.store.rotate_api_key(&before, &after, &successor, &entry).await?;
        expect_updated(outcome, &before.subject())?;
        let mut value = successor.json();
        value["replaces"] = after.json();
        reveal(&secret, value, output)?;
        let end = after.valid_until.map(to_the_second).unwrap_or_default();
        output.note(&format!("The old key is now named {} and is valid until {end}.", after.name.as_str()));
        output.note(WARM);
        Ok(Exit::Done)
    }

    /// The new key. It has the rights of the old one and sees its orders. It is active even if the old one
    /// was disabled, for example because it leaked.
    fn successor(
        &self,
        before: &ApiKeyRecord,
        secret: &ApiKey,
        now: Timestamp,
    ) -> anyhow::Result<ApiKeyRecord> {
        let valid_until = if self.no_expiry { None } else { self.expires.or(before.valid_until) };
        if let Some(end) = valid_until.filter(|end| *end <= now) {
            bail!("the new key would have expired at {}: give --expires or --no-expiry", to_the_second(end));
        }
        let mut settings = before.settings.clone();
        settings.sees_orders_of.insert(before.hash);
        let (hash, activity) = (secret.hash(), Activity::Active);
        Ok(ApiKeyRecord { hash, activity, valid_until, settings, ..before.clone() })
    }

    /// The old key after the rotation. It gets another name, and expires soon, but never later than before.
    fn expiring(&self, before: &ApiKeyRecord, now: Timestamp) -> anyhow::Result<ApiKeyRecord> {
        let end = self.old_good_for.after(now).context("--old-good-for goes beyond the year 9999")?;
        let end = before.valid_until.map_or(end, |sooner| sooner.min(end));
        Ok(ApiKeyRecord { name: former(&before.name, now)?, valid_until: Some(end), ..before.clone() })
    }
}

/// The text between the former name of a rotated key and the date of the rotation.
const ROTATED: &str = " (rotated ";

/// The former name of a rotated API key, which its successor has now.
pub(in crate::commands) fn name_before(name: &Name) -> Option<&str> {
    name.as_str().strip_suffix(')')?.rsplit_once(ROTATED).map(|(before, _)| before)
}

/// The new name of a rotated key.
fn former(name: &Name, now: Timestamp) -> anyhow::Result<Name> {
    /// The most characters of a name that are kept before the addition.
    const CHARACTERS_MAX: usize = 255 - " (rotated 2026-11-21)".len();
    let date: String = now.to_microseconds_text().chars().take("2026-11-21".len()).collect();
    let kept: String = name.as_str().chars().take(CHARACTERS_MAX).collect();
    Ok(format!("{kept}{ROTATED}{date})").parse()?)
}
