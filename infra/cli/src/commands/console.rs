use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser};
use futures_util::FutureExt as _;
use keypool_console::{Access, Commands, Console as Pages, Ended, Run};
use keypool_domain::OperatingSystemRandomness;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use super::Command;
use crate::advice;
use crate::exit::{Exit, WRONG_ARGUMENTS, WrongArguments};
use crate::output::Output;
use crate::target::{Place, Target, TargetOptions};

/// Open the shop's license desk in a browser.
///
/// The console shows the stock, finds keys and orders, and changes them with your credentials. It listens on
/// this machine only. The link that it prints works once; open it in the browser that you will use.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        keypool console\n  \
        keypool console --port 9100 --no-open\n  \
        keypool --stack shop console\n\n\
        Ctrl-C stops it. A running import is interrupted; the import page continues it.")]
pub(crate) struct Console {
    /// The port on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Print the link, and open no browser
    #[arg(long)]
    no_open: bool,
}

/// The time that running requests get to finish when the console stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

impl Console {
    pub(crate) async fn run(&self, options: &TargetOptions, output: &Output) -> anyhow::Result<Exit> {
        // Fails here, not in a page, if there is no such target or the operator is unknown.
        let target = options.open().await?;
        let region = match &target.place {
            Place::Aws(aws) if !options.has_region() => format!(" in {}", aws.region()),
            _ => String::new(),
        };
        let shown = format!("{options}{region}, as {}", target.principal().await?);
        let commands = in_process(options.clone(), shown, output);
        let files = files_of(options, &target).await?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await;
        let listener =
            listener.with_context(|| format!("cannot listen on port {} of 127.0.0.1", self.port))?;
        let access = access(listener.local_addr()?.port(), output);
        let link = access.link();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let pages = Pages::new(access, commands, &files);
        let served = axum::serve(listener, pages.router()).with_graceful_shutdown(stopped.map(|_| ()));
        let mut served = tokio::spawn(served.into_future());
        output.result(&format!("ready {link}"), &json!({"ready": link}))?;
        // The file is removed when the console ends.
        let _page = if self.no_open { None } else { open(&link, output) };
        tokio::select! {
            ended = &mut served => return Ok(ended?.map(|()| Exit::Done)?),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        drop(stop);
        // Requests that have not ended by then wait for a subcommand.
        let _ = tokio::join!(tokio::time::timeout(STOP_WITHIN, served), pages.stop());
        output.note("stopped");
        Ok(Exit::Done)
    }
}

/// The access to a console on `port`. `output` shows each new link.
pub(super) fn access(port: u16, output: &Output) -> Arc<Access> {
    let output = output.clone();
    let show = move |link: &str| output.note(&format!("The link was used. For another browser: {link}"));
    Arc::new(Access::new(port, Arc::new(OperatingSystemRandomness), show))
}

/// The folder for files that the console receives, such as imports. Each table on AWS has its own, so that a
/// file is not imported into another table by mistake.
async fn files_of(options: &TargetOptions, target: &Target) -> anyhow::Result<PathBuf> {
    Ok(match target.place {
        Place::Local(_) => local_files(options),
        Place::Aws(_) => options.data_dir.join("console").join(target.store.table_id().await?),
    })
}

/// The folder for files that the console of the local stack receives.
pub(super) fn local_files(options: &TargetOptions) -> PathBuf {
    options.data_dir.join("console/local")
}

/// Opens the link in the user's browser. Other users of the machine see the arguments of a process, so the
/// browser gets the name of a temporary file, which only this user can read, and the file has the link.
fn open(link: &str, output: &Output) -> Option<NamedTempFile> {
    let write = || -> std::io::Result<NamedTempFile> {
        let mut page = tempfile::Builder::new().prefix("keypool-console-").suffix(".html").tempfile()?;
        // A link has no character that HTML treats specially.
        writeln!(
            page,
            "<!doctype html><title>keypool</title><meta http-equiv=refresh content=\"0;url={link}\">"
        )?;
        Ok(page)
    };
    let opened = write().and_then(|page| ::open::that_detached(page.path()).map(|()| page));
    if let Err(error) = &opened {
        output.note(&format!("cannot start a browser ({error}): open the link yourself"));
    }
    opened.ok()
}

/// The arguments of a subcommand, without the options that select a target.
#[derive(Debug, Parser)]
#[command(name = "keypool", no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// Runs subcommands in this process, on the target that `options` select. The pages show it as `target`.
pub(super) fn in_process(options: TargetOptions, target: String, output: &Output) -> Commands {
    let (options, terminal) = (Arc::new(options), output.clone());
    let start = move |arguments| {
        let (events, received) = unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let (options, output) = (Arc::clone(&options), Output::to_console(events, stopped));
        // A thread of its own, because a subcommand may read files and stays on its thread.
        let runtime = Handle::current();
        let ended = tokio::task::spawn_blocking(move || runtime.block_on(run(&options, arguments, &output)));
        let ended = ended.map(|ended| {
            ended.unwrap_or_else(|error| Ended { exit: 1, error: Some(format!("keypool failed: {error}")) })
        });
        Run { events: received, stop, ended: ended.boxed() }
    };
    Commands::new(target, start, move |end| terminal.note(end))
}

async fn run(options: &TargetOptions, arguments: Vec<String>, output: &Output) -> Ended {
    let words: Vec<&str> = arguments.iter().take(2).map(String::as_str).collect();
    let is_reading = matches!(*words, ["stock" | "audit" | "doctor", ..] | [_, "list" | "show"]);
    let command = match Line::try_parse_from(&arguments) {
        Ok(line) => line.command,
        Err(error) => return Ended { exit: WRONG_ARGUMENTS, error: Some(in_short(&error)) },
    };
    // A search that nobody waits for would still read the whole table.
    let ended = tokio::select! {
        ended = command.run(options, output) => ended,
        () = output.interrupted(), if is_reading => Ok(Exit::Interrupted),
    };
    match ended {
        Ok(exit) => Ended { exit: exit.code(), error: None },
        Err(error) => {
            let advice = advice::on(&error, options).map(|advice| format!("; {advice}"));
            let exit = if error.is::<WrongArguments>() { WRONG_ARGUMENTS } else { 1 };
            Ended { exit, error: Some(format!("{error:#}{}", advice.unwrap_or_default())) }
        }
    }
}

/// The error without the hints for a command line.
fn in_short(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ")
}
