mod api;
mod catalogue;
mod clock;
mod cloud;
mod report;
mod signing;
mod table;

use clap::Args;

use self::report::Report;
use crate::exit::Exit;
use crate::output::Output;
use crate::target::{Target, TargetOptions};

/// Check that all is as it must be, and say the way out where it is not.
///
/// Looks at the table, the signing keys, the products, the API keys, open orders, the clock and the API; of a stack on
/// AWS also at the last runs of its sweep, its alarms and the account's quotas. It changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keypool doctor
  keypool --stack shop doctor
  keypool doctor --json | jq '.checks[] | select(.level != \"ok\")'

A fault is what loses money or answers: it must be put right. A warning is what will, or may.

Exit codes:
  0  no fault; there may be warnings
  1  not checked: there is no such target, or no credentials
  4  there is a fault

It costs a read unit for each product, generator and API key, one more for each API key with a limit, half a one for each product's stock, a read unit for \
the open orders, two calls of KMS for each signing key (one is a signature, of a text that is no response), and one \
request to the API, without an API key; on AWS three metrics of CloudWatch as well. A call that these credentials may not make is a warning, and says which \
permission is missing: the functions have roles of their own.")]
pub(crate) struct Doctor {}

/// What the checks need.
#[derive(Debug, Clone, Copy)]
struct CheckContext<'a> {
    target: &'a Target,
    options: &'a TargetOptions,
}

impl Doctor {
    pub(crate) async fn run(&self, options: &TargetOptions, output: Output) -> anyhow::Result<Exit> {
        let target = options.open().await?;
        let context = CheckContext { target: &target, options };
        let mut report = Report::new(output);
        clock::check(context, &mut report).await?;
        if table::check(context, &mut report).await? {
            catalogue::check(context, &mut report).await?;
            table::check_orders(context, &mut report).await?;
        }
        signing::check_global(context, &mut report).await?;
        api::check(context, &mut report).await?;
        cloud::check(context, &mut report).await?;
        report.end()
    }
}
