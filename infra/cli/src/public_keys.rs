//! The public keys that a response is checked against.

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

/// A public key, and what people call it.
#[derive(Debug)]
pub(crate) struct NamedKey {
    pub(crate) name: String,
    pub(crate) key: PublicKey,
}

/// Which keys to check against, where it is not the target's own.
#[derive(Debug, Args)]
pub(crate) struct KeyOptions {
    /// Check against the public key in this file (PEM); nothing is asked of the target
    #[arg(long, value_name = "FILE", conflicts_with = "jwks")]
    pem: Option<PathBuf>,
    /// Check against the public keys in this file (JSON Web Keys); nothing is asked of the target
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
}

impl KeyOptions {
    /// The keys of the files that were named; `None` if none was.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Vec<NamedKey>>> {
        if let Some(path) = &self.pem {
            let key = PublicKey::from_pem(&read(path)?);
            let key = key.with_context(|| format!("{} is no public key", path.display()))?;
            return Ok(Some(vec![NamedKey { name: format!("the key in {}", path.display()), key }]));
        }
        let Some(path) = &self.jwks else { return Ok(None) };
        let json = String::from_utf8(read(path)?).map_err(|_| anyhow!("{} is no text", path.display()))?;
        let set = JwkSet::from_json(&json).with_context(|| format!("{} holds no keys", path.display()))?;
        let named = |key: &PublicKey| NamedKey {
            name: format!("key {} of {}", key.thumbprint(), path.display()),
            key: key.clone(),
        };
        Ok(Some(set.keys().iter().map(named).collect()))
    }
}

/// The keys of the target that may have signed what was received: the one that signs now, then those that did before.
pub(crate) async fn of_target(
    target: &Target,
    received: &Received,
    product: Option<ProductId>,
) -> anyhow::Result<Vec<NamedKey>> {
    let former = former_of_target(target, received.used, product).await?;
    match present_of_target(target, received.used, product).await {
        Ok(present) => Ok(iter::once(present).chain(former).collect()),
        // What a former key signed can be checked whatever became of the present one.
        Err(_) if received.check(&former).is_ok() => Ok(former),
        Err(error) => Err(error),
    }
}

/// The key that the target signs with: its global key, or that of a product.
pub(crate) async fn present_of_target(
    target: &Target,
    used: PrivateKeyUsed,
    product: Option<ProductId>,
) -> anyhow::Result<NamedKey> {
    let (id, whose) = match (used, product) {
        (PrivateKeyUsed::Global, _) => {
            let id = target.global_signing_key.clone();
            let id = id.context(
                "the target's global signing key is not known: name it with --global-signing-key or --stack",
            )?;
            (id, "the global signing key".to_owned())
        }
        (PrivateKeyUsed::Product, None) => bail!(
            "a product's own key is said to have signed it, but not which product's: name it with --product"
        ),
        (PrivateKeyUsed::Product, Some(product)) => {
            let about = Lookup { product: Some(product), ..Lookup::default() };
            let found = target.store.look_up(about).await?.product;
            let found = found.with_context(|| format!("there is no product {product}"))?;
            let id = found.signing_key_id.with_context(|| {
                format!("product {product} has no signing key of its own: it never had, or has no longer")
            })?;
            (id, format!("the signing key of product {product}"))
        }
    };
    let key = target.signer.public_key(&id).await.with_context(|| format!("{whose} ({id})"))?;
    Ok(NamedKey { name: format!("{whose} ({id})"), key })
}

/// The keys that the target signed with before, the youngest first.
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
            "a former {whose} ({}), which signed until {}",
            kept.signing_key_id,
            to_the_second(kept.retired_at)
        );
        let key = PublicKey::from_der(kept.public_key_der).with_context(|| format!("{name} is spoilt"))?;
        Ok(NamedKey { name, key })
    });
    named.collect()
}

/// No public key, nor a set of them, is larger.
const FILE_BYTES_MAX: u64 = 1_048_576;

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("{} cannot be read", path.display());
    if fs::metadata(path).with_context(failed)?.len() > FILE_BYTES_MAX {
        bail!("{} is larger than 1 MiB: that is no public key", path.display());
    }
    fs::read(path).with_context(failed)
}
