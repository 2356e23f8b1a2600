use anyhow::{Context as _, bail};
use clap::Args;
use keypool_domain::{Clock as _, RetiredKey, SigningKeyId, SystemClock};
use serde_json::json;

use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Args)]
pub(crate) struct Retire {
    /// The former global KMS key: its id, ARN or alias
    #[arg(value_name = "KEY")]
    key: SigningKeyId,
}

impl Retire {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
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
            output.result(&format!("the public half of {} is already kept", found.arn), &value)?;
            return Ok(Exit::Done);
        }
        let key = RetiredKey {
            product_id: None,
            signing_key_id: found.arn.clone(),
            public_key_der: der.to_vec(),
            retired_at: SystemClock.now(),
        };
        let entry = target.entry("signing-key.retire", &found.arn, None, Some(value.clone())).await?;
        target.store.retire(&key, &entry).await?;
        output.result(&format!("the public half of {} is kept, as {kid}", found.arn), &value)?;
        Ok(Exit::Done)
    }
}
