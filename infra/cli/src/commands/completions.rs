use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::Arguments;
use crate::exit::Exit;
use crate::output::Output;

/// Print the completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool completions bash > ~/.local/share/bash-completion/completions/keypool\n  \
    keypool completions zsh > ~/.zfunc/_keypool\n  \
    keypool completions fish > ~/.config/fish/completions/keypool.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, output: &Output) -> anyhow::Result<Exit> {
        let (mut command, mut script) = (Arguments::command(), Vec::new());
        clap_complete::generate(self.shell, &mut command, "keypool", &mut script);
        output.line(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Exit::Done)
    }
}
