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

/// Send a request to the API, as a shop's plugin would, and check the answer's signature.
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

The API key is read from --api-key-file, or the environment's KEYPOOL_API_KEY; for the stack on this machine it is \
the demo's. It is never taken from an argument: arguments stay in the shell's history, and others on the machine see them.

Exit codes:
  0  done: 800, 803, 807, 815 or 900, and the signature holds; with --await-callback, of the callback as well
  1  no answer, or a problem: its detail and request id are shown; or an answer whose signature could not be checked; or \
no callback within --callback-timeout
  4  another code (what it means is said), or the signature does not hold

With --await-callback the command is the shop: it listens on a free port of 127.0.0.1, sends that address as the \
webhook_url, answers the callback with 200 and checks its signature. With --json it prints one object: `answer` is the \
envelope that answered the request; `callback` has `webhook_id`, `code`, `identifier`, `license_keys` (their number) and \
`envelope`, or is null if no callback came.

It does what it says: keys that it gives away are sold. It costs what a request of a shop costs, one call of KMS for \
the public key, and half a read unit or more where the key is a product's.")]
pub(crate) struct Call {
    /// One of the endpoints
    #[arg(value_name = "ENDPOINT")]
    endpoint: Endpoint,
    /// The parameters; NAME=@FILE takes the value from a file
    #[arg(value_name = "NAME=VALUE", conflicts_with = "file")]
    parameters: Vec<Parameter>,
    /// The parameters as a JSON object, from this file
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The API's base URL; without it, the target's
    #[arg(long, value_name = "URL")]
    url: Option<BaseUrl>,
    /// The file that holds the API key
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<PathBuf>,
    /// Makes a repetition safe: the same text with the same request is answered as before, and done once
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<IdempotencyKey>,
    #[command(flatten)]
    callback: CallbackOptions,
    #[command(flatten)]
    keys: KeyOptions,
}

impl Call {
    pub(crate) async fn run(&self, options: &TargetOptions, output: Output) -> anyhow::Result<Exit> {
        self.check_callback(options)?;
        let keys = self.keys.read()?;
        // With an address and keys of one's own, a target is of use, but not needed.
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
            // As it came: what was signed must stay what it was, to the byte.
            output.raw(answer.body.trim_ascii_end())?;
        } else {
            output.line(&received.pretty())?;
        }
        judge.judge(&received).await
    }

    /// The keys one of which has to have signed the answer.
    async fn keys_of(&self, target: Option<&Target>, received: &Received) -> anyhow::Result<Vec<NamedKey>> {
        let Some(target) = target else {
            bail!("there is no target to ask for its key; give --stack, --table, --pem or --jwks")
        };
        let product = match received.used {
            PrivateKeyUsed::Global => None,
            PrivateKeyUsed::Product => self.product(target).await?,
        };
        of_target(target, received, product).await
    }

    /// The product that the request is about.
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

    /// What is to be known when no answer came.
    fn unknown(&self, error: &anyhow::Error) -> anyhow::Error {
        match &self.idempotency_key {
            Some(_) => {
                anyhow!("{error:#}; give the same command again: it is done once, whatever became of it")
            }
            None => anyhow!(
                "{error:#}; if the request arrived, it may have been done (with --idempotency-key it could be repeated)"
            ),
        }
    }
}

/// Checks the envelopes that come from the API.
struct Judge<'a> {
    call: &'a Call,
    /// The keys of the files that were named.
    keys: Option<Vec<NamedKey>>,
    target: Option<Target>,
    output: Output,
}

impl Judge<'_> {
    /// Checks the signature, says who signed and what the code means, and ends as the code wants.
    async fn judge(&self, received: &Received) -> anyhow::Result<Exit> {
        let output = self.output;
        let checked = match &self.keys {
            Some(keys) => received.check(keys).map(|named| named.name.clone()),
            None if !received.is_signed() => received.check(&[]).map(|named| named.name.clone()),
            None => match self.call.keys_of(self.target.as_ref(), received).await {
                Ok(keys) => received.check(&keys).map(|named| named.name.clone()),
                Err(error) => {
                    judged(received, output);
                    return Err(
                        error.context("this is what the API answered, but its signature was not checked")
                    );
                }
            },
        };
        match checked {
            Ok(name) => output.note(&format!("{GOOD}signed{GOOD:#} by {name}")),
            Err(Fault(reason)) => {
                output.note(&format!("{BAD}do not believe this answer:{BAD:#} {reason}"));
                return Ok(Exit::DoesNotHold);
            }
        }
        Ok(judged(received, output))
    }
}

/// Says what a code means, and ends as it wants.
fn judged(received: &Received, output: Output) -> Exit {
    let meaning = match received.said.code() {
        Some(800 | 803 | 807 | 815 | 900) => return Exit::Done,
        Some(100) => "the API does not know this API key: make one with `keypool api-key create`",
        Some(101) => "this API key is switched off or has expired",
        Some(102) => "this API key may not call this endpoint: `keypool api-key list` shows its capabilities",
        Some(103) => "this API key may not be used from here: `keypool api-key list` shows its networks",
        Some(801) => "there is no such license key, or it is not for sale",
        Some(802) => "the stock has fewer keys than were asked for; nothing was sold",
        Some(804 | 816 | 901) => "parameters are wrong: `errors` says which; nothing was done",
        Some(805) => "there is no such product, or it is switched off",
        Some(806) => "there is no generator for this, or it is switched off",
        Some(902) => "all of these license keys were there already; nothing was stored",
        _ => "this code is none of the API's",
    };
    let code = received.said.code().map_or_else(|| "no code".to_owned(), |code| code.to_string());
    output.note(&format!("{WARNING}{code}:{WARNING:#} {meaning}"));
    Exit::DoesNotHold
}

/// An answer that is no envelope.
fn problem(answer: &Answer, fault: &Fault) -> anyhow::Error {
    let status = answer.status;
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let member = |name: &str| body.get(name).and_then(Value::as_str).map(printable);
    let id = member("request_id").or_else(|| answer.header("apigw-requestid").map(printable));
    let id = id.map_or_else(String::new, |id| format!(" (request id {id}, as the log has it)"));
    // API Gateway's own answers, to what reaches no function, have a message.
    let said =
        if answer.is_of_type("application/problem+json") { member("detail") } else { member("message") };
    if let Some(said) = said {
        return anyhow!("the API answers {status}: {said}{id}");
    }
    let Fault(reason) = fault;
    anyhow!("the API answers {status}, and what it says is {reason}{id}: is it the API's base URL?")
}
