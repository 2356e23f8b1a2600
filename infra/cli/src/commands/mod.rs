//! The subcommands.

mod api_key;
mod generator;
mod local;
mod product;

use clap::Subcommand;
use keypool_store::{Counter, Store};

use crate::target::TargetOptions;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: the API, DynamoDB and KMS
    Local(local::Local),
    /// Set up products and list them
    #[command(subcommand)]
    Product(product::Product),
    /// Set up generators, which make license keys, and list them
    #[command(subcommand)]
    Generator(generator::Generator),
    /// Set up API keys, which open the API, and list them
    #[command(subcommand)]
    ApiKey(api_key::ApiKey),
}

impl Command {
    pub(crate) async fn run(&self, target: &TargetOptions) -> anyhow::Result<()> {
        match self {
            Self::Local(local) => local.run(&target.data_dir).await,
            Self::Product(product) => product.run(&target.open().await?).await,
            Self::Generator(generator) => generator.run(&target.open().await?.store).await,
            Self::ApiKey(api_key) => api_key.run(&target.open().await?.store).await,
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
