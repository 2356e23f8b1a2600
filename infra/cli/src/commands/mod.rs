//! The subcommands.

mod api_key;
mod audit;
mod call;
mod change;
mod completions;
mod doctor;
mod generator;
mod keys;
mod local;
mod orders;
mod owner;
mod product;
mod restore;
mod signing_key;
mod stock;
mod target;
mod verify;

use clap::Subcommand;
use keypool_store::{Counter, Store};

use crate::exit::Exit;
use crate::output::Output;
use crate::target::TargetOptions;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Local(local::Local),
    /// Set up products, list and change them
    #[command(subcommand)]
    Product(product::Product),
    /// Set up generators, which make license keys, list and change them
    #[command(subcommand)]
    Generator(generator::Generator),
    /// Set up API keys, which open the API, list, change and replace them
    #[command(subcommand)]
    ApiKey(api_key::ApiKey),
    /// Make, choose and replace the keys that sign responses, and hand out their public halves
    #[command(subcommand)]
    SigningKey(signing_key::SigningKey),
    /// Put license keys into stock, look at them, change them
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Look at queued orders, have a shop told again, end an order that waits
    #[command(subcommand)]
    Orders(orders::Orders),
    /// Show what is stored of an owner, and erase it
    #[command(subcommand)]
    Owner(owner::Owner),
    Stock(stock::Stock),
    /// Make a restored table fit to sell from
    #[command(subcommand)]
    Restore(restore::Restore),
    Audit(audit::Audit),
    Verify(verify::Verify),
    Call(Box<call::Call>),
    Doctor(doctor::Doctor),
    /// Say which table the other commands work on, and as whom
    #[command(after_help = "Examples:\n  \
        keypool target\n  \
        keypool target --stack shop --region eu-central-1 --json")]
    Target,
    Completions(completions::Completions),
}

impl Command {
    pub(crate) async fn run(&self, options: &TargetOptions, output: Output) -> anyhow::Result<Exit> {
        match self {
            Self::Local(local) => local.run(&options.data_dir, output).await,
            Self::Product(product) => product.run(&options.open().await?, output).await,
            Self::Generator(generator) => generator.run(&options.open().await?, output).await,
            Self::ApiKey(api_key) => api_key.run(&options.open().await?, output).await,
            Self::Keys(keys) => keys.run(&options.open().await?, output).await,
            Self::Orders(orders) => orders.run(&options.open().await?, output).await,
            Self::Owner(owner) => owner.run(&options.open().await?, output).await,
            Self::Stock(stock) => stock.run(&options.open().await?, output).await,
            Self::Restore(restore) => restore.run(options, output).await,
            Self::Verify(verify) => verify.run(options, output).await,
            Self::Call(call) => call.run(options, output).await,
            Self::Doctor(doctor) => doctor.run(options, output).await,
            Self::SigningKey(signing_key) => signing_key.run(&options.open().await?, output).await,
            Self::Audit(audit) => audit.run(&options.open().await?, output).await,
            Self::Target => target::run(&options.open().await?, output).await,
            Self::Completions(completions) => completions.run(output),
        }
    }
}

/// How many ids that were chosen by hand are stepped over to find a free one.
const IDS_TRIED_MAX: usize = 1_000;

/// The next id of a counter, as the type it is for.
async fn next_id<T: TryFrom<u64>>(store: &Store, counter: Counter) -> anyhow::Result<T> {
    let id = store.next_id(counter).await?;
    T::try_from(id).map_err(|_| anyhow::anyhow!("there are no more ids"))
}
