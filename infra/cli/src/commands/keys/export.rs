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
use crate::output::Output;
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

const HEADING: [&str; 12] = [
    "license_key",
    "product_id",
    "status",
    "activation_limit",
    "validity",
    "owner_name",
    "owner_email",
    "assigned_at",
    "created_at",
    "updated_at",
    "id",
    "order",
];

impl Export {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
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
            Ok(()) = tokio::signal::ctrl_c() => None,
        };
        let Some(count) = written else {
            output.note(&format!("interrupted: {} was not written", path.display()));
            return Ok(Exit::Interrupted);
        };
        file.as_file().sync_all().with_context(failed)?;
        file.persist_noclobber(path).with_context(failed)?;
        let value = json!({"exported": count, "file": path.display().to_string()});
        output.result(&format!("{count} license keys written to {}", path.display()), &value)?;
        Ok(Exit::Done)
    }

    /// Writes the wanted keys, and returns their number.
    async fn write(&self, target: &Target, output: Output, to: impl Write) -> anyhow::Result<u64> {
        // On a terminal, the written keys themselves show the progress.
        let shows_progress = self.output.is_some() || !output.is_terminal();
        let total = Some(target.store.approximate_count().await?);
        let progress = shows_progress.then(|| output.progress("reading", total));
        let is_for_programs = output.is_json() && self.output.is_none();
        let format = self.format.unwrap_or(if is_for_programs { Format::Jsonl } else { Format::Csv });
        let mut writer = Writer::new(to, format)?;
        let mut pages = pin!(target.store.keys(&self.wanted.filter()));
        let mut count = 0;
        while let Some(page) = pages.try_next().await? {
            for key in &page.keys {
                writer.write(key)?;
                count += 1;
            }
            if let Some(progress) = &progress {
                progress.add(page.read as u64);
            }
        }
        writer.finish()?;
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

/// Writes keys in one of the formats.
enum Writer<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Jsonl(io::BufWriter<W>),
}

impl<W: Write> Writer<W> {
    fn new(to: W, format: Format) -> anyhow::Result<Self> {
        Ok(match format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(to);
                writer.write_record(HEADING)?;
                Self::Csv(Box::new(writer))
            }
            Format::Jsonl => Self::Jsonl(io::BufWriter::new(to)),
        })
    }

    fn write(&mut self, key: &LicenseKeyRecord) -> anyhow::Result<()> {
        match self {
            Self::Csv(writer) => writer.write_record(record(key))?,
            Self::Jsonl(writer) => writeln!(writer, "{}", key.to_json())?,
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Csv(mut writer) => writer.flush()?,
            Self::Jsonl(mut writer) => writer.flush()?,
        }
        Ok(())
    }
}

fn record(key: &LicenseKeyRecord) -> [String; 12] {
    let owner = |field: &Option<OwnerField>| {
        field.as_ref().map_or_else(String::new, |field| field.as_str().to_owned())
    };
    [
        key.license_key.as_str().to_owned(),
        key.product_id.to_string(),
        key.status.to_string(),
        key.activation_limit.to_string(),
        key.validity.to_string(),
        owner(&key.owner.name),
        owner(&key.owner.email),
        key.assigned_at.map_or_else(String::new, |at| at.to_string()),
        key.created_at.to_string(),
        key.updated_at.to_string(),
        key.id.to_string(),
        key.order.as_ref().map_or_else(String::new, |order| order.reference.as_str().to_owned()),
    ]
}
