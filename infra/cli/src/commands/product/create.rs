use anyhow::bail;
use clap::Args;
use keypool_domain::{Activity, Name, Product, ProductId, SigningKeyId};
use keypool_store::{Counter, CreateOutcome};

use crate::commands::{IDS_TRIED_MAX, next_id, signing_key};
use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;
use crate::view;

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The name of the product
    #[arg(long)]
    name: Name,
    /// The product's id in the shop [default: the next free one]
    #[arg(long, value_name = "NUMBER")]
    id: Option<ProductId>,
    /// The product's own KMS key (id, ARN or alias; `RSA_2048`, `SIGN_VERIFY`) [default: the global key]
    #[arg(long, value_name = "KEY")]
    signing_key: Option<SigningKeyId>,
}

impl Create {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let store = &target.store;
        if let Some(key) = &self.signing_key {
            signing_key::fit(target, key).await?;
        }
        for _ in 0..IDS_TRIED_MAX {
            let product = Product {
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
            match (store.create(&product, Some(&entry)).await?, self.id) {
                (CreateOutcome::Created, _) => {
                    output.result(&format!("{subject} created"), &view::product(&product))?;
                    return Ok(Exit::Done);
                }
                (CreateOutcome::Exists, Some(id)) => bail!("product {id} already exists"),
                (CreateOutcome::Exists, None) => {}
            }
        }
        bail!("no free id found: choose one with --id")
    }
}
