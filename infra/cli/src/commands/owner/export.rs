use clap::Args;
use keypool_store::OwnerRecord;
use serde_json::json;

use super::{Whose, content, kind, name, summary};
use crate::exit::Exit;
use crate::output::{Column, Output, Table};
use crate::target::Target;

/// Show the records of an owner: license keys, queued orders, remembered responses, audit entries.
///
/// --json prints the full content of each record, to answer a buyer who requests their data.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool owner export ada@example.com\n  \
    keypool owner export ada@example.com --json > ada.json\n\n\
    Costs half a read unit for 4 KB of the whole table: some 4 for a hundred keys in it.")]
pub(crate) struct Export {
    #[command(flatten)]
    whose: Whose,
}

impl Export {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let records = self.whose.records(target, output).await?;
        let columns: [Column<OwnerRecord>; 3] =
            [("RECORD", |record| kind(record).as_str().to_owned()), ("NAME", name), ("WHAT IT IS", summary)];
        let values = records.iter().map(|record| {
            json!({"record": kind(record).as_str(), "name": name(record), "content": content(record)})
        });
        output.table(&Table::of(&records, &columns), values.collect())
    }
}
