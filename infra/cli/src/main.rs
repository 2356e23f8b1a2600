//! The `keypool` command: the embedded stack, and all that an operator does.
//!
//! Each subcommand is one file in `commands`; `target` finds out which table it works on, and who works on it; `cloud`
//! asks AWS what else it knows of a stack; `output` is the only place that prints, for people or, with `--json`, for
//! programs; `view` says how records look in JSON; `http` asks the API; `envelope` reads what it answers, `public_keys`
//! are those it is checked against; `difference` says what changed; `moment` reads times; `advice` tells the way out of
//! an error; `exit` has the exit codes.

mod advice;
mod cloud;
mod commands;
mod difference;
mod envelope;
mod exit;
mod http;
mod moment;
mod output;
mod public_keys;
mod target;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::exit::{HELP, WRONG_ARGUMENTS, WrongArguments};
use crate::output::Output;
use crate::target::TargetOptions;

/// The licence desk of an online shop.
///
/// `keypool local` runs all of it on this machine. The other commands manage products, generators, API keys,
/// signing keys and the stock: of the stack that runs on the data folder or, with --stack or --table, of one on AWS.
/// `keypool target` says which.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = HELP)]
struct Arguments {
    #[command(flatten)]
    target: TargetOptions,
    /// Print JSON, for scripts: one value, or one object a line where a list may be long
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    match arguments.command.run(&arguments.target, output).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            output.error(&error, advice::on(&error, &arguments.target));
            if error.is::<WrongArguments>() { WRONG_ARGUMENTS.into() } else { ExitCode::FAILURE }
        }
    }
}
