use std::time::Duration;

use clap::Args;
use keypool_domain::{ProductId, SigningKeyId};

use crate::moment::Span;
use crate::output::Output;
use crate::target::Target;

/// The wait between creating a key and using it. Its tag lets the functions use it, and KMS may take five
/// minutes to apply a tag. Until then, requests for a product with that key would fail.
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/abac.html>.)
#[derive(Debug, Args)]
pub(super) struct Settling {
    /// With --stack: the wait before the new key signs, because AWS may take five minutes to let the
    /// functions use it; 0 does not wait
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    wait: Span,
}

impl Settling {
    /// Waits, if the functions may use only tagged keys.
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
