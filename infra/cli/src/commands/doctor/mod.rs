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
use crate::target::TargetOptions;

/// Check the stack, and suggest a remedy for each fault.
///
/// The doctor checks the table, the signing keys, the products, the API keys, open orders, the clock and the
/// API. On AWS it also checks the last runs of the sweep, the alarms and the account's quotas. It changes
/// nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keypool doctor
  keypool --stack shop doctor
  keypool doctor --json | jq '.checks[] | select(.level != \"ok\")'

A fault loses sales or responses and must be fixed. A warning means that this will happen, or may.

Exit codes:
  0  no fault; there may be warnings
  1  not checked: no such target, or no credentials
  4  at least one fault

Costs a read unit for each product, generator and API key, one more for each API key with a limit, half a read unit \
for each product's stock, a read unit for the open orders, two KMS calls for each signing key (one signs a text that \
is not a response), and one API request without an API key; on AWS also three CloudWatch metrics. A call that these \
credentials do not permit is a warning that names the missing permission: the functions have their own roles.")]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(&self, options: &TargetOptions, output: &Output) -> anyhow::Result<Exit> {
        let target = options.open().await?;
        let mut report = Report::new(&target, options, output);
        clock::check(&mut report).await?;
        if table::check(&mut report).await? {
            catalogue::check(&mut report).await?;
            table::check_orders(&mut report).await?;
        }
        signing::check_global(&mut report).await?;
        api::check(&mut report).await?;
        cloud::check(&mut report).await?;
        report.end()
    }
}
