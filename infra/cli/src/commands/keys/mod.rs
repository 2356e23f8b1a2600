//! The stock: what an operator does with license keys.

mod import;

use clap::Subcommand;

use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Put many keys into stock, from a CSV, text or JSON lines file
    Import(import::Import),
}

impl Keys {
    pub(crate) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        match self {
            Self::Import(import) => import.run(target, output).await,
        }
    }
}
