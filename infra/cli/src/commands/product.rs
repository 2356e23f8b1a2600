use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use keypool_domain::{Activity, Name, Product as DomainProduct, ProductId, SigningKeyId};
use keypool_store::{Counter, CreateOutcome, Store};

use super::{IDS_TRIED_MAX, next_id};
use crate::exit::Exit;
use crate::output::{Output, Table};
use crate::target::Target;
use crate::view;

#[derive(Debug, Subcommand)]
pub(crate) enum Product {
    /// Set up a product
    #[command(after_help = "Example:\n  keypool product create --name \"Office 2026\" --id 42")]
    Create(Create),
    /// List all products
    #[command(after_help = "Example:\n  keypool product list")]
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What people call it
    #[arg(long)]
    name: Name,
    /// Its id in the shop; without it, the next free one
    #[arg(long, value_name = "NUMBER")]
    id: Option<ProductId>,
    /// A KMS key of its own (id, ARN or alias; `RSA_2048`, `SIGN_VERIFY`); without it, the global key signs
    #[arg(long, value_name = "KEY")]
    signing_key: Option<SigningKeyId>,
}

impl Product {
    pub(crate) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        match self {
            Self::Create(create) => create.run(target, output).await,
            Self::List => list(&target.store, output).await,
        }
    }
}

impl Create {
    async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let Target { store, signer, .. } = target;
        if let Some(key) = &self.signing_key {
            let usable = signer.public_key(key).await;
            usable.with_context(|| format!("{key} cannot be used as a signing key"))?;
        }
        for _ in 0..IDS_TRIED_MAX {
            let product = DomainProduct {
                id: match self.id {
                    Some(id) => id,
                    None => next_id(store, Counter::Product).await?,
                },
                name: self.name.clone(),
                activity: Activity::Active,
                generator_id: None,
                signing_key_id: self.signing_key.clone(),
            };
            let subject = format!("product {}", product.id);
            let entry = target.entry("product.create", &subject, None, Some(view::product(&product))).await?;
            match (store.create_product(&product, Some(&entry)).await?, self.id) {
                (CreateOutcome::Created, _) => {
                    output.result(&format!("{subject} created"), &view::product(&product))?;
                    return Ok(Exit::Done);
                }
                (CreateOutcome::Exists, Some(id)) => bail!("there is a product {id} already"),
                (CreateOutcome::Exists, None) => {}
            }
        }
        bail!("no free id found: choose one with --id")
    }
}

async fn list(store: &Store, output: Output) -> anyhow::Result<Exit> {
    let row = |product: &DomainProduct| {
        [
            product.id.to_string(),
            product.name.as_str().to_owned(),
            product.activity.to_string(),
            product.generator_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            product.signing_key_id.as_ref().map_or_else(|| "global".to_owned(), ToString::to_string),
        ]
    };
    let products = store.products().await?;
    let mut table = Table::new(["ID", "NAME", "STATUS", "GENERATOR", "SIGNING KEY"]);
    products.iter().for_each(|product| table.row(row(product)));
    output.table(&table, products.iter().map(view::product).collect())?;
    Ok(Exit::Done)
}
