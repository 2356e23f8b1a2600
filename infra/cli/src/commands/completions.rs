use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::Arguments;
use crate::exit::Exit;

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool completions bash > ~/.local/share/bash-completion/completions/keypool\n  \
    keypool completions zsh > ~/.zfunc/_keypool\n  \
    keypool completions fish > ~/.config/fish/completions/keypool.fish")]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let mut command = Arguments::command();
        clap_complete::generate(self.shell, &mut command, "keypool", &mut std::io::stdout());
        Ok(Exit::Done)
    }
}
