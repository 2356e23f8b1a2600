mod create;
mod list;
mod public_key;
mod retire;
mod rotate;
mod settle;
mod use_key;

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use keypool_domain::{Clock as _, Product, ProductId, RetiredKey, SigningKeyId, SystemClock};
use keypool_signing::{Signer, SigningKey as Found};

use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum SigningKey {
    /// Make a KMS key and let it sign for a product
    #[command(after_help = "Examples:\n  \
        keypool signing-key create --product 42\n  \
        keypool signing-key create                # makes one that is used nowhere yet\n\n\
        With --stack the key gets the tag by which the stack's functions may use it, and signs five minutes later, when AWS \
        surely heeds the tag: until then the product would get no answers. Needs the permissions \
        kms:CreateKey, kms:TagResource, kms:GetPublicKey and kms:Sign. A key of AWS KMS costs 1 USD a month.\n\
        What the product signs with it verifies with no key that was handed out before: hand out the new one, \
        `keypool signing-key public-key --product 42`.")]
    Create(create::Create),
    /// Let a KMS key that is there sign for a product; it is tried first
    #[command(after_help = "Example:\n  \
        keypool signing-key use arn:aws:kms:eu-central-1:123456789012:key/6f0f… --product 42\n\n\
        The key must be of RSA_2048 and SIGN_VERIFY. The public half of the one the product had is kept. \
        Functions that are warm sign with that one for up to 60 seconds longer.")]
    Use(use_key::Use),
    /// List the keys that sign, and those that did
    #[command(after_help = "Examples:\n  \
        keypool signing-key list\n  \
        keypool --stack shop signing-key list --json | jq -r '.[] | [.kid, .signing_key] | @tsv'\n\n\
        Exit code 4 if KMS does not give the public half of a key that is in use.\n\
        Costs a call of KMS for each key in use, and a read unit for each product and each key that signed before.")]
    List,
    /// Print public keys, to check responses by: PEM, or a set of JSON Web Keys
    #[command(after_help = "Examples:\n  \
        keypool signing-key public-key > global.pem\n  \
        keypool signing-key public-key --product 42 > product-42.pem\n  \
        keypool signing-key public-key --jwks > keys.json    # all of them, those that signed before too\n\n\
        PEM is the key that signs now. The set of JSON Web Keys (RFC 7517) has every key that a response may have been \
        signed by; a key's `kid` is its thumbprint (RFC 7638).")]
    PublicKey(public_key::PublicKey),
    /// Make a new KMS key for a product, and keep the public half of the old one
    #[command(after_help = "Example:\n  \
        keypool signing-key rotate --product 42\n\n\
        With --stack the new key signs five minutes later, when the functions may surely use it. Functions that are warm \
        sign with the old key for up to 60 seconds longer. Whoever checks responses needs the new key from then on: hand out `keypool signing-key public-key --product 42 --jwks`, which has both.\n\
        The global key belongs to the deployment: docs/rotating-keys.md says how it is replaced.")]
    Rotate(rotate::Rotate),
    /// Keep the public half of a global key that signs no more
    #[command(after_help = "Example, after a deployment with another global key:\n  \
        keypool signing-key retire arn:aws:kms:eu-central-1:123456789012:key/6f0f…\n\n\
        Costs 6 write units.")]
    Retire(retire::Retire),
}

impl SigningKey {
    pub(crate) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        match self {
            Self::Create(create) => create.run(target, output).await,
            Self::Use(use_key) => use_key.run(target, output).await,
            Self::List => list::list(target, output).await,
            Self::PublicKey(public_key) => public_key.run(target, output).await,
            Self::Rotate(rotate) => rotate.run(target, output).await,
            Self::Retire(retire) => retire.run(target, output).await,
        }
    }
}

/// Makes sure that a key signs, and that the functions of the stack may use it.
pub(super) async fn fit(target: &Target, key: &SigningKeyId) -> anyhow::Result<Found> {
    let found = target.signer.signing_key_at_work(key).await;
    let found = found.with_context(|| format!("{key} cannot be used as a signing key"))?;
    let Some(stack) = &target.key_tag else { return Ok(found) };
    let tagged = target.signer.stack_of(&found.arn).await;
    if tagged.with_context(|| format!("the tags of {key} cannot be read"))?.as_ref() != Some(stack) {
        bail!(
            "{key} lacks the tag by which the stack's functions may use it; give it: aws kms tag-resource --key-id {} \
             --tags TagKey={},TagValue={stack}",
            found.arn,
            Signer::TAG,
        );
    }
    Ok(found)
}

/// Makes a key for the stack, and waits until it can be used: KMS may take a moment until it knows a new key everywhere.
async fn make(target: &Target, product_id: Option<ProductId>) -> anyhow::Result<SigningKeyId> {
    const TRIES_MAX: usize = 20;
    const WAIT: Duration = Duration::from_millis(500);
    let what = match product_id {
        Some(id) => format!("keypool: signs for product {id}"),
        None => "keypool: signs for no product yet".to_owned(),
    };
    // Who it is has to be known for the audit trail, and better before a key is made than after.
    target.principal().await?;
    let made = target.signer.create_key_for(&what, target.key_tag.as_deref()).await;
    let key = made.context("no key could be made")?;
    for _ in 0..TRIES_MAX {
        match target.signer.signing_key_at_work(&key).await {
            Ok(_) => return Ok(key),
            Err(error) if error.code == "NotFoundException" => tokio::time::sleep(WAIT).await,
            Err(error) => {
                return Err(error).with_context(|| format!("the key {key} was made, but does not sign"));
            }
        }
    }
    bail!("the key {key} was made, but KMS does not find it yet: give it to `keypool signing-key use` later")
}

/// The key that a product is about to sign with no more, to be kept; `None` if it was the global one, or stays.
pub(super) async fn retired(
    target: &Target,
    before: &Product,
    after: &Product,
) -> anyhow::Result<Option<RetiredKey>> {
    let Some(old) = before.signing_key_id.as_ref().filter(|old| after.signing_key_id.as_ref() != Some(*old))
    else {
        return Ok(None);
    };
    let found = target.signer.signing_key(old).await.with_context(|| {
        format!(
            "the public half of {old}, which signed for product {} until now, cannot be kept: KMS does not give it, and \
             what it signed could not be checked any more (`keypool signing-key use` has --lose-old-key for that)",
            before.id
        )
    })?;
    Ok(Some(RetiredKey {
        product_id: Some(before.id),
        signing_key_id: found.arn,
        public_key_der: found.public_key.der().to_vec(),
        retired_at: SystemClock.now(),
    }))
}
