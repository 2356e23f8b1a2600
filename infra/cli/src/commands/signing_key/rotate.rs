use anyhow::{Context as _, bail};
use clap::Args;
use keypool_domain::{Product, ProductId};

use super::settle::Settling;
use super::{make, retired};
use crate::commands::product;
use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The product whose key is replaced
    #[arg(long, value_name = "NUMBER")]
    product: Option<ProductId>,
    #[command(flatten)]
    settling: Settling,
}

impl Rotate {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let Some(id) = self.product else {
            bail!(
                "give the product with --product; the global key belongs to the deployment: docs/rotating-keys.md \
                 says how to replace it"
            )
        };
        let before = product::find(&target.store, id).await?;
        if before.signing_key_id.is_none() {
            bail!(
                "product {id} has no signing key of its own, the global key signs: `keypool signing-key create --product \
                 {id}` creates one"
            );
        }
        // Read the old key before creating the new one: an unused key would cost the same as a used one.
        let without = Product { signing_key_id: None, ..before.clone() };
        let retired = retired(target, &before, &without).await?;
        let key = make(target, Some(id)).await?;
        self.settling.wait(target, &key, id, output).await;
        let after = Product { signing_key_id: Some(key.clone()), ..before.clone() };
        let applied =
            product::apply("signing-key.rotate", [&before, &after], retired.as_ref(), target, output).await;
        let exit = applied.with_context(|| format!("the key {key} was created, but is not used"))?;
        output.note(
            "The public half of the old key is kept. Publish the new one: `keypool signing-key public-key --jwks` has both.",
        );
        Ok(exit)
    }
}
