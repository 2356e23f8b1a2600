//! `keypool keys import`: writes many keys from a file into the table.
//!
//! `source` cuts the file into records; `columns` and `row` interpret them. `pipeline` writes them in
//! `batch`es and adds each `outcome` to the `receipt` in the order of the file. `seen` finds duplicates in a
//! dry run, which writes nothing. `preview` shows the first lines. `suspicious` finds keys that a buyer could
//! hardly type.

mod batch;
mod columns;
mod outcome;
mod pipeline;
mod preview;
mod receipt;
mod row;
mod seen;
mod source;
mod suspicious;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anstyle::Style;
use anyhow::{Context as _, bail};
use clap::Args;
use keypool_aws::AdaptiveLimit;
use keypool_domain::{ActivationLimit, ImportId, Product, ProductId, Status, Validity};
use serde_json::{Value, json};

use self::columns::{NamedColumn, Naming, named_column};
use self::outcome::Counts;
use self::pipeline::{Ended, Pipeline};
use self::receipt::Receipt;
use self::row::Rules;
use self::source::{Format, Source};
use crate::exit::Exit;
use crate::output::{BAD, GOOD, Output, WARNING, printable};
use crate::target::Target;

const HELP: &str = "\
Examples:
  keypool keys import keys.txt --product 42 --validity 365
  keypool keys import export.csv --product 42 --column license_key=\"Serial no.\" --preview
  keypool keys import export.csv --product 42 --column license_key=\"Serial no.\" --dry-run
  keypool keys import everything.csv                  # with a column product_id
  keypool keys import keys.txt --product 42 --keys-per-second 500    # during sales
  zcat keys.gz | keypool keys import - --product 42 --receipt keys.receipt.jsonl

The receipt, FILE.receipt.jsonl, records the outcome of each line: created, duplicate (of an earlier line, or of a \
key in stock, sold, blocked or reserved), or refused, and why. It contains the keys, so only you may read it.

created + duplicate + refused = lines. The import never changes an existing key.

The summary warns of keys with invisible characters and of keys that look the same; the import accepts them.

After an interruption, by Ctrl-C or a power failure, run the same command again: it continues where the receipt ends, \
and recognizes the keys that it has stored.

Options fill in the values that a line lacks; --product applies to every line.

Costs 1 write unit a key, and 1 for the index if the key is available; 1 read unit for a duplicate. --dry-run costs \
half a read unit a key, and writes nothing to the table. On AWS the import needs the permissions dynamodb:PartiQLInsert, \
BatchGetItem, UpdateItem, PutItem, Query and DescribeTable.

Exit codes: 0 all lines are created or duplicate, 1 failed, 3 lines were refused, 130 interrupted.";

/// Import license keys from a CSV, text or JSON lines file of any size.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Import {
    /// The file; - is standard input
    file: PathBuf,
    /// The product of all keys; without it, the column `product_id` names the products
    #[arg(long, value_name = "NUMBER")]
    product: Option<ProductId>,
    /// The format of the file [default: by its name or its first line]
    #[arg(long)]
    format: Option<Format>,
    /// The name of the column for a field: `license_key=NAME`; other fields are `product_id`,
    /// `activation_limit`, `validity`, `status`, `owner_name`, `owner_email`, `assigned_at` and `order`
    #[arg(long = "column", value_name = "FIELD=NAME", value_parser = named_column)]
    columns: Vec<NamedColumn>,
    /// The number of times a key may be activated; 0 is unlimited
    #[arg(long, value_name = "NUMBER", default_value = "0", allow_negative_numbers = true)]
    activation_limit: ActivationLimit,
    /// The number of days a key is valid; 0 is unlimited
    #[arg(long, value_name = "DAYS", default_value = "0", allow_negative_numbers = true)]
    validity: Validity,
    /// The status of the keys: available, assigned, reserved or blocked
    #[arg(long, default_value = "available")]
    status: Status,
    /// Show the first 10 lines as keypool understands them, and do nothing else (1 read unit a product)
    #[arg(long, conflicts_with_all = ["dry_run", "receipt"])]
    preview: bool,
    /// Report the outcome of each line, and write no keys
    #[arg(long)]
    dry_run: bool,
    /// The most keys to write per second [default: as fast as the table allows, which may slow down sales]
    #[arg(long, value_name = "NUMBER")]
    keys_per_second: Option<NonZeroU32>,
    /// The file for the receipt [default: FILE.receipt.jsonl, or FILE.dry-run.jsonl for a dry run]
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Import {
    pub(crate) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let path = if self.preview { None } else { Some(self.receipt_path()?) };
        let rules = self.rules(target).await?;
        let naming = Naming { named: self.columns.clone(), needs_product: self.product.is_none() };
        let mut source = Source::open(&self.file, self.format, naming)?;
        if let Some(columns) = &source.columns {
            output.note(&format!("columns: {}", printable(columns)));
        }
        let Some(path) = path else { return preview::show(&mut source, &rules, output) };
        let options = self.options(target, source.format).await?;
        let mut receipt = Receipt::open(&path, &options)?;
        let progress = output.progress(if self.dry_run { "rehearsing" } else { "importing" }, source.lines);
        if receipt.skip(&mut source, &progress)? {
            drop(progress);
            output.note(&format!("{} is complete: the file was imported before", path.display()));
            return self.summarise(&receipt, "complete before", output);
        }
        let import = receipt.import;
        self.note(target, import, if receipt.is_resumed { "resumed" } else { "begun" }, None).await?;
        let limit = AdaptiveLimit::new(self.keys_per_second);
        let mut pipeline = Pipeline::new(&target.store, &rules, &mut receipt, &progress, self.dry_run, limit);
        let ended = pipeline.run(source.read(), output.interrupted()).await;
        let refused = pipeline.refused;
        drop(progress);
        for line in refused {
            output.note(&format!("{BAD}refused{BAD:#} {}", printable(&line)));
        }
        let state = match &ended {
            Ok(Ended::Complete) => "complete",
            Ok(Ended::Interrupted) => "interrupted",
            Err(_) => "failed",
        };
        let noted = self.note(target, import, state, Some(receipt.counts)).await;
        let ended = ended.with_context(|| format!("{} was not fully imported", self.file.display()))?;
        noted?;
        let exit = self.summarise(&receipt, state, output)?;
        if ended == Ended::Interrupted {
            output.note("interrupted: run the same command again to continue");
            return Ok(Exit::Interrupted);
        }
        Ok(exit)
    }

    fn receipt_path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.receipt {
            return Ok(path.clone());
        }
        if self.file == Path::new("-") {
            bail!("standard input has no name for its receipt: give --receipt");
        }
        let mut name = self.file.clone().into_os_string();
        name.push(if self.dry_run { ".dry-run.jsonl" } else { ".receipt.jsonl" });
        Ok(name.into())
    }

    /// Collects the rules of the import. Costs one read unit per product.
    async fn rules(&self, target: &Target) -> anyhow::Result<Rules> {
        let products = target.store.list::<Product>().await?.into_iter().map(|product| product.id).collect();
        let rules = Rules {
            product: self.product,
            products,
            activation_limit: self.activation_limit,
            validity: self.validity,
            status: self.status,
        };
        match self.product {
            Some(product) if !rules.products.contains(&product) => bail!("there is no product {product}"),
            _ => Ok(rules),
        }
    }

    /// The options that must be the same when an import continues. Otherwise the same lines would mean other
    /// keys.
    async fn options(&self, target: &Target, format: Format) -> anyhow::Result<Value> {
        let columns = self.columns.iter().map(|(field, name)| format!("{}={name}", field.name()));
        Ok(json!({
            // The id differs from that of a table with the same name that was recreated or is in another
            // account.
            "table": target.store.table_id().await?,
            "format": format,
            "product": self.product,
            "activation_limit": self.activation_limit,
            "validity": self.validity,
            "status": self.status.as_str(),
            "columns": columns.collect::<Vec<_>>(),
            "dry_run": self.dry_run,
        }))
    }

    /// Writes an audit entry, unless this is a dry run.
    async fn note(
        &self,
        target: &Target,
        import: ImportId,
        state: &str,
        counts: Option<Counts>,
    ) -> anyhow::Result<()> {
        if self.dry_run {
            return Ok(());
        }
        let subject =
            self.product.map_or_else(|| "products of the file".to_owned(), |id| format!("product {id}"));
        let file = self.file.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut after = json!({ "state": state, "import": import.to_string(), "file": file });
        if let Some(counts) = counts {
            after["counts"] = json!(counts);
        }
        let entry = target.entry("keys.import", subject, None, Some(after)).await?;
        Ok(target.store.note(&entry).await?)
    }

    fn summarise(&self, receipt: &Receipt, state: &str, output: &Output) -> anyhow::Result<Exit> {
        let (warnings, path) = (receipt.suspicious.found(), receipt.path.display().to_string());
        let mut value = json!(receipt.counts);
        value["warnings"] = json!(warnings);
        value["state"] = json!(state);
        value["dry_run"] = json!(self.dry_run);
        value["receipt"] = json!(path);
        let Counts { lines, created, duplicate, refused } = receipt.counts;
        let words = if self.dry_run { "would be created" } else { "created" };
        let if_any = |count: u64, style: Style| if count > 0 { style } else { Style::new() };
        let (good, warning, bad) = (if_any(created, GOOD), if_any(duplicate, WARNING), if_any(refused, BAD));
        let warnings = warnings.iter().map(|found| format!("{WARNING}warning{WARNING:#}: {found}\n"));
        let text = format!(
            "{lines} {}: {good}{created} {words}{good:#}, {warning}{duplicate} duplicate{warning:#}, \
             {bad}{refused} refused{bad:#}\n{}receipt: {path}",
            if lines == 1 { "line" } else { "lines" },
            warnings.collect::<String>(),
        );
        output.result(&text, &value)?;
        Ok(if refused > 0 { Exit::Partly } else { Exit::Done })
    }
}
