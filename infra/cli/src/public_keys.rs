//! The public keys that responses are checked with.

use std::path::{Path, PathBuf};
use std::{fs, iter};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use keypool_domain::{PrivateKeyUsed, ProductId};
use keypool_signing::{JwkSet, PublicKey};
use keypool_store::Lookup;

use crate::envelope::Received;
use crate::moment::to_the_second;
use crate::target::Target;

/// A public key with a name for people.
#[derive(Debug)]
pub(crate) struct NamedKey {
    pub(crate) name: String,
    pub(crate) key: PublicKey,
}

/// The options that replace the target's own public keys.
#[derive(Debug, Args)]
pub(crate) struct KeyOptions {
    /// Check with the public key in this file (PEM); makes no call to the target
    #[arg(long, value_name = "FILE", conflicts_with = "jwks")]
    pem: Option<PathBuf>,
    /// Check with the public keys in this file (JSON Web Key Set); makes no call to the target
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
}

impl KeyOptions {
    /// Reads the keys from the given file; `None` if no file was given.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Vec<NamedKey>>> {
        if let Some(path) = &self.pem {
            let key = PublicKey::from_pem(&read(path)?);
            let key = key.with_context(|| format!("{} is not a public key", path.display()))?;
            return Ok(Some(vec![NamedKey { name: format!("the key in {}", path.display()), key }]));
        }
        let Some(path) = &self.jwks else { return Ok(None) };
        let json = String::from_utf8(read(path)?).map_err(|_| anyhow!("{} is not text", path.display()))?;
        let set = JwkSet::from_json(&json).with_context(|| format!("{} contains no keys", path.display()))?;
        let named = |key: &PublicKey| NamedKey {
            name: format!("key {} of {}", key.thumbprint(), path.display()),
            key: key.clone(),
        };
        Ok(Some(set.keys().iter().map(named).collect()))
    }
}

/// The keys of the target that may have signed a response: the current key, then the former ones.
pub(crate) async fn of_target(
    target: &Target,
    received: &Received,
    product: Option<ProductId>,
) -> anyhow::Result<Vec<NamedKey>> {
    let former = former_of_target(target, received.used, product).await?;
    match present_of_target(target, received.used, product).await {
        Ok(present) => Ok(iter::once(present).chain(former).collect()),
        // A response that a former key signed can be checked without the current key.
        Err(_) if received.check(&former).is_ok() => Ok(former),
        Err(error) => Err(error),
    }
}

/// The key that the target signs with: the global key, or the key of a product.
pub(crate) async fn present_of_target(
    target: &Target,
    used: PrivateKeyUsed,
    product: Option<ProductId>,
) -> anyhow::Result<NamedKey> {
    let (id, whose) = match (used, product) {
        (PrivateKeyUsed::Global, _) => {
            let id = target.global_signing_key.clone();
            let id = id.context(
                "the target's global signing key is unknown: give --global-signing-key or --stack",
            )?;
            (id, "the global signing key".to_owned())
        }
        (PrivateKeyUsed::Product, None) => {
            bail!("the response claims a product's own key, but not which product: give --product")
        }
        (PrivateKeyUsed::Product, Some(product)) => {
            let about = Lookup { product: Some(product), ..Lookup::default() };
            let found = target.store.look_up(about).await?.product;
            let found = found.with_context(|| format!("there is no product {product}"))?;
            let id = found
                .signing_key_id
                .with_context(|| format!("product {product} has no signing key of its own now"))?;
            (id, format!("the signing key of product {product}"))
        }
    };
    let key = target.signer.public_key(&id).await.with_context(|| format!("{whose} ({id})"))?;
    Ok(NamedKey { name: format!("{whose} ({id})"), key })
}

/// The keys that the target signed with before, latest first.
async fn former_of_target(
    target: &Target,
    used: PrivateKeyUsed,
    product: Option<ProductId>,
) -> anyhow::Result<Vec<NamedKey>> {
    let product = product.filter(|_| used == PrivateKeyUsed::Product);
    if used == PrivateKeyUsed::Product && product.is_none() {
        return Ok(vec![]);
    }
    let whose =
        product.map_or_else(|| "global signing key".to_owned(), |id| format!("signing key of product {id}"));
    let kept = target.store.retired_keys().await?;
    let named = kept.into_iter().rev().filter(|kept| kept.product_id == product).map(|kept| {
        let name = format!(
            "a former {whose} ({}), in use until {}",
            kept.signing_key_id,
            to_the_second(kept.retired_at)
        );
        let key = PublicKey::from_der(kept.public_key_der).with_context(|| format!("{name} is corrupt"))?;
        Ok(NamedKey { name, key })
    });
    named.collect()
}

/// The largest file that is read as a public key or a set of them.
const FILE_BYTES_MAX: u64 = 1_048_576;

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    if fs::metadata(path).with_context(failed)?.len() > FILE_BYTES_MAX {
        bail!("{} is larger than 1 MiB: it is not a public key", path.display());
    }
    fs::read(path).with_context(failed)
}
