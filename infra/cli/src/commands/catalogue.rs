//! The common part of the commands for products, generators and API keys: create, list, show, change.

use anyhow::{Context as _, anyhow, bail};
use keypool_domain::{Activity, AuditEntry, Product, RetiredKey};
use keypool_store::{Catalogued, Counter, Store, StoreError, UpdateOutcome};
use serde_json::Value;

use crate::difference;
use crate::exit::Exit;
use crate::output::{Column, Output, Table, fields};
use crate::target::Target;

/// A product, a generator or an API key.
pub(super) trait Resource: Catalogued + Clone + 'static {
    /// The noun for people: `API key`.
    const NOUN: &'static str;
    /// The noun in the names of actions: `api-key`.
    const ACTION: &'static str;
    /// The columns of the list.
    const COLUMNS: &'static [Column<Self>];

    /// The noun and the name for people: `product 42`.
    fn subject(&self) -> String {
        format!("{} {}", Self::NOUN, self.id())
    }

    /// The subject in the audit trail.
    fn audit_subject(&self) -> String {
        self.subject()
    }

    /// The member that says whether the record is in use.
    fn activity_mut(&mut self) -> &mut Activity;

    /// All of the record for people, by name.
    fn fields(&self) -> Vec<(&'static str, String)>;

    /// All of the record, for `--json` and the audit trail.
    fn json(&self) -> Value;
}

/// A resource that is named by a number.
pub(super) trait Numbered: Resource<Id: Copy + TryFrom<u64>> {
    /// The counter that gives the next number.
    const COUNTER: Counter;

    /// The member with the number.
    fn id_mut(&mut self) -> &mut Self::Id;

    /// Stores a new record. Returns a remark for people, or `None` if its number is taken.
    async fn insert(&self, store: &Store, entry: &AuditEntry) -> anyhow::Result<Option<String>>;
}

/// The most ids that are tried to find a free one. Ids chosen by hand are taken.
const IDS_TRIED_MAX: usize = 1_000;

/// Creates a record under the chosen id, or under the next free one.
pub(super) async fn create<R: Numbered>(
    mut record: R,
    chosen: Option<R::Id>,
    target: &Target,
    output: &Output,
) -> anyhow::Result<Exit> {
    for _ in 0..IDS_TRIED_MAX {
        *record.id_mut() = if let Some(id) = chosen {
            id
        } else {
            let next = target.store.advance(R::COUNTER, 1).await?;
            R::Id::try_from(next).map_err(|_| anyhow!("there are no more ids"))?
        };
        let (subject, json) = (record.subject(), record.json());
        let entry =
            target.entry(&format!("{}.create", R::ACTION), &subject, None, Some(json.clone())).await?;
        if let Some(remark) = record.insert(&target.store, &entry).await? {
            return output.result(&format!("{subject} created{remark}"), &json);
        }
        if chosen.is_some() {
            bail!("{subject} already exists");
        }
    }
    bail!("no free id found: choose one with --id")
}

/// Reads the current record with this id.
pub(super) async fn find<R: Resource>(store: &Store, id: R::Id) -> anyhow::Result<R> {
    let missing = format!("there is no {} {id}", R::NOUN);
    store.find(id).await?.context(missing)
}

/// Lists all records of a kind.
pub(super) async fn list<R: Resource>(target: &Target, output: &Output) -> anyhow::Result<Exit> {
    let records = target.store.list::<R>().await?;
    output.table(&Table::of(&records, R::COLUMNS), records.iter().map(R::json).collect())
}

/// Shows one record.
pub(super) fn show<R: Resource>(record: &R, output: &Output) -> anyhow::Result<Exit> {
    output.result(&fields("", &record.fields()), &record.json())
}

/// Enables or disables a record.
pub(super) async fn switch<R: Resource>(
    before: R,
    to: Activity,
    target: &Target,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut after = before.clone();
    *after.activity_mut() = to;
    let verb = match to {
        Activity::Active => "enable",
        Activity::Inactive => "disable",
    };
    update(&format!("{}.{verb}", R::ACTION), [&before, &after], target, output).await
}

/// Replaces `before` with `after` and reports the change.
pub(super) async fn update<R: Resource>(
    action: &str,
    [before, after]: [&R; 2],
    target: &Target,
    output: &Output,
) -> anyhow::Result<Exit> {
    let write = async |entry: &AuditEntry| target.store.update(before, after, entry).await;
    update_with(action, [before, after], write, target, output).await
}

/// Replaces a product as [`update`] does, and keeps the public half of its former signing key.
pub(super) async fn update_product(
    action: &str,
    [before, after]: [&Product; 2],
    retired: Option<&RetiredKey>,
    target: &Target,
    output: &Output,
) -> anyhow::Result<Exit> {
    let write = async |entry: &AuditEntry| target.store.update_product(before, after, retired, entry).await;
    update_with(action, [before, after], write, target, output).await
}

async fn update_with<R: Resource>(
    action: &str,
    [before, after]: [&R; 2],
    write: impl AsyncFnOnce(&AuditEntry) -> Result<UpdateOutcome, StoreError>,
    target: &Target,
    output: &Output,
) -> anyhow::Result<Exit> {
    let (subject, old, new) = (before.subject(), before.json(), after.json());
    if before == after {
        return output.result(&format!("{subject} is already up to date"), &new);
    }
    let entry = target.entry(action, before.audit_subject(), Some(old.clone()), Some(new.clone())).await?;
    expect_updated(write(&entry).await?, &subject)?;
    let what = difference::between(Some(&old), Some(&new));
    output.result(&format!("{subject} changed: {what}"), &new)?;
    output.note(WARM);
    Ok(Exit::Done)
}

/// Functions cache products, generators and API keys for a minute.
pub(super) const WARM: &str = "Warm functions may use the old data for up to 60 seconds.";

/// Fails unless a record was updated.
pub(super) fn expect_updated(outcome: UpdateOutcome, subject: &str) -> anyhow::Result<()> {
    match outcome {
        UpdateOutcome::Updated => Ok(()),
        UpdateOutcome::Unknown => bail!("there is no {subject} any more"),
        UpdateOutcome::ChangedMeanwhile => bail!(
            "somebody else changed {subject} at the same moment, and nothing was written: look at it, and run the \
             command again"
        ),
        UpdateOutcome::NotItsGenerator => bail!(
            "{subject} has no such generator: `keypool generator list` shows the product of each generator"
        ),
    }
}
