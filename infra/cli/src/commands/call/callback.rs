//! Waits for the outcome of a queued order: the command acts as the shop that keypool calls back.

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use keypool_domain::Endpoint;
use keypool_local::{CallbackReceiver, ReceivedCallback};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};

use super::request::WEBHOOK_URL;
use super::{Call, Judge};
use crate::envelope::{Fault, Received};
use crate::exit::{Exit, WrongArguments};
use crate::http::Answer;
use crate::moment::{Span, length};
use crate::output::{BAD, GOOD, Output, printable};
use crate::target::{Target, TargetOptions};

/// The options to receive a callback.
#[derive(Debug, Args)]
pub(super) struct CallbackOptions {
    /// Receive the callback of a queued order (local stack only)
    // A repetition would have another webhook_url, and so be another request.
    #[arg(long, conflicts_with_all = ["url", "idempotency_key"])]
    await_callback: bool,
    /// The longest wait for the callback, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "60s", requires = "await_callback")]
    callback_timeout: Span,
}

/// The result of a wait.
enum Waited {
    Received(ReceivedCallback),
    TimedOut,
    Interrupted,
}

/// The member of a callback's body that is read.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    original: &'a RawValue,
}

/// The response and the callback, for programs. Both envelopes are byte for byte as received.
#[derive(Serialize)]
struct Both<'a> {
    answer: &'a RawValue,
    callback: Option<Callback<'a>>,
}

#[derive(Serialize)]
struct Callback<'a> {
    webhook_id: &'a str,
    code: Option<u64>,
    identifier: Option<&'a str>,
    license_keys: usize,
    envelope: &'a RawValue,
}

impl Call {
    /// Refuses arguments that conflict with --await-callback, before anything is sent.
    pub(super) fn check_callback(&self, options: &TargetOptions) -> anyhow::Result<()> {
        if !self.callback.await_callback {
            return Ok(());
        }
        let refused = if !options.is_local() {
            "--await-callback needs the local stack: a stack on AWS cannot reach this machine"
        } else if self.endpoint != Endpoint::RandomAssignLicenseKeysQueued {
            "--await-callback is for random-assign-license-keys-queued: no other endpoint calls back"
        } else if self.parameter(WEBHOOK_URL).is_some() {
            "--await-callback sets the webhook_url itself: leave out one of the two"
        } else {
            return Ok(());
        };
        bail!(WrongArguments(refused))
    }
}

impl CallbackOptions {
    /// Starts the receiver, if --await-callback is given.
    pub(super) async fn receiver(&self) -> anyhow::Result<Option<CallbackReceiver>> {
        if !self.await_callback {
            return Ok(None);
        }
        let receiver = CallbackReceiver::start().await;
        receiver.map(Some).context("cannot listen for the callback on 127.0.0.1")
    }

    /// Prints the response, and the callback if the order was accepted.
    pub(super) async fn run(
        &self,
        receiver: CallbackReceiver,
        answer: &Answer,
        accepted: &Received,
        judge: &Judge<'_>,
    ) -> anyhow::Result<Exit> {
        let output = judge.output;
        if !output.is_json() {
            output.line(&accepted.pretty())?;
        }
        let judged = judge.judge(accepted).await;
        let webhook_url = receiver.url();
        if !matches!(judged, Ok(Exit::Done)) {
            print_both(output, answer, None)?;
            return judged;
        }
        match self.wait(receiver, output).await? {
            Waited::Received(callback) => print_callback(&callback, answer, judge).await,
            Waited::TimedOut => {
                print_both(output, answer, None)?;
                Err(self.too_late(judge.target.as_ref(), &webhook_url).await)
            }
            Waited::Interrupted => {
                print_both(output, answer, None)?;
                output.note("interrupted; the order stays in the queue: `keypool orders list` shows it");
                Ok(Exit::Interrupted)
            }
        }
    }

    async fn wait(&self, mut receiver: CallbackReceiver, output: &Output) -> anyhow::Result<Waited> {
        let limit = self.callback_timeout.duration();
        // The handler is set before the note, so that an interrupt after the note is seen.
        let mut interrupt = signal(SignalKind::interrupt())?;
        output.note(&format!("waiting up to {} for the callback to {}", length(limit), receiver.url()));
        let waited = tokio::select! {
            callback = tokio::time::timeout(limit, receiver.receive()) => match callback {
                Ok(Some(callback)) => Waited::Received(callback),
                Ok(None) => bail!("the receiver of the callback failed"),
                Err(_) => Waited::TimedOut,
            },
            _ = interrupt.recv() => Waited::Interrupted,
        };
        // The callback gets its status 200 before anything else happens.
        receiver.stop().await;
        Ok(waited)
    }

    /// Describes the state of the order whose callback did not arrive.
    async fn too_late(&self, target: Option<&Target>, webhook_url: &str) -> anyhow::Error {
        let limit = length(self.callback_timeout.duration());
        let orders = match target {
            Some(target) => target.store.queued_orders().await.unwrap_or_default(),
            None => vec![],
        };
        let Some(order) = orders.iter().find(|order| order.webhook_url.as_str() == webhook_url) else {
            return anyhow!(
                "no callback arrived within {limit}: `keypool orders list` shows the orders in the queue"
            );
        };
        let (id, state) = (&order.id, order.state);
        let next = if state.is_open() { "cancel" } else { "show" };
        let what = if state.is_open() { "ends it" } else { "shows what went wrong" };
        anyhow!(
            "no callback arrived within {limit}: order {id} is {state} and stays in the queue; \
             `keypool orders {next} {id}` {what}"
        )
    }
}

/// Prints a callback and checks its envelope.
async fn print_callback(
    callback: &ReceivedCallback,
    answer: &Answer,
    judge: &Judge<'_>,
) -> anyhow::Result<Exit> {
    let output = judge.output;
    let ReceivedCallback { webhook_id, body } = callback;
    let original = serde_json::from_slice::<Body>(body).map(|body| body.original);
    let original = original.map_err(|_| Fault("it has no member `original`".to_owned()));
    let read = original.and_then(|envelope| Ok((envelope, Received::read(envelope.get().as_bytes())?)));
    let (envelope, received) = match read {
        Ok(read) => read,
        Err(Fault(reason)) => {
            print_both(output, answer, None)?;
            output.note(&format!("{BAD}do not trust this callback:{BAD:#} {reason}"));
            return Ok(Exit::DoesNotHold);
        }
    };
    let said = &received.said;
    let identifier = said.value().get("identifier").and_then(Value::as_str);
    let license_keys = said.license_keys().len();
    let code = said.code().map_or_else(|| "none".to_owned(), |code| code.to_string());
    output.note(&format!(
        "{GOOD}received the callback:{GOOD:#} webhook-id {}, code {code}, identifier {}, {license_keys} license {}",
        printable(webhook_id),
        identifier.map_or_else(|| "none".to_owned(), printable),
        if license_keys == 1 { "key" } else { "keys" },
    ));
    let of_callback = Callback { webhook_id, code: said.code(), identifier, license_keys, envelope };
    print_both(output, answer, Some(of_callback))?;
    if !output.is_json() {
        output.line(&received.pretty())?;
    }
    judge.judge(&received).await
}

/// Prints one object for programs. For people, the response is printed before.
fn print_both(output: &Output, answer: &Answer, callback: Option<Callback<'_>>) -> anyhow::Result<()> {
    if !output.is_json() {
        return Ok(());
    }
    let answer = serde_json::from_slice(&answer.body).context("the response is not JSON")?;
    output.raw(&serde_json::to_vec(&Both { answer, callback })?)
}
