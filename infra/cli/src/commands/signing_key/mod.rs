mod change;
mod list;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use keypool_domain::{Clock as _, Product, RetiredKey, SigningKeyId, SystemClock};
use keypool_signing::{Signer, SigningKey};

use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a KMS key and let it sign for a product
    #[command(after_help = "Examples:\n  \
        keypool signing-key create --product 42\n  \
        keypool signing-key create                # for no product yet\n\n\
        With --stack the key gets the tag that lets the stack's functions use it. It signs five minutes later, because \
        AWS may take that long to apply the tag, and the product could not be sold meanwhile. Needs the permissions \
        kms:CreateKey, kms:TagResource, kms:GetPublicKey and kms:Sign. AWS KMS charges 1 USD a month for a key.\n\
        No public key that you published before verifies the new signatures: publish the new one, \
        `keypool signing-key public-key --product 42`.")]
    Create(change::Create),
    /// Let an existing KMS key sign for a product, after a test
    #[command(after_help = "Example:\n  \
        keypool signing-key use arn:aws:kms:eu-central-1:123456789012:key/6f0f… --product 42\n\n\
        The key must be RSA_2048 and SIGN_VERIFY. The public half of the product's former key is kept. \
        Warm functions sign with the former key for up to 60 more seconds.")]
    Use(change::Use),
    /// List the current and former signing keys
    #[command(after_help = "Examples:\n  \
        keypool signing-key list\n  \
        keypool --stack shop signing-key list --json | jq -r '.[] | [.kid, .signing_key] | @tsv'\n\n\
        Exit code 4: KMS does not return the public half of a current key.\n\
        Costs a KMS call for each current key, and a read unit for each product and each former key.")]
    List,
    /// Print public keys for checking responses: PEM, or a JSON Web Key Set
    #[command(after_help = "Examples:\n  \
        keypool signing-key public-key > global.pem\n  \
        keypool signing-key public-key --product 42 > product-42.pem\n  \
        keypool signing-key public-key --jwks > keys.json    # all current and former keys\n\n\
        PEM is the current key. The JSON Web Key Set (RFC 7517) has every key that may have signed a response; the `kid` \
        of a key is its thumbprint (RFC 7638).")]
    PublicKey(list::PublicKey),
    /// Create a new KMS key for a product, and keep the public half of the old one
    #[command(after_help = "Example:\n  \
        keypool signing-key rotate --product 42\n\n\
        With --stack the new key signs five minutes later, because AWS may take that long to let the functions use it. \
        Warm functions sign with the old key for up to 60 more seconds. Clients that check responses then need the new \
        key: publish `keypool signing-key public-key --product 42 --jwks`, which has both.\n\
        The global key belongs to the deployment: docs/rotating-keys.md says how to replace it.")]
    Rotate(change::Rotate),
    /// Keep the public half of a former global key
    #[command(after_help = "Example after a deployment with another global key:\n  \
        keypool signing-key retire arn:aws:kms:eu-central-1:123456789012:key/6f0f…\n\n\
        Costs 6 write units.")]
    Retire(change::Retire),
}

impl Command {
    pub(crate) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
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

/// Checks that a key signs, and that the functions of the stack may use it.
pub(super) async fn fit(target: &Target, key: &SigningKeyId) -> anyhow::Result<SigningKey> {
    let found = target.signer.signing_key_at_work(key).await;
    let found = found.with_context(|| format!("cannot sign with {key}"))?;
    let Some(stack) = &target.key_tag else { return Ok(found) };
    let tagged = target.signer.stack_of(&found.arn).await;
    if tagged.with_context(|| format!("cannot read the tags of {key}"))?.as_ref() != Some(stack) {
        bail!(
            "{key} lacks the tag that lets the stack's functions use it; add it: aws kms tag-resource --key-id {} \
             --tags TagKey={},TagValue={stack}",
            found.arn,
            Signer::TAG,
        );
    }
    Ok(found)
}

/// The product's own key that `after` no longer has, to be kept. `None` if it had none, or keeps it.
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
            "cannot keep the public half of {old}, the key of product {}: KMS does not return it. Without it, nobody \
             can check earlier responses (`keypool signing-key use --lose-old-key` accepts that)",
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
