//! License keys: what an operator asks of them and does to them.

mod change;
mod export;
mod list;
mod select;
mod show;

use clap::Subcommand;

use crate::exit::Exit;
use crate::output::Output;
use crate::target::Target;

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Show all that is known of license keys
    Show(show::Show),
    /// List license keys, a page at a time
    List(list::List),
    /// Write license keys to a file or to standard output, as CSV or JSON lines
    Export(export::Export),
    /// Put license keys out of use
    Block(change::Block),
    /// Put blocked license keys in use again
    Unblock(change::Unblock),
    /// Put license keys back into stock that are set aside or, if you say so, an owner's
    Release(change::Release),
    /// Give license keys to an owner, by name
    Assign(change::Assign),
}

impl Keys {
    pub(crate) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        match self {
            Self::Show(show) => show.run(target, output).await,
            Self::List(list) => list.run(target, output).await,
            Self::Export(export) => export.run(target, output).await,
            Self::Block(block) => block.run(target, output).await,
            Self::Unblock(unblock) => unblock.run(target, output).await,
            Self::Release(release) => release.run(target, output).await,
            Self::Assign(assign) => assign.run(target, output).await,
        }
    }
}
