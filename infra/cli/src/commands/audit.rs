use clap::Args;
use keypool_domain::{AuditEntry, Clock as _, SystemClock, Timestamp};
use serde_json::{Value, json};

use crate::difference;
use crate::exit::Exit;
use crate::moment::{since, to_the_second};
use crate::output::{Column, Output, Table};
use crate::target::Target;

/// Show who changed what, latest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool audit --since 7d\n  \
    keypool audit --subject \"product 42\" --since 2026-01-01\n  \
    keypool audit --action api-key. --json | jq -r '[.at, .principal, .action, .subject] | @tsv'\n\n\
    Every change and its entry are written in one transaction. Work on many keys has one entry before it and one \
    after it. Entries name API keys by their SHA-256 and never show them.\n\
    Costs half a read unit for 4 KB of entries (some ten), and for each month.")]
pub(crate) struct Audit {
    /// The start of the period: a duration before now (24h, 30d), or a date or time in UTC
    #[arg(long, value_name = "DURATION|DATE", default_value = "30d", value_parser = since)]
    since: Timestamp,
    /// The most entries to show
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only entries whose subject contains this text
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Only actions whose name contains this text, such as product.update or api-key.
    #[arg(long, value_name = "TEXT")]
    action: Option<String>,
}

impl Audit {
    pub(crate) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let limit = usize::try_from(self.limit)?;
        // One entry more than the limit shows that there are more.
        let wanted = |entry: &AuditEntry| self.wants(entry);
        let mut entries = target.store.audit_trail(self.since, SystemClock.now(), limit + 1, wanted).await?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        if output.is_json() {
            entries.iter().try_for_each(|entry| output.value(&value_of(entry)))?;
        } else {
            print(&entries, output)?;
        }
        if entries.is_empty() {
            output.note(&format!("There are no such entries since {}.", to_the_second(self.since)));
        }
        if more {
            output
                .note(&format!("There are more entries: these are the latest {limit}; --limit shows more."));
        }
        Ok(Exit::Done)
    }

    fn wants(&self, entry: &AuditEntry) -> bool {
        let has = |text: &str, part: Option<&String>| part.is_none_or(|part| text.contains(part.as_str()));
        has(&entry.subject, self.subject.as_ref()) && has(&entry.action, self.action.as_ref())
    }
}

fn print(entries: &[AuditEntry], output: &Output) -> anyhow::Result<()> {
    // A row on a terminal has no room for the whole difference.
    let what_changed: fn(&AuditEntry) -> String = if output.is_terminal() {
        |entry| difference::in_short(entry.before.as_ref(), entry.after.as_ref())
    } else {
        |entry| difference::between(entry.before.as_ref(), entry.after.as_ref())
    };
    let columns: [Column<AuditEntry>; 5] = [
        ("TIME", |entry| to_the_second(entry.at)),
        ("WHO", |entry| who(entry.principal.as_str()).to_owned()),
        ("ACTION", |entry| entry.action.clone()),
        ("SUBJECT", |entry| entry.subject.clone()),
        ("WHAT CHANGED", what_changed),
    ];
    output.line(&Table::of(entries, &columns).to_string())
}

/// The readable part of an ARN: `operator/ada` of `arn:aws:sts::123456789012:assumed-role/operator/ada`.
fn who(principal: &str) -> &str {
    if !principal.starts_with("arn:") {
        return principal;
    }
    let resource = principal.splitn(6, ':').last().unwrap_or(principal);
    resource.strip_prefix("assumed-role/").or_else(|| resource.strip_prefix("user/")).unwrap_or(resource)
}

pub(super) fn value_of(entry: &AuditEntry) -> Value {
    json!({
        "id": entry.id.as_str(),
        "at": entry.at.to_string(),
        "principal": entry.principal.as_str(),
        "action": entry.action,
        "subject": entry.subject,
        "before": entry.before,
        "after": entry.after,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_shown_by_its_name() {
        for (principal, shown) in [
            ("arn:aws:sts::123456789012:assumed-role/operator/ada", "operator/ada"),
            ("arn:aws:iam::123456789012:user/ada", "ada"),
            ("arn:aws:iam::123456789012:root", "root"),
            ("local:ada", "local:ada"),
        ] {
            assert_eq!(who(principal), shown);
        }
    }
}
