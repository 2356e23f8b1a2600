use anyhow::Context as _;
use clap::Args;
use keypool_domain::{Product, ProductId, SigningKeyId, Timestamp};
use keypool_signing::{JwkSet, PublicKey as Key};
use serde_json::{Value, json};

use crate::commands::catalogue::find;
use crate::difference::or_nothing;
use crate::exit::Exit;
use crate::moment::to_the_second;
use crate::output::{BAD, Column, Output, Table};
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

/// A current or former signing key, of a product or global.
struct Listed {
    product_id: Option<ProductId>,
    key: SigningKeyId,
    retired_at: Option<Timestamp>,
    /// The public half, or the error on reading it.
    public_key: anyhow::Result<Key>,
}

/// Collects all signing keys: the current ones, the global key first, then the former ones.
async fn all(target: &Target) -> anyhow::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    let global = target.global_signing_key.iter().map(|key| (None, key.clone()));
    let products = target.store.list::<Product>().await?;
    let own = products.iter().filter_map(|product| Some((Some(product.id), product.signing_key_id.clone()?)));
    for (product_id, key) in global.chain(own) {
        let public_key = target.signer.public_key(&key).await.map_err(anyhow::Error::from);
        listed.push(Listed { product_id, key, retired_at: None, public_key });
    }
    for retired in target.store.retired_keys().await? {
        listed.push(Listed {
            product_id: retired.product_id,
            key: retired.signing_key_id,
            retired_at: Some(retired.retired_at),
            public_key: Key::from_der(retired.public_key_der).map_err(anyhow::Error::from),
        });
    }
    Ok(listed)
}

const COLUMNS: &[Column<Listed>] = &[
    ("SIGNS FOR", |listed| {
        listed.product_id.map_or_else(|| "global".to_owned(), |id| format!("product {id}"))
    }),
    ("KEY", |listed| listed.key.to_string()),
    ("THUMBPRINT", |listed| match &listed.public_key {
        Ok(key) => key.thumbprint(),
        Err(error) => format!("{BAD}{error}{BAD:#}"),
    }),
    ("RETIRED", |listed| or_nothing(listed.retired_at.map(to_the_second))),
];

/// Lists the current and the former signing keys.
pub(super) async fn list(target: &Target, output: &Output) -> anyhow::Result<Exit> {
    let all = all(target).await?;
    output.table(&Table::of(&all, COLUMNS), all.iter().map(value_of).collect())?;
    if target.global_signing_key.is_none() {
        output.note("The global key is unknown: give --stack or --global-signing-key.");
    }
    // A signing key without a public half is a fault that stops sales.
    let sound = all.iter().all(|listed| listed.public_key.is_ok());
    Ok(if sound { Exit::Done } else { Exit::DoesNotHold })
}

fn value_of(listed: &Listed) -> Value {
    json!({
        "product_id": listed.product_id,
        "signing_key": listed.key.as_str(),
        "retired_at": listed.retired_at.map(|at| at.to_string()),
        "kid": listed.public_key.as_ref().ok().map(Key::thumbprint),
        "fault": listed.public_key.as_ref().err().map(|error| format!("{error:#}")),
    })
}

impl PublicKey {
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
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
    match find::<Product>(&target.store, id).await?.signing_key_id {
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
