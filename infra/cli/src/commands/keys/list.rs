use std::fmt;
use std::str::FromStr;

use clap::Args;
use keypool_domain::{LicenseKeyRecord, OrderReference, OwnerField, Timestamp};
use keypool_store::{KeyPage, Place};
use serde_json::json;

use super::select::Wanted;
use crate::difference::or_nothing;
use crate::exit::{Exit, WrongArguments};
use crate::output::{Column, Output, Table};
use crate::target::Target;

/// List license keys, a page at a time.
///
/// The keys in stock of one product (--product N --status available) and the keys of an order (--order) come
/// from an index: half a read unit for 4 KB of keys. Other lists scan the table: some 4 read units for a
/// hundred keys in it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool keys list --product 42 --status available\n  \
    keypool keys list --owner ada@example.com\n  \
    keypool keys list --order 10031\n  \
    keypool keys list --status blocked --limit 500 --json")]
pub(crate) struct List {
    #[command(flatten)]
    wanted: Wanted,
    /// Only keys that were sold under this order reference
    #[arg(long, value_name = "REFERENCE", conflicts_with = "after")]
    order: Option<OrderReference>,
    /// The most keys to show
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Continue after a page, with the cursor that it printed
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
}

/// The end of a page.
#[derive(Debug, Clone)]
struct Cursor(Place);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(draw) = &self.0.draw {
            write!(f, "{draw}")?;
        }
        write!(f, "~{}", self.0.license_key.as_str())
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NO_CURSOR: &str = "is not a cursor that a page printed";
        let (draw, license_key) = text.split_once('~').ok_or(NO_CURSOR)?;
        let draw = (!draw.is_empty()).then(|| draw.parse()).transpose().map_err(|_| NO_CURSOR)?;
        Ok(Self(Place { license_key: license_key.parse().map_err(|_| NO_CURSOR)?, draw }))
    }
}

impl List {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let from = self.after.clone().map(|cursor| cursor.0);
        // A position in the index has a draw, a position in the table has none. DynamoDB refuses the wrong
        // kind.
        if from.as_ref().is_some_and(|from| from.draw.is_some() != self.wanted.is_stock_of_a_product()) {
            return Err(WrongArguments(
                "--after is the cursor of another list: give the same --product, --status and --owner as for that \
                 page",
            )
            .into());
        }
        let (filter, limit) = (self.wanted.filter(), self.limit.into());
        let page = match &self.order {
            Some(order) => {
                let of_order = target.store.keys_of_order(order, (0, limit), |key| filter.includes(key));
                KeyPage { keys: of_order.await?, ..KeyPage::default() }
            }
            None => target.store.list_keys(&filter, from, limit).await?,
        };
        let next = page.next.map(|place| Cursor(place).to_string());
        if output.is_json() {
            let keys: Vec<_> = page.keys.iter().map(LicenseKeyRecord::to_json).collect();
            output.value(&json!({"keys": keys, "next": next}))?;
            return Ok(Exit::Done);
        }
        output.line(&Table::of(&page.keys, COLUMNS).to_string())?;
        match next {
            // The cursor is in single quotes, for a shell.
            Some(next) => output.note(&format!("there are more: --after '{}'", next.replace('\'', r"'\''"))),
            None if page.keys.is_empty() => output.note("there are none"),
            None => {}
        }
        Ok(Exit::Done)
    }
}

const COLUMNS: &[Column<LicenseKeyRecord>] = &[
    ("LICENSE KEY", |key| key.license_key.as_str().to_owned()),
    ("PRODUCT", |key| key.product_id.to_string()),
    ("STATUS", |key| key.status.to_string()),
    ("OWNER", |key| {
        let owner = [&key.owner.name, &key.owner.email].into_iter().flatten().map(OwnerField::as_str);
        or_nothing(Some(owner.collect::<Vec<_>>().join(", ")))
    }),
    ("ASSIGNED", |key| or_nothing(key.assigned_at.map(Timestamp::to_whole_seconds_text))),
    ("CREATED", |key| key.created_at.to_whole_seconds_text()),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        for text in ["~A~B", "0123456789abcdef0123456789abcdef~K 1"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in ["", "A", "xyz~A", "~"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
