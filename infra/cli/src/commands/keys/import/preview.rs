use anyhow::Context as _;
use keypool_domain::{
    Clock as _, CreationId, ImportId, NewKey, OperatingSystemRandomness, OwnerField, SystemClock,
};
use serde_json::{Value, json};

use super::row::Rules;
use super::source::Source;
use crate::exit::Exit;
use crate::output::{BAD, Column, Output, Table};
use crate::view::owner;

/// The number of lines in a preview.
const LINES: usize = 10;

/// A line of the file: its number, and the key that it describes or the reason for refusing it.
type Line = (u64, Result<NewKey, String>);

/// Shows the first lines of the file as keypool understands them.
pub(super) fn show(source: &mut Source, rules: &Rules, output: &Output) -> anyhow::Result<Exit> {
    let (now, import) = (SystemClock.now(), ImportId::random(&OperatingSystemRandomness));
    let mut lines: Vec<Line> = Vec::new();
    while lines.len() < LINES
        && let Some(record) = source.next().context("reading failed")?
    {
        let creation_id = CreationId::of_line(import, record.line);
        lines.push((record.line, record.content.and_then(|cells| rules.key(&cells, now, creation_id))));
    }
    let value = json!({
        "format": source.format,
        "columns": source.columns,
        "lines": source.lines,
        "first": lines.iter().map(json).collect::<Vec<_>>(),
    });
    output.result(&Table::of(&lines, COLUMNS).to_string(), &value)
}

fn json((line, key): &Line) -> Value {
    match key {
        Ok(key) => json!({
            "line": line,
            "license_key": key.license_key.as_str(),
            "product_id": key.product_id,
            "status": key.status.as_str(),
            "activation_limit": key.activation_limit,
            "validity": key.validity,
            "owner_name": key.owner.name.as_ref().map(OwnerField::as_str),
            "owner_email": key.owner.email.as_ref().map(OwnerField::as_str),
            "order": key.order.as_ref().map(|order| order.reference.as_str()),
        }),
        Err(reason) => json!({"line": line, "refused": reason}),
    }
}

const COLUMNS: &[Column<Line>] = &[
    ("LINE", |(line, _)| line.to_string()),
    ("LICENSE KEY", |(_, key)| match key {
        Ok(key) => key.license_key.as_str().to_owned(),
        Err(reason) => format!("{BAD}refused{BAD:#} {reason}"),
    }),
    ("PRODUCT", |(_, key)| of(key, |key| key.product_id.to_string())),
    ("STATUS", |(_, key)| of(key, |key| key.status.to_string())),
    ("OWNER", |(_, key)| of(key, |key| owner(&key.owner))),
    ("ACTIVATIONS", |(_, key)| of(key, |key| key.activation_limit.get().to_string())),
    ("DAYS VALID", |(_, key)| of(key, |key| key.validity.get().to_string())),
];

fn of(key: &Result<NewKey, String>, cell: impl Fn(&NewKey) -> String) -> String {
    key.as_ref().map(cell).unwrap_or_default()
}
