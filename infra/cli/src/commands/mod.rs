//! The subcommands.

mod api_key;
mod audit;
mod call;
mod catalogue;
mod change;
mod completions;
mod console;
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

use crate::exit::Exit;
use crate::output::Output;
use crate::target::TargetOptions;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Local(local::Local),
    Console(console::Console),
    /// Create, list and change products
    #[command(subcommand)]
    Product(product::Command),
    /// Create, list and change generators of license keys
    #[command(subcommand)]
    Generator(generator::Command),
    /// Create, list, change and replace API keys
    #[command(subcommand)]
    ApiKey(api_key::Command),
    /// Create, choose and replace the keys that sign responses; print public keys
    #[command(subcommand)]
    SigningKey(signing_key::Command),
    /// Import, show, export and change license keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Show queued orders, repeat callbacks, cancel orders
    #[command(subcommand)]
    Orders(orders::Orders),
    /// Show or erase the data of an owner
    #[command(subcommand)]
    Owner(owner::Owner),
    Stock(stock::Stock),
    /// Prepare a restored table for sales
    #[command(subcommand)]
    Restore(restore::Restore),
    Audit(audit::Audit),
    Verify(verify::Verify),
    Call(Box<call::Call>),
    Doctor(doctor::Doctor),
    /// Show the table that the other commands use, and your identity
    #[command(after_help = "Examples:\n  \
        keypool target\n  \
        keypool target --stack shop --region eu-central-1 --json")]
    Target,
    Completions(completions::Completions),
}

impl Command {
    pub(crate) async fn run(&self, options: &TargetOptions, output: &Output) -> anyhow::Result<Exit> {
        match self {
            Self::Local(local) => local.run(options, output).await,
            Self::Console(console) => console.run(options, output).await,
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
