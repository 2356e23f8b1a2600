use anyhow::bail;
use clap::{ArgGroup, Args};
use keypool_domain::{GeneratorId, Name, Product, ProductId, RetiredKey, SigningKeyId};
use keypool_store::UpdateOutcome;

use super::find;
use crate::commands::{change, signing_key};
use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;
use crate::view;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "generator", "no_generator", "signing_key", "no_signing_key"]))]
pub(crate) struct Update {
    /// The product's id in the shop
    #[arg(value_name = "ID")]
    id: ProductId,
    /// The name of the product
    #[arg(long)]
    name: Option<Name>,
    /// The generator for an empty stock; it must belong to this product
    #[arg(long, value_name = "ID", conflicts_with = "no_generator")]
    generator: Option<GeneratorId>,
    /// Remove the generator: with an empty stock the product is sold out
    #[arg(long)]
    no_generator: bool,
    /// The KMS key that signs for the product; the public half of the former key is kept
    #[arg(long, value_name = "KEY", conflicts_with = "no_signing_key")]
    signing_key: Option<SigningKeyId>,
    /// Remove the product's own signing key: the global key signs
    #[arg(long)]
    no_signing_key: bool,
}

impl Update {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        if let Some(key) = &self.signing_key {
            signing_key::fit(target, key).await?;
        }
        let before = find(&target.store, self.id).await?;
        let after = self.changed(before.clone());
        let retired = signing_key::retired(target, &before, &after).await?;
        apply("product.update", [&before, &after], retired.as_ref(), target, output).await
    }

    fn changed(&self, mut product: Product) -> Product {
        if let Some(name) = &self.name {
            product.name = name.clone();
        }
        if self.generator.is_some() || self.no_generator {
            product.generator_id = self.generator;
        }
        if self.signing_key.is_some() || self.no_signing_key {
            product.signing_key_id.clone_from(&self.signing_key);
        }
        product
    }
}

/// Replaces `before` with `after` and reports the change.
pub(in crate::commands) async fn apply(
    action: &str,
    [before, after]: [&Product; 2],
    retired: Option<&RetiredKey>,
    target: &Target,
    output: Output,
) -> anyhow::Result<Exit> {
    let subject = format!("product {}", before.id);
    let (old, new) = (view::product(before), view::product(after));
    if before == after {
        return change::nothing(&subject, &new, output);
    }
    let entry = target.entry(action, &subject, Some(old.clone()), Some(new.clone())).await?;
    match target.store.update_product(before, after, retired, &entry).await? {
        UpdateOutcome::Updated => change::done(&subject, &old, &new, output),
        UpdateOutcome::Unknown => bail!("there is no {subject}"),
        UpdateOutcome::ChangedMeanwhile => Err(change::meanwhile(&subject)),
        UpdateOutcome::NotItsGenerator => bail!(
            "{subject} has no such generator: `keypool generator list` shows the product of each generator"
        ),
    }
}
