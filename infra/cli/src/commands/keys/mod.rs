//! An operator's commands for license keys.

mod change;
mod export;
mod import;
mod list;
mod replace;
mod select;
mod show;

use clap::Subcommand;

use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    Import(import::Import),
    Show(show::Show),
    List(list::List),
    Export(export::Export),
    Block(change::Block),
    Unblock(change::Unblock),
    Release(change::Release),
    Assign(change::Assign),
    Replace(replace::Replace),
}

impl Keys {
    pub(crate) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
        match self {
            Self::Import(import) => import.run(target, output).await,
            Self::Show(show) => show.run(target, output).await,
            Self::List(list) => list.run(target, output).await,
            Self::Export(export) => export.run(target, output).await,
            Self::Block(block) => block.run(target, output).await,
            Self::Unblock(unblock) => unblock.run(target, output).await,
            Self::Release(release) => release.run(target, output).await,
            Self::Assign(assign) => assign.run(target, output).await,
            Self::Replace(replace) => replace.run(target, output).await,
        }
    }
}
