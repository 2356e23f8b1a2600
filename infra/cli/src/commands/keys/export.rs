use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use futures_util::TryStreamExt as _;
use keypool_domain::{LicenseKeyRecord, OwnerField};
use serde_json::json;
use tempfile::NamedTempFile;

use super::select::Wanted;
use crate::exit::Exit;
use crate::output::{Column, Output};
use crate::target::Target;

/// Write license keys to a file or to standard output, as CSV or JSON lines, unsorted.
///
/// The command reads the whole table: some 4 read units for a hundred keys in it. Each key is written as it
/// was when it was read. A file is complete or absent, and only its owner may read it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool keys export --output keys.csv\n  \
    keypool keys export --product 42 --status assigned --format jsonl | gzip > sold.jsonl.gz\n\n\
    Owner names come from buyers: import all columns as text into a spreadsheet, or it may run a name that begins \
    with = as a formula.")]
pub(crate) struct Export {
    #[command(flatten)]
    wanted: Wanted,
    /// The file [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format [default: csv; to standard output with --json, jsonl]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated values with a heading
    Csv,
    /// One JSON object per line
    Jsonl,
}

impl Export {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let Some(path) = &self.output else {
            return match self.write(target, output, io::stdout()).await {
                Err(error) if !reader_is_gone(&error) => Err(error),
                _ => Ok(Exit::Done),
            };
        };
        if path.exists() {
            bail!("{} already exists", path.display());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let failed = || format!("cannot write {}", path.display());
        let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(failed)?;
        let written = tokio::select! {
            written = self.write(target, output, &mut file) => Some(written?),
            // Without this handler, Ctrl-C would leave a partial temporary file behind.
            () = output.interrupted() => None,
        };
        let Some(count) = written else {
            output.note(&format!("interrupted: {} was not written", path.display()));
            return Ok(Exit::Interrupted);
        };
        file.as_file().sync_all().with_context(failed)?;
        file.persist_noclobber(path).with_context(failed)?;
        let value = json!({"exported": count, "file": path.display().to_string()});
        output.result(&format!("{count} license keys written to {}", path.display()), &value)
    }

    /// Writes the wanted keys, and returns their number.
    async fn write(&self, target: &Target, output: &Output, to: impl Write) -> anyhow::Result<u64> {
        // On a terminal, the written keys themselves show the progress.
        let shows_progress = self.output.is_some() || !output.is_terminal();
        let total = Some(target.store.approximate_count().await?);
        let progress = shows_progress.then(|| output.progress("reading", total));
        let is_for_programs = output.is_json() && self.output.is_none();
        let format = self.format.unwrap_or(if is_for_programs { Format::Jsonl } else { Format::Csv });
        let mut to = io::BufWriter::new(to);
        if format == Format::Csv {
            let heading: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
            writeln!(to, "{}", heading.join(","))?;
        }
        let mut pages = pin!(target.store.keys(&self.wanted.filter()));
        let mut count = 0;
        while let Some(page) = pages.try_next().await? {
            write_page(&page.keys, format, &mut to)?;
            count += page.keys.len() as u64;
            if let Some(progress) = &progress {
                progress.add(page.read as u64);
            }
        }
        to.flush()?;
        Ok(count)
    }
}

/// Returns true for a broken pipe: in `keypool keys export | head` the reader has enough.
fn reader_is_gone(error: &anyhow::Error) -> bool {
    let kind = match error.downcast_ref::<csv::Error>().map(csv::Error::kind) {
        Some(csv::ErrorKind::Io(error)) => Some(error.kind()),
        _ => error.downcast_ref::<io::Error>().map(io::Error::kind),
    };
    kind == Some(io::ErrorKind::BrokenPipe)
}

fn write_page(keys: &[LicenseKeyRecord], format: Format, to: &mut impl Write) -> anyhow::Result<()> {
    match format {
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(to);
            for key in keys {
                writer.write_record(COLUMNS.iter().map(|(_, value)| value(key)))?;
            }
            writer.flush()?;
        }
        Format::Jsonl => {
            for key in keys {
                writeln!(to, "{}", key.to_json())?;
            }
        }
    }
    Ok(())
}

/// The columns of CSV.
const COLUMNS: &[Column<LicenseKeyRecord>] = &[
    ("license_key", |key| key.license_key.as_str().to_owned()),
    ("product_id", |key| key.product_id.to_string()),
    ("status", |key| key.status.to_string()),
    ("activation_limit", |key| key.activation_limit.to_string()),
    ("validity", |key| key.validity.to_string()),
    ("owner_name", |key| or_empty(key.owner.name.as_ref().map(OwnerField::as_str))),
    ("owner_email", |key| or_empty(key.owner.email.as_ref().map(OwnerField::as_str))),
    ("assigned_at", |key| or_empty(key.assigned_at)),
    ("created_at", |key| key.created_at.to_string()),
    ("updated_at", |key| key.updated_at.to_string()),
    ("id", |key| key.id.to_string()),
    ("order", |key| or_empty(key.order.as_ref().map(|order| order.reference.as_str()))),
];

fn or_empty(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
