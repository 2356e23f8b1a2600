use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use keypool_domain::ProductId;
use serde_json::{Value, json};

use crate::envelope::{Fault, Received, Said};
use crate::exit::Exit;
use crate::output::{BAD, GOOD, Output, printable};
use crate::public_keys::{KeyOptions, NamedKey, of_target};
use crate::target::TargetOptions;

/// Check the signature of a response, and show the signed content.
///
/// The input is a response as a shop's plugin received it: the whole JSON, with `response`,
/// `response_base64`, `private_key_used` and `signature`. Without --pem and --jwks, the keys of the target
/// are used: the global key or the key of the response's product, and their predecessors.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keypool verify response.json
  curl -s https://api.example.com/api/v1/generate -d @request | keypool verify --pem public-key.pem
  keypool verify response.json --jwks keys.json --json

Exit codes:
  0  the signature is valid
  1  not checked: a file is unreadable, a key is unknown, or AWS does not respond
  4  the signature is wrong, or the input is not an envelope

License keys are not shown, unless --show is given. With --pem or --jwks the command makes no call to AWS. Without \
them it costs one KMS call, a read unit for each former key, and half a read unit to find a product's key, or one \
and a half if the response does not name the product.")]
pub(crate) struct Verify {
    /// The file; `-` or no argument is standard input
    #[arg(default_value = "-", hide_default_value = true)]
    file: PathBuf,
    #[command(flatten)]
    keys: KeyOptions,
    /// The product whose key signed the response, if the response does not name it
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["pem", "jwks"])]
    product: Option<ProductId>,
    /// Show the license keys
    #[arg(long)]
    show: bool,
}

/// The largest input. A response has 6 MB at most.
const BYTES_MAX: u64 = 16 * 1_048_576;

impl Verify {
    pub(crate) async fn run(&self, options: &TargetOptions, output: &Output) -> anyhow::Result<Exit> {
        let given = self.keys.read()?;
        let bytes = self.read(output)?;
        let received = match Received::read(&bytes) {
            Ok(received) => received,
            Err(fault) => {
                self.print(output, None, &Err(fault))?;
                return Ok(Exit::DoesNotHold);
            }
        };
        let keys = match given {
            Some(keys) => keys,
            None if !received.is_signed() => vec![],
            None => self.keys_of_target(options, &received).await?,
        };
        let checked = received.check(&keys);
        self.print(output, Some(&received), &checked)?;
        Ok(if checked.is_ok() { Exit::Done } else { Exit::DoesNotHold })
    }

    async fn keys_of_target(
        &self,
        options: &TargetOptions,
        received: &Received,
    ) -> anyhow::Result<Vec<NamedKey>> {
        let target = options.open().await?;
        let mut product = self.product.or_else(|| received.said.product());
        // A response with generated keys does not name their product, but the table does.
        if let (None, Some(key)) = (product, received.said.a_license_key()) {
            product = target.store.license_key(&key).await?.map(|key| key.product_id);
        }
        of_target(&target, received, product).await
    }

    fn read(&self, output: &Output) -> anyhow::Result<Vec<u8>> {
        let is_input = self.file.as_os_str() == "-";
        let name = if is_input { "standard input".to_owned() } else { self.file.display().to_string() };
        let failed = || format!("cannot read {name}");
        let reader: Box<dyn Read> = if is_input {
            if io::stdin().is_terminal() {
                output.note("Reading the response from standard input; Ctrl-D ends it.");
            }
            Box::new(io::stdin())
        } else {
            Box::new(File::open(&self.file).with_context(failed)?)
        };
        let mut bytes = Vec::new();
        reader.take(BYTES_MAX + 1).read_to_end(&mut bytes).with_context(failed)?;
        if bytes.len() as u64 > BYTES_MAX {
            bail!("{name} is larger than 16 MiB: it is not a response");
        }
        Ok(bytes)
    }

    fn print(
        &self,
        output: &Output,
        received: Option<&Received>,
        checked: &Result<&NamedKey, Fault>,
    ) -> anyhow::Result<()> {
        if output.is_json() {
            return output.value(&self.value(received, checked));
        }
        match checked {
            Ok(named) => output.line(&format!("{GOOD}valid{GOOD:#}         signed by {}", named.name))?,
            Err(Fault(reason)) => output.line(&format!("{BAD}invalid:{BAD:#} {reason}"))?,
        }
        let Some(received) = received else { return Ok(()) };
        if let Ok(named) = checked {
            output.line(&format!("kid           {}", named.key.thumbprint()))?;
        } else {
            output.line("Its response_base64 claims the following. Do not trust it:")?;
        }
        output.line(&format!("key used      {}", received.used.as_str()))?;
        self.print_said(output, &received.said)
    }

    fn print_said(&self, output: &Output, said: &Said) -> anyhow::Result<()> {
        let code = said.code().map_or_else(|| "none".to_owned(), |code| code.to_string());
        output.line(&format!("code          {code} {}", said.message()))?;
        let at = said.at().map_or_else(|| "unknown".to_owned(), |at| at.to_string());
        output.line(&format!("time          {at}"))?;
        for (name, count) in said.counts() {
            output.line(&format!("{name:13} {count}"))?;
        }
        let keys = said.license_keys();
        if !keys.is_empty() {
            let product = said.product().map_or_else(String::new, |id| format!(" of product {id}"));
            output.line(&format!("license keys  {}{product}", keys.len()))?;
        }
        if self.show {
            for key in keys {
                output.line(&format!("  {}", printable(key)))?;
            }
        }
        Ok(())
    }

    fn value(&self, received: Option<&Received>, checked: &Result<&NamedKey, Fault>) -> Value {
        let mut value = json!({
            "holds": checked.is_ok(),
            "fault": checked.as_ref().err().map(|Fault(reason)| reason),
            "key": checked.as_ref().ok().map(|named| &named.name),
            "kid": checked.as_ref().ok().map(|named| named.key.thumbprint()),
            "private_key_used": received.map(|received| received.used.as_str()),
            "says": received.map(|received| received.said.summary()),
        });
        if let (true, Some(received)) = (self.show, received) {
            value["response"] = received.said.value().clone();
        }
        value
    }
}
