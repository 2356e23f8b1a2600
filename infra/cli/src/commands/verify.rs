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

/// Check the signature of a response, and say what was signed.
///
/// Reads a response as a shop's plugin got it: the whole JSON, with `response`, `response_base64`,
/// `private_key_used` and `signature`. Without --pem and --jwks it is checked against the target's own keys: the
/// global one, or that of the product it is about, and those that signed before them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keypool verify response.json
  curl -s https://api.example.com/api/v1/generate -d @request | keypool verify --pem public-key.pem
  keypool verify response.json --jwks keys.json --json

Exit codes:
  0  it holds
  1  it could not be checked: a file cannot be read, a key is not known, AWS does not answer
  4  it does not hold, or is no envelope

License keys are not shown, unless --show is given. Against --pem or --jwks nothing is asked of AWS; else it costs \
one call of KMS, a read unit for each key that signed before, and to find a product's key half a read unit, or one \
and a half where the response does not name the product.")]
pub(crate) struct Verify {
    /// The file; `-` or nothing is standard input
    #[arg(default_value = "-", hide_default_value = true)]
    file: PathBuf,
    #[command(flatten)]
    keys: KeyOptions,
    /// The product whose key signed it, where the response does not tell
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["pem", "jwks"])]
    product: Option<ProductId>,
    /// Show the license keys, too
    #[arg(long)]
    show: bool,
}

/// No response is larger than 6 MB; what is much larger is something else.
const BYTES_MAX: u64 = 16 * 1_048_576;

impl Verify {
    pub(crate) async fn run(&self, options: &TargetOptions, output: Output) -> anyhow::Result<Exit> {
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
        // Keys that were generated do not say whose they are, but the table knows them.
        if let (None, Some(key)) = (product, received.said.a_license_key()) {
            product = target.store.license_key(&key).await?.map(|key| key.product_id);
        }
        of_target(&target, received, product).await
    }

    fn read(&self, output: Output) -> anyhow::Result<Vec<u8>> {
        let is_input = self.file.as_os_str() == "-";
        let name = if is_input { "standard input".to_owned() } else { self.file.display().to_string() };
        let failed = || format!("{name} cannot be read");
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
            bail!("{name} is larger than 16 MiB: that is no response");
        }
        Ok(bytes)
    }

    fn print(
        &self,
        output: Output,
        received: Option<&Received>,
        checked: &Result<&NamedKey, Fault>,
    ) -> anyhow::Result<()> {
        if output.is_json() {
            return output.value(&self.value(received, checked));
        }
        match checked {
            Ok(named) => output.line(&format!("{GOOD}holds{GOOD:#}         signed by {}", named.name))?,
            Err(Fault(reason)) => output.line(&format!("{BAD}does not hold:{BAD:#} {reason}"))?,
        }
        let Some(received) = received else { return Ok(()) };
        if let Ok(named) = checked {
            output.line(&format!("kid           {}", named.key.thumbprint()))?;
        } else {
            output.line("What its response_base64 says, which is not to be believed:")?;
        }
        output.line(&format!("key used      {}", received.used.as_str()))?;
        self.print_said(output, &received.said)
    }

    fn print_said(&self, output: Output, said: &Said) -> anyhow::Result<()> {
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
