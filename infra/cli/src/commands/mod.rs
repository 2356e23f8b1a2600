//! The subcommands.

mod api_key;
mod audit;
mod change;
mod completions;
mod generator;
mod local;
mod product;
mod signing_key;
mod target;

use clap::Subcommand;
use keypool_store::{Counter, Store};

use crate::exit::Exit;
use crate::output::Output;
use crate::target::TargetOptions;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: the API, DynamoDB and KMS
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
    /// Show who changed what by this command, the youngest first
    Audit(audit::Audit),
    /// Say which table the other commands work on, and as whom
    Target,
    /// Print completions for a shell
    Completions(completions::Completions),
}

impl Command {
    pub(crate) async fn run(&self, options: &TargetOptions, output: Output) -> anyhow::Result<Exit> {
        match self {
            Self::Local(local) => local.run(&options.data_dir, output).await,
            Self::Product(product) => product.run(&options.open().await?, output).await,
            Self::Generator(generator) => generator.run(&options.open().await?, output).await,
            Self::ApiKey(api_key) => api_key.run(&options.open().await?, output).await,
            Self::SigningKey(signing_key) => signing_key.run(&options.open().await?, output).await,
            Self::Audit(audit) => audit.run(&options.open().await?, output).await,
            Self::Target => target::run(&options.open().await?, output).await,
            Self::Completions(completions) => completions.run(),
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
