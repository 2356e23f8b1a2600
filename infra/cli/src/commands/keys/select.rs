use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use keypool_domain::{LicenseKey, ProductId, Status};
use keypool_store::KeyFilter;

/// The options that name license keys one by one.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// License keys
    #[arg(value_name = "KEY", required_unless_present = "file")]
    keys: Vec<LicenseKey>,
    /// A file with one license key per line; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    file: Option<PathBuf>,
}

impl Named {
    /// Reads the keys, without repetitions, in the given order.
    pub(super) fn read(&self) -> anyhow::Result<Vec<LicenseKey>> {
        let mut keys = match &self.file {
            Some(file) => of_file(file)?,
            None => self.keys.clone(),
        };
        let mut seen = std::collections::HashSet::new();
        keys.retain(|key| seen.insert(key.clone()));
        if keys.is_empty() {
            bail!("no license key given");
        }
        Ok(keys)
    }
}

fn of_file(file: &Path) -> anyhow::Result<Vec<LicenseKey>> {
    let bytes =
        if file == Path::new("-") { std::io::stdin().lock().bytes().collect() } else { std::fs::read(file) };
    let bytes = bytes.with_context(|| format!("cannot read {}", file.display()))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))?;
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(nth, line)| line.parse().with_context(|| format!("{}, line {}", file.display(), nth + 1)))
        .collect()
}

/// The options that filter license keys.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Only keys of this product
    #[arg(long, value_name = "NUMBER")]
    product: Option<ProductId>,
    /// Only keys with this status: available, assigned, reserved or blocked
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
    /// Only keys whose owner name or email contains this text (case-sensitive)
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    owner: Option<String>,
}

impl Wanted {
    pub(super) fn filter(&self) -> KeyFilter {
        KeyFilter { product_id: self.product, status: self.status, owner: self.owner.clone() }
    }

    /// Returns true for the keys in stock of one product, which the index lists.
    pub(super) fn is_stock_of_a_product(&self) -> bool {
        self.product.is_some() && self.status == Some(Status::Available) && self.owner.is_none()
    }
}
