//! Deliveries to real servers on loopback.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod forbidden;
mod limits;
mod outcomes;
mod server;
mod surroundings;
mod tls;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keypool_callback::{
    CallbackClient, CallbackLimits, CallbackMessage, DeliveryOutcome, NotDeliveredReason, Resolve, Resolving,
};
use keypool_domain::{Timestamp, WebhookHosts, WebhookRules};

use self::tls::Certificate;

/// The name of the shop. Only a [`Names`] resolves it.
const SHOP: &str = "shop.example";

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const BODY: &str = r#"{"headers":{},"original":{},"exception":null}"#;

/// A resolver with an answer for each call; the last one is repeated. It records the names it was asked for.
#[derive(Debug, Default)]
struct Names {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    fn answering(answers: &[&[IpAddr]]) -> Arc<Self> {
        let answers = answers.iter().map(|addresses| addresses.to_vec()).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("unknown name")) })
    }
}

/// Limits for tests in which nothing is slow on purpose.
fn generous() -> CallbackLimits {
    CallbackLimits { attempt: Duration::from_mins(1), ..CallbackLimits::default() }
}

/// Limits for tests of a server that is slow on purpose.
fn short() -> CallbackLimits {
    CallbackLimits { attempt: Duration::from_millis(400), ..CallbackLimits::default() }
}

fn message() -> CallbackMessage {
    let sent_at = Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap();
    CallbackMessage::new("whk_31", sent_at, BODY).unwrap()
}

/// The rules of the local stack.
fn local() -> WebhookRules {
    WebhookRules::local(WebhookHosts::default())
}

/// The rules of a deployed stack.
fn deployed() -> WebhookRules {
    WebhookRules::deployed(WebhookHosts::default())
}

/// Delivers by the local stack's rules, through a resolver that resolves [`SHOP`] to loopback.
async fn deliver(url: &str, limits: CallbackLimits) -> DeliveryOutcome {
    let roots = [Certificate::of_the_shop().der()];
    let names = Names::answering(&[&[LOOPBACK]]);
    let client = CallbackClient::with_additional_roots(names, limits, roots).unwrap();
    client.deliver(&url.parse().unwrap(), &local(), &message()).await
}

fn not_delivered(why: NotDeliveredReason) -> DeliveryOutcome {
    why.into()
}
