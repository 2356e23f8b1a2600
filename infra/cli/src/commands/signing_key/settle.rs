use std::time::Duration;

use clap::Args;
use keypool_domain::{ProductId, SigningKeyId};

use crate::moment::Span;
use crate::output::Output;
use crate::target::Target;

/// Between making a key and letting it sign. Functions may use it by its tag, and KMS may take five minutes to heed one; until
/// then a product with that key would get no answer at all.
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/abac.html>.)
#[derive(Debug, Args)]
pub(super) struct Settling {
    /// With --stack: how long to wait before the new key signs; AWS may take five minutes until functions may use it. 0 is
    /// not at all
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    wait: Span,
}

impl Settling {
    /// Waits, where functions go by a tag.
    pub(super) async fn wait(
        &self,
        target: &Target,
        key: &SigningKeyId,
        product_id: ProductId,
        output: Output,
    ) {
        const SECOND: Duration = Duration::from_secs(1);
        let seconds = self.wait.seconds();
        if target.key_tag.is_none() || seconds == 0 {
            return;
        }
        output.note(&format!(
            "The key {key} is made. It signs in {seconds} seconds, when the functions may surely use it; if this is \
             interrupted: keypool signing-key use {key} --product {product_id}"
        ));
        let progress = output.progress("waiting", Some(seconds));
        for second in 1..=seconds {
            tokio::time::sleep(SECOND).await;
            progress.set(second);
        }
    }
}
