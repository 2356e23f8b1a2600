use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Entry, Order, PublicKeys, SignedResult, Violation, ViolationKind, What};
use crate::{Callback, Receiver, ShopResponse};

/// The callbacks of one queued order.
#[derive(Debug, Clone)]
pub struct Called {
    /// The shop's identifier of the order.
    pub identifier: String,
    /// The signed response.
    pub told: SignedResult,
    /// The number of callbacks that arrived.
    pub callbacks: usize,
    /// The number of callbacks that the shop accepted.
    pub taken: usize,
}

/// The body of a callback.
#[derive(Deserialize)]
struct Body {
    original: Box<RawValue>,
}

impl Called {
    /// Reads all callbacks by their `webhook-id`, in the order of arrival. Callbacks of one id must be equal
    /// byte for byte, with a valid signature. Anything else is a violation.
    /// # Panics
    /// If a body is not a callback.
    pub(super) fn read(
        receiver: &Receiver,
        entries: &[Entry],
        public_keys: &PublicKeys,
    ) -> (Vec<Self>, Vec<Violation>) {
        let orders: HashMap<String, &Order> = entries
            .iter()
            .filter(|entry| matches!(entry.order.what, What::Queue { .. }))
            .map(|entry| (entry.order.identifier(), &entry.order))
            .collect();
        let (mut called, mut places) = (Vec::<Self>::new(), HashMap::<String, (usize, String)>::new());
        let mut violations = Vec::new();
        let mut violated = |text| violations.push(Violation { kind: ViolationKind::Other, text });
        for Callback { id, text, is_taken, .. } in receiver.callbacks() {
            let (place, first) = places.entry(id.clone()).or_insert_with(|| {
                let response = of_callback(&text);
                let identifier = response.response()["identifier"].as_str().unwrap_or_default().to_owned();
                if !orders.get(&identifier).is_some_and(|order| public_keys.verify(&response, order)) {
                    violated(format!("the signature in a callback of order {identifier} is wrong"));
                }
                called.push(Self { identifier, told: SignedResult::read(&response), callbacks: 0, taken: 0 });
                (called.len() - 1, text.clone())
            });
            if *first != text {
                violated(format!("two bodies for webhook-id {id}: first {first}, then {text}"));
            }
            called[*place].callbacks += 1;
            called[*place].taken += usize::from(is_taken);
        }
        (called, violations)
    }
}

/// Reads the envelope of a callback like the response to a request.
fn of_callback(text: &str) -> ShopResponse {
    let body: Body = serde_json::from_str(text).unwrap();
    let response = ShopResponse {
        status: 200,
        content_type: "application/json".to_owned(),
        retry_after: None,
        request_id: None,
        text: body.original.get().to_owned(),
    };
    response.check_form();
    response
}
