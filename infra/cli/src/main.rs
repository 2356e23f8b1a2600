//! The `keypool` command: the embedded stack, and what an operator sets up.
//!
//! Each subcommand is one file in `commands`; `target` finds out which table it works on; `output` is the
//! only place that prints.

mod commands;
mod output;
mod target;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::target::TargetOptions;

/// The licence desk of an online shop.
///
/// `keypool local` runs all of it on this machine. The other commands set up products, generators and API
/// keys, in the stack that runs on the data folder or, with --table, on AWS.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    target: TargetOptions,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 not done, standard error says why; 2 wrong arguments.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command.run(&arguments.target).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
