mod callback;
mod parameter;
mod request;

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::Args;
use keypool_domain::{Endpoint, IdempotencyKey, PrivateKeyUsed, ProductId};
use keypool_local::CallbackReceiver;
use keypool_store::Lookup;
use serde_json::Value;

use self::callback::CallbackOptions;
use self::parameter::Parameter;
use crate::envelope::{Fault, Received};
use crate::exit::Exit;
use crate::http::{Answer, BaseUrl};
use crate::output::{BAD, GOOD, Output, WARNING, printable};
use crate::public_keys::{KeyOptions, NamedKey, of_target};
use crate::target::{Target, TargetOptions};

/// Send a request to the API, as a shop's plugin would, and check the signature of the response.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keypool call generate generator_id=1 quantity=10
  keypool call create-license-keys license_keys=@keys.json product_id=1 \\
    activation_limit=1 validity=365 status=available
  keypool call assign-license-key license_key=FIRST-0001 'owner_name=Test User'
  keypool call random-assign-license-keys product_id=1 quantity=3 --idempotency-key order-4711
  keypool call random-assign-license-keys-queued product_id=1 quantity=2 identifier=31 --await-callback
  keypool --stack shop call generate --file request.json --api-key-file ~/.keypool-api-key

The API key comes from --api-key-file or from the variable KEYPOOL_API_KEY; for the local stack it is the demo's. It \
is never an argument: arguments stay in the shell's history, and other users of the machine see them.

Exit codes:
  0  done (code 730, 741, 800, 803, 807, 815, 860, 900 or 950), with a valid signature; with --await-callback, for the \
callback too
  1  no response, a problem (its detail and request id are shown), a signature that could not be checked, or no \
callback within --callback-timeout
  4  another code (its meaning is shown), or a wrong signature

With --await-callback the command acts as the shop: it listens on a free port of 127.0.0.1, sends that address as the \
webhook_url, responds to the callback with 200 and checks its signature. With --json it prints one object: `answer` is \
the envelope of the response; `callback` has `webhook_id`, `code`, `identifier`, `license_keys` (their number) and \
`envelope`, or is null if no callback arrived.

The request is real: keys that it assigns are sold. It costs as much as a request of a shop, one KMS call for the \
public key, and half a read unit or more to find a product's key.")]
pub(crate) struct Call {
    /// The endpoint
    #[arg(value_name = "ENDPOINT")]
    endpoint: Endpoint,
    /// The parameters; NAME=@FILE takes the value from a file
    #[arg(value_name = "NAME=VALUE", conflicts_with = "file")]
    parameters: Vec<Parameter>,
    /// Read the parameters from this file, a JSON object
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The API's base URL [default: the target's]
    #[arg(long, value_name = "URL")]
    url: Option<BaseUrl>,
    /// The file that holds the API key
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<PathBuf>,
    /// Make the request safe to repeat: the same text with the same request runs once and gets the same
    /// response
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<IdempotencyKey>,
    #[command(flatten)]
    callback: CallbackOptions,
    #[command(flatten)]
    keys: KeyOptions,
}

impl Call {
    pub(crate) async fn run(&self, options: &TargetOptions, output: &Output) -> anyhow::Result<Exit> {
        self.check_callback(options)?;
        let keys = self.keys.read()?;
        // With --url the target is optional.
        let target = match options.open().await {
            Ok(target) => Some(target),
            Err(_) if self.url.is_some() => None,
            Err(error) => return Err(error),
        };
        let listener = self.callback.receiver().await?;
        let webhook_url = listener.as_ref().map(CallbackReceiver::url);
        let request = self.request(target.as_ref(), webhook_url.as_deref())?;
        let answer = request.send().await.map_err(|error| self.unknown(&error))?;
        let received = match Received::read(&answer.body) {
            Ok(received) => received,
            Err(fault) => return Err(problem(&answer, &fault)),
        };
        let judge = Judge { call: self, keys, target, output };
        if let Some(listener) = listener {
            return self.callback.run(listener, &answer, &received, &judge).await;
        }
        if output.is_json() {
            // The signature covers the exact bytes, so they are printed unchanged.
            output.raw(answer.body.trim_ascii_end())?;
        } else {
            output.line(&received.pretty())?;
        }
        judge.judge(&received).await
    }

    /// The keys of the target that may have signed the response.
    async fn keys_of(&self, target: Option<&Target>, received: &Received) -> anyhow::Result<Vec<NamedKey>> {
        let Some(target) = target else {
            bail!("there is no target with a public key: give --stack, --table, --pem or --jwks")
        };
        let product = match received.used {
            PrivateKeyUsed::Global => None,
            PrivateKeyUsed::Product => self.product(target).await?,
        };
        of_target(target, received, product).await
    }

    /// The product of the request.
    async fn product(&self, target: &Target) -> anyhow::Result<Option<ProductId>> {
        let named = |name: &str| self.parameter(name);
        if let Some(id) = named("product_id").and_then(|id| id.parse().ok()) {
            return Ok(Some(id));
        }
        if let Some(id) = named("generator_id").and_then(|id| id.parse().ok()) {
            let about = Lookup { generator: Some(id), ..Lookup::default() };
            return Ok(target.store.look_up(about).await?.generator.map(|generator| generator.product_id));
        }
        let Some(key) = named("license_key").and_then(|key| key.trim().parse().ok()) else { return Ok(None) };
        Ok(target.store.license_key(&key).await?.map(|key| key.product_id))
    }

    /// Adds to an error without a response if the request can be repeated.
    fn unknown(&self, error: &anyhow::Error) -> anyhow::Error {
        match &self.idempotency_key {
            Some(_) => {
                anyhow!("{error:#}; run the same command again: the request is executed only once")
            }
            None => anyhow!(
                "{error:#}; the request may have been executed (--idempotency-key would make it safe to repeat)"
            ),
        }
    }
}

/// Checks envelopes from the API.
struct Judge<'a> {
    call: &'a Call,
    /// The keys from --pem or --jwks.
    keys: Option<Vec<NamedKey>>,
    target: Option<Target>,
    output: &'a Output,
}

impl Judge<'_> {
    /// Checks the signature, reports the signer and the meaning of the code, and returns the exit code.
    async fn judge(&self, received: &Received) -> anyhow::Result<Exit> {
        let output = self.output;
        let checked = match &self.keys {
            Some(keys) => received.check(keys).map(|named| named.name.clone()),
            None if !received.is_signed() => received.check(&[]).map(|named| named.name.clone()),
            None => match self.call.keys_of(self.target.as_ref(), received).await {
                Ok(keys) => received.check(&keys).map(|named| named.name.clone()),
                Err(error) => {
                    judged(received, output);
                    return Err(error.context("the API responded, but the signature was not checked"));
                }
            },
        };
        match checked {
            Ok(name) => output.note(&format!("{GOOD}signed{GOOD:#} by {name}")),
            Err(Fault(reason)) => {
                output.note(&format!("{BAD}do not trust this response:{BAD:#} {reason}"));
                return Ok(Exit::DoesNotHold);
            }
        }
        Ok(judged(received, output))
    }
}

/// Reports the meaning of a code, and returns the exit code for it.
fn judged(received: &Received, output: &Output) -> Exit {
    let meaning = match received.said.code() {
        Some(730 | 741 | 800 | 803 | 807 | 815 | 860 | 900 | 950) => return Exit::Done,
        Some(100) => "the API does not know this API key: create one with `keypool api-key create`",
        Some(101) => "this API key is disabled or has expired",
        Some(102) => "this API key may not call this endpoint: `keypool api-key list` shows its capabilities",
        Some(103) => "this API key may not be used from here: `keypool api-key list` shows its networks",
        Some(104) => "a limit of this API key is reached: `keypool api-key list` shows its limits",
        Some(801) => "there is no such license key, or it is not for sale",
        Some(802) => "the stock has fewer keys than requested; nothing was sold",
        Some(731 | 804 | 816 | 861 | 901 | 951) => {
            "parameters are wrong: `errors` lists them; nothing was done"
        }
        Some(740 | 805) => "there is no such product, or it is disabled",
        Some(806) => "there is no generator for this, or it is disabled",
        Some(862) => "only an assigned license key can be replaced, and only once",
        Some(902) => "all of these license keys exist already; nothing was stored",
        Some(952) => "there is no such license key",
        _ => "`keypool call` does not know this code",
    };
    let code = received.said.code().map_or_else(|| "no code".to_owned(), |code| code.to_string());
    output.note(&format!("{WARNING}{code}:{WARNING:#} {meaning}"));
    Exit::DoesNotHold
}

/// The error for a response that is not an envelope.
fn problem(answer: &Answer, fault: &Fault) -> anyhow::Error {
    let status = answer.status;
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let member = |name: &str| body.get(name).and_then(Value::as_str).map(printable);
    let id = member("request_id").or_else(|| answer.header("apigw-requestid").map(printable));
    let id = id.map_or_else(String::new, |id| format!(" (request id {id}, also in the log)"));
    // API Gateway's own responses, to requests that reach no function, have a message.
    let said =
        if answer.is_of_type("application/problem+json") { member("detail") } else { member("message") };
    if let Some(said) = said {
        return anyhow!("the API responds {status}: {said}{id}");
    }
    let Fault(reason) = fault;
    anyhow!("the API responds {status}, and the body is {reason}{id}: check the API's base URL")
}
