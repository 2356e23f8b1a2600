use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use keypool_domain::{LicenseKey, ProductId, Status};
use keypool_store::KeyFilter;

/// License keys that are named one by one.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// License keys
    #[arg(value_name = "KEY", required_unless_present = "file")]
    keys: Vec<LicenseKey>,
    /// A file with a license key a line; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    file: Option<PathBuf>,
}

impl Named {
    /// The keys, each once, in the order they were named.
    pub(super) fn read(&self) -> anyhow::Result<Vec<LicenseKey>> {
        let mut keys = match &self.file {
            Some(file) => of_file(file)?,
            None => self.keys.clone(),
        };
        let mut seen = std::collections::HashSet::new();
        keys.retain(|key| seen.insert(key.clone()));
        if keys.is_empty() {
            bail!("no license key is named");
        }
        Ok(keys)
    }
}

fn of_file(file: &Path) -> anyhow::Result<Vec<LicenseKey>> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.with_context(|| format!("{} cannot be read", file.display()))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))?;
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(nth, line)| line.parse().with_context(|| format!("{}, line {}", file.display(), nth + 1)))
        .collect()
}

/// License keys that have something in common.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Those of this product
    #[arg(long, value_name = "NUMBER")]
    product: Option<ProductId>,
    /// Those of this status: available, assigned, reserved or blocked
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
    /// Those whose owner's name or email contains this text (capitals count)
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    owner: Option<String>,
}

impl Wanted {
    pub(super) fn filter(&self) -> KeyFilter {
        KeyFilter { product_id: self.product, status: self.status, owner: self.owner.clone() }
    }

    /// Whether they are the keys in stock of one product, which the index lists.
    pub(super) fn is_stock_of_a_product(&self) -> bool {
        self.product.is_some() && self.status == Some(Status::Available) && self.owner.is_none()
    }
}
