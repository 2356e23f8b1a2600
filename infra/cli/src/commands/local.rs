use std::path::Path;
use std::sync::OnceLock;

use anyhow::Context as _;
use clap::Args;
use keypool_console::Console;
use keypool_function::{init_logs, log_level};
use keypool_local::{Stack, Storage, demo};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::console::{self, in_process};
use crate::exit::Exit;
use crate::output::Output;
use crate::target::TargetOptions;

/// Run the whole stack on this machine: the API, DynamoDB and KMS.
///
/// The stack runs in this process, on loopback, with demo data. Logs go to standard error, one JSON object
/// per line; `LOG_LEVEL` sets their level (error, warn, info, debug, trace).
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        keypool local\n  \
        keypool local --memory --port 0 --json\n\n\
        Ctrl-C stops it. The data folder keeps the data, unless --memory is given.")]
pub(crate) struct Local {
    /// The port on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Keep the data in memory, and lose it on exit (the data folder then only records the addresses)
    #[arg(long)]
    memory: bool,
}

impl Local {
    pub(crate) async fn run(&self, options: &TargetOptions, output: &Output) -> anyhow::Result<Exit> {
        init_logs(log_level()?, Stack::WARNS_OF_BUSINESS, std::io::stderr).context("cannot start logging")?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let storage = if self.memory { Storage::Memory } else { Storage::Disk };
        let (data_dir, opened) = (options.data_dir.as_path(), OnceLock::new());
        let pages = |port| {
            let access = console::access(port, output);
            let commands = in_process(options.local(), options.local().to_string(), output);
            let link = access.link();
            let console = Console::new(access, commands, &console::local_files(options));
            // The stack asks for the pages once.
            opened.get_or_init(|| (console, link)).0.router()
        };
        let stack = tokio::select! {
            started = Stack::start_with_pages(self.port, data_dir, storage, pages) => started?,
            _ = interrupt.recv() => return Ok(Exit::Done),
            _ = terminate.recv() => return Ok(Exit::Done),
        };
        let base_url = stack.base_url();
        let link = opened.get().map_or("", |(_, link)| link);
        let text = format!("{}\nready {base_url}", welcome(&base_url, link, data_dir, storage));
        output.result(&text, &json!({"ready": base_url, "api_key": demo::API_KEY, "console": link}))?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if let Some((console, _)) = opened.get() {
            console.stop().await;
        }
        stack.stop().await;
        output.note("stopped");
        Ok(Exit::Done)
    }
}

fn welcome(base_url: &str, console: &str, data_dir: &Path, storage: Storage) -> String {
    let kept = match storage {
        Storage::Disk => format!("kept in {}", data_dir.display()),
        Storage::Memory => "kept in memory, lost on exit".to_owned(),
    };
    let api_key = demo::API_KEY;
    format!(
        r#"keypool {version}: the API, DynamoDB and KMS in this process; data {kept}

  base URL     {base_url}
  docs         {base_url}/docs
  console      {console}
               (the link works once)
  API key      {api_key}
  product 1    signed by the global key; generator 1: uuid, activation limit 1, 365 days
  product 2    signed by a key of its own; generator 2: chunk-system, 4 x 4 of 0123456789ABCDEF
  product 3    signed by the global key; no generator
  public keys  {base_url}/public-key.pem
               {base_url}/public-key.pem?product_id=2

Put keys into stock, generate some, assign one by name, assign three at random, find an order, count a stock:

  curl {base_url}/api/v1/create-license-keys -d api_key={api_key} \
    -d 'license_keys=["FIRST-0001","FIRST-0002","FIRST-0003"]' -d product_id=1 \
    -d activation_limit=1 -d validity=365 -d status=available

  curl {base_url}/api/v1/generate -d api_key={api_key} \
    -d generator_id=1 -d quantity=10

  curl {base_url}/api/v1/assign-license-key -d api_key={api_key} \
    -d license_key=FIRST-0001 -d 'owner_name=Test User' -d email=test@example.com

  curl {base_url}/api/v1/random-assign-license-keys -d api_key={api_key} \
    -d product_id=1 -d quantity=3 -d 'owner_name=Test User' -d owner_email=test@example.com -d identifier=31

  curl {base_url}/api/v1/get-license-keys -d api_key={api_key} -d identifier=31

  curl {base_url}/api/v1/get-available-license-keys-count -d api_key={api_key} -d product_id=1
"#,
        version = env!("CARGO_PKG_VERSION"),
    )
}
