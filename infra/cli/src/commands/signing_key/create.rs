use anyhow::{Context as _, bail};
use clap::Args;
use keypool_domain::{Product, ProductId};
use serde_json::json;

use super::make;
use super::settle::Settling;
use crate::commands::product;
use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The product to sign for [default: none, until `keypool signing-key use` sets one]
    #[arg(long, value_name = "NUMBER")]
    product: Option<ProductId>,
    #[command(flatten)]
    settling: Settling,
}

impl Create {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let Some(id) = self.product else {
            let key = make(target, None).await?;
            let entry = target.entry("signing-key.create", &key, None, None).await?;
            target
                .store
                .note(&entry)
                .await
                .with_context(|| format!("the key {key} was created, but is not in the audit trail"))?;
            output.result(key.as_str(), &json!({"signing_key": key.as_str()}))?;
            output.note("It signs for no product yet: set one with `keypool signing-key use`.");
            return Ok(Exit::Done);
        };
        let before = product::find(&target.store, id).await?;
        if let Some(key) = &before.signing_key_id {
            bail!("product {id} already has the signing key {key}: `keypool signing-key rotate` replaces it");
        }
        let key = make(target, Some(id)).await?;
        self.settling.wait(target, &key, id, output).await;
        let after = Product { signing_key_id: Some(key.clone()), ..before.clone() };
        let applied = product::apply("signing-key.create", [&before, &after], None, target, output).await;
        applied.with_context(|| format!("the key {key} was created, but is not used"))
    }
}
