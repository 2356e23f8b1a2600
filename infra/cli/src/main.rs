//! The `keypool` command: the embedded stack, and the tools of an operator.
//!
//! Each subcommand is one file or folder in `commands`. There, `catalogue` is the common part of products,
//! generators and API keys, and `change` changes many records. `target` opens the table and identifies the
//! operator. `cloud` asks AWS for further facts about a stack. Only `output` prints: for people or, with
//! `--json`, for programs. `view` renders orders and owners. `http` calls the API, `envelope` reads its
//! responses, and `public_keys` finds the keys to check them with. `difference` describes changes, `moment`
//! parses times, `advice` suggests remedies for errors, and `exit` defines the exit codes.

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

use anyhow::Error;
use clap::Parser;
use tokio::runtime::Runtime;

use crate::commands::Command;
use crate::exit::{HELP, WRONG_ARGUMENTS, WrongArguments};
use crate::output::Output;
use crate::target::TargetOptions;

/// The license desk of an online shop.
///
/// `keypool local` runs the whole stack on this machine. The other commands manage products, generators, API
/// keys, signing keys and the stock. By default they act on the local stack of the data folder; --stack or
/// --table selects a stack or table on AWS. `keypool target` shows the selection.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = HELP)]
struct Arguments {
    #[command(flatten)]
    target: TargetOptions,
    /// Print JSON for scripts: one value, or one object per line for long lists
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            Output::new(false).error(&Error::new(error).context("cannot start threads"), None);
            return ExitCode::FAILURE;
        }
    };
    let exit = runtime.block_on(run());
    // Does not wait for subcommands that the console has started.
    runtime.shutdown_background();
    exit
}

async fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    match arguments.command.run(&arguments.target, &output).await {
        Ok(exit) => exit.into(),
        Err(error) => {
            output.error(&error, advice::on(&error, &arguments.target));
            if error.is::<WrongArguments>() { WRONG_ARGUMENTS.into() } else { ExitCode::FAILURE }
        }
    }
}
