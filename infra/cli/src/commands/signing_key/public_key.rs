use anyhow::Context as _;
use clap::Args;
use keypool_domain::{ProductId, SigningKeyId};
use keypool_signing::{JwkSet, PublicKey as Key};
use serde_json::json;

use super::list::all;
use crate::commands::product;
use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Args)]
pub(crate) struct PublicKey {
    /// Print the key that signs for this product: its own, else the global one
    #[arg(long, value_name = "NUMBER", conflicts_with = "key")]
    product: Option<ProductId>,
    /// Print this key: a KMS id, ARN or alias, or the thumbprint of a listed key
    #[arg(long, value_name = "KEY")]
    key: Option<SigningKeyId>,
    /// Print a JSON Web Key Set with the former keys; without --product and --key, for all products
    #[arg(long)]
    jwks: bool,
}

impl PublicKey {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let keys = match (&self.key, self.product) {
            (Some(key), _) => vec![of_key(target, key).await?],
            (None, Some(id)) if self.jwks => of_product_and_before(target, id).await?,
            (None, Some(id)) => vec![of_product(target, id).await?],
            (None, None) if self.jwks => of_all(target).await?,
            (None, None) => vec![of_global(target).await?],
        };
        if self.jwks {
            output.line(&JwkSet::new(keys).to_json())?;
            if target.global_signing_key.is_none() && self.key.is_none() {
                output.note(
                    "The global key is unknown and not in the set: give --stack or --global-signing-key.",
                );
                return Ok(Exit::Partly);
            }
            return Ok(Exit::Done);
        }
        for key in &keys {
            let pem = key.to_pem();
            output.result(pem.trim_end(), &json!({"pem": pem, "kid": key.thumbprint()}))?;
        }
        Ok(Exit::Done)
    }
}

/// Finds a former key by thumbprint or name, even if KMS has deleted it; else a key that KMS knows; else a
/// listed key by thumbprint.
async fn of_key(target: &Target, key: &SigningKeyId) -> anyhow::Result<Key> {
    for retired in target.store.retired_keys().await? {
        let public_key = Key::from_der(retired.public_key_der)?;
        if retired.signing_key_id == *key || public_key.thumbprint() == key.as_str() {
            return Ok(public_key);
        }
    }
    match target.signer.public_key(key).await {
        Ok(public_key) => Ok(public_key),
        Err(error) => {
            let listed = all(target).await?.into_iter().filter_map(|listed| listed.public_key.ok());
            let mut meant = listed.filter(|public_key| public_key.thumbprint() == key.as_str());
            meant.next().ok_or(error).with_context(|| format!("there is no public key for {key}"))
        }
    }
}

async fn of_global(target: &Target) -> anyhow::Result<Key> {
    let global = target.global_signing_key.as_ref();
    let global = global.context("the global key is unknown: give --stack or --global-signing-key")?;
    Ok(target.signer.public_key(global).await?)
}

async fn of_product(target: &Target, id: ProductId) -> anyhow::Result<Key> {
    match product::find(&target.store, id).await?.signing_key_id {
        Some(own) => Ok(target.signer.public_key(&own).await?),
        None => of_global(target).await,
    }
}

/// The current and the former keys of a product, and all global keys, which may have signed for it before.
async fn of_product_and_before(target: &Target, id: ProductId) -> anyhow::Result<Vec<Key>> {
    let mut keys = vec![of_product(target, id).await?];
    for listed in all(target).await? {
        let global_once = listed.product_id.is_none();
        if listed.product_id == Some(id) || global_once {
            keys.push(listed.public_key?);
        }
    }
    Ok(keys)
}

async fn of_all(target: &Target) -> anyhow::Result<Vec<Key>> {
    let all = all(target).await?.into_iter();
    all.map(|listed| {
        let key = listed.key;
        listed.public_key.with_context(|| format!("cannot read the public half of {key}"))
    })
    .collect()
}
