//! Commands for the time after a point-in-time restore.

mod block;
mod check;
mod lines;
mod sales;

use clap::Subcommand;

use crate::exit::Exit;
use crate::output::Output;
use crate::target::TargetOptions;

#[derive(Debug, Subcommand)]
pub(crate) enum Restore {
    Check(check::Check),
}

impl Restore {
    pub(crate) async fn run(&self, options: &TargetOptions, output: &Output) -> anyhow::Result<Exit> {
        match self {
            Self::Check(check) => check.run(&options.open().await?, output).await,
        }
    }
}
