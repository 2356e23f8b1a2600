use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use keypool_domain::{Clock as _, Product, ProductId, RetiredKey, SigningKeyId, SystemClock};
use serde_json::json;

use super::{fit, retired};
use crate::advice::failed_call;
use crate::commands::catalogue::{find, update_product};
use crate::exit::Exit;
use crate::moment::Span;
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

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The product whose key is replaced
    #[arg(long, value_name = "NUMBER")]
    product: Option<ProductId>,
    #[command(flatten)]
    settling: Settling,
}

#[derive(Debug, Args)]
pub(crate) struct Retire {
    /// The former global KMS key: its id, ARN or alias
    #[arg(value_name = "KEY")]
    key: SigningKeyId,
}

/// The wait between creating a key and using it. Its tag lets the functions use it, and KMS may take five
/// minutes to apply a tag. Until then, requests for a product with that key would fail.
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/abac.html>.)
#[derive(Debug, Args)]
struct Settling {
    /// With --stack: the wait before the new key signs, because AWS may take five minutes to let the
    /// functions use it; 0 does not wait
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    wait: Span,
}

impl Create {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
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
        let before: Product = find(&target.store, id).await?;
        if let Some(key) = &before.signing_key_id {
            bail!("product {id} already has the signing key {key}: `keypool signing-key rotate` replaces it");
        }
        self.settling.create_for("signing-key.create", &before, None, target, output).await
    }
}

impl Use {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let before: Product = find(&target.store, self.product).await?;
        fit(target, &self.key).await?;
        let after = Product { signing_key_id: Some(self.key.clone()), ..before.clone() };
        let retired = match retired(target, &before, &after).await {
            Err(error) if self.lose_old_key && is_lost(&error) => {
                output.note(&format!("{error:#}"));
                None
            }
            kept => kept?,
        };
        update_product("signing-key.use", [&before, &after], retired.as_ref(), target, output).await
    }
}

/// Returns true if KMS has lost the key, or will delete it soon. Any other failure may be temporary.
fn is_lost(error: &anyhow::Error) -> bool {
    const CODES: [&str; 2] = ["NotFoundException", "KMSInvalidStateException"];
    error.chain().any(|cause| failed_call(cause).is_some_and(|failed| CODES.contains(&&*failed.code)))
}

impl Rotate {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let Some(id) = self.product else {
            bail!(
                "give the product with --product; the global key belongs to the deployment: docs/rotating-keys.md \
                 says how to replace it"
            )
        };
        let before: Product = find(&target.store, id).await?;
        if before.signing_key_id.is_none() {
            bail!(
                "product {id} has no signing key of its own, the global key signs: `keypool signing-key create \
                 --product {id}` creates one"
            );
        }
        // Read the old key before creating the new one: an unused key would cost the same as a used one.
        let without = Product { signing_key_id: None, ..before.clone() };
        let retired = retired(target, &before, &without).await?;
        let rotated =
            self.settling.create_for("signing-key.rotate", &before, retired.as_ref(), target, output);
        let exit = rotated.await?;
        output.note(
            "The public half of the old key is kept. Publish the new one: `keypool signing-key public-key --jwks` \
             has both.",
        );
        Ok(exit)
    }
}

impl Retire {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        let found = target.signer.signing_key(&self.key).await;
        let found = found.with_context(|| format!("KMS does not return the public half of {}", self.key))?;
        let kid = found.public_key.thumbprint();
        if let Some(global) = &target.global_signing_key
            && target.signer.public_key(global).await? == found.public_key
        {
            bail!("{} is still the global key: deploy another one first", self.key);
        }
        let der = found.public_key.der();
        let kept = target.store.retired_keys().await?;
        let value = json!({"signing_key": found.arn.as_str(), "kid": kid});
        if kept.iter().any(|key| key.product_id.is_none() && key.public_key_der == der) {
            return output.result(&format!("the public half of {} is already kept", found.arn), &value);
        }
        let key = RetiredKey {
            product_id: None,
            signing_key_id: found.arn.clone(),
            public_key_der: der.to_vec(),
            retired_at: SystemClock.now(),
        };
        let entry = target.entry("signing-key.retire", &found.arn, None, Some(value.clone())).await?;
        target.store.retire(&key, &entry).await?;
        output.result(&format!("the public half of {} is kept, as {kid}", found.arn), &value)
    }
}

impl Settling {
    /// Creates a key, and lets it sign for a product once the functions can use it.
    async fn create_for(
        &self,
        action: &str,
        before: &Product,
        retired: Option<&RetiredKey>,
        target: &Target,
        output: &Output,
    ) -> anyhow::Result<Exit> {
        let key = make(target, Some(before.id)).await?;
        self.wait(target, &key, before.id, output).await;
        let after = Product { signing_key_id: Some(key.clone()), ..before.clone() };
        let updated = update_product(action, [before, &after], retired, target, output).await;
        updated.with_context(|| format!("the key {key} was created, but is not used"))
    }

    /// Waits, if the functions may use only tagged keys.
    async fn wait(&self, target: &Target, key: &SigningKeyId, product_id: ProductId, output: &Output) {
        const SECOND: Duration = Duration::from_secs(1);
        let seconds = self.wait.seconds();
        if target.key_tag.is_none() || seconds == 0 {
            return;
        }
        output.note(&format!(
            "The key {key} is created. It signs in {seconds} seconds, when the functions can use it. If you interrupt \
             the wait, run later: keypool signing-key use {key} --product {product_id}"
        ));
        let progress = output.progress("waiting", Some(seconds));
        for second in 1..=seconds {
            tokio::time::sleep(SECOND).await;
            progress.set(second);
        }
    }
}

/// Creates a key for the stack, and waits until it signs. KMS may take a moment to find a new key everywhere.
async fn make(target: &Target, product_id: Option<ProductId>) -> anyhow::Result<SigningKeyId> {
    const TRIES_MAX: usize = 20;
    const WAIT: Duration = Duration::from_millis(500);
    let what = match product_id {
        Some(id) => format!("keypool: signs for product {id}"),
        None => "keypool: signs for no product yet".to_owned(),
    };
    // The audit trail needs the principal. Fail before a key is created, not after.
    target.principal().await?;
    let made = target.signer.create_key_for(&what, target.key_tag.as_deref()).await;
    let key = made.context("cannot create a key")?;
    for _ in 0..TRIES_MAX {
        match target.signer.signing_key_at_work(&key).await {
            Ok(_) => return Ok(key),
            Err(error) if error.code == "NotFoundException" => tokio::time::sleep(WAIT).await,
            Err(error) => {
                return Err(error).with_context(|| format!("the key {key} was created, but does not sign"));
            }
        }
    }
    bail!("the key {key} was created, but KMS does not find it yet: run `keypool signing-key use` later")
}
