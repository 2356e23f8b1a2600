use clap::Args;
use keypool_domain::{Product, ProductId, SigningKeyId};

use super::{fit, retired};
use crate::advice::failed_call;
use crate::commands::product;
use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Args)]
pub(crate) struct Use {
    /// The KMS key: its id, ARN or alias
    #[arg(value_name = "KEY")]
    key: SigningKeyId,
    /// The product to sign for
    #[arg(long, value_name = "NUMBER")]
    product: ProductId,
    /// Continue even if KMS no longer returns the public half of the product's present key, which is then
    /// lost
    #[arg(long)]
    lose_old_key: bool,
}

impl Use {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let before = product::find(&target.store, self.product).await?;
        fit(target, &self.key).await?;
        let after = Product { signing_key_id: Some(self.key.clone()), ..before.clone() };
        let retired = match retired(target, &before, &after).await {
            Err(error) if self.lose_old_key && is_lost(&error) => {
                output.note(&format!("{error:#}"));
                None
            }
            kept => kept?,
        };
        product::apply("signing-key.use", [&before, &after], retired.as_ref(), target, output).await
    }
}

/// Returns true if KMS has lost the key, or will delete it soon. Any other failure may be temporary.
fn is_lost(error: &anyhow::Error) -> bool {
    const CODES: [&str; 2] = ["NotFoundException", "KMSInvalidStateException"];
    error.chain().any(|cause| failed_call(cause).is_some_and(|failed| CODES.contains(&&*failed.code)))
}
