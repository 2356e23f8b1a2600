//! Runs orders of shops with broken or hostile servers for days. Each order ends correctly, and the orders of
//! other shops continue meanwhile.

use std::time::Duration;

use keypool_callback::CallbackLimits;
use keypool_domain::{Clock as _, OrderId, OrderState, QueuedOrder};
use keypool_tests::{Receiver, Reception, Shop};

/// A number of attempts that no delivery reaches.
const ATTEMPTS_MAX: usize = 40;
const HALF_A_DAY: i64 = 12 * 3_600;
/// Half days until every delivery has ended: five days and one more.
const HALF_DAYS: usize = 12;

/// A shop's server that treats each callback alike.
struct Hostile {
    reception: Reception,
    /// The text for the operator after the first attempt.
    answer: &'static str,
    /// The states of the order after the first attempt and at the end.
    states: [OrderState; 2],
}

fn hostile(reception: Reception, answer: &'static str) -> Hostile {
    Hostile { reception, answer, states: [OrderState::Decided, OrderState::Dead] }
}

fn all() -> Vec<Hostile> {
    vec![
        hostile(Reception::Status(500), "the shop's server responded with status 500"),
        hostile(Reception::Status(404), "the shop's server responded with status 404"),
        hostile(Reception::Later(7_200), "the shop's server responded with status 503"),
        hostile(
            Reception::Redirect,
            "the shop's server responded with a redirect (status 302): correct the webhook URL",
        ),
        hostile(
            Reception::WebPage,
            "the shop's server responded with a web page: check the webhook key in the webhook URL",
        ),
        hostile(Reception::Hang, "the shop's server did not respond in time"),
        hostile(Reception::TakeAndHang, "the shop's server did not respond in time"),
        hostile(Reception::Drip, "the shop's server did not respond in time"),
        hostile(Reception::Cut, "the shop's server closed the connection before its response was complete"),
        hostile(
            Reception::TakeAndCut,
            "the shop's server closed the connection before its response was complete",
        ),
        Hostile {
            reception: Reception::Status(410),
            answer: "the shop wants no callback (status 410)",
            states: [OrderState::Dead; 2],
        },
        // The client reads 64 KB of the endless body, which suffice.
        Hostile {
            reception: Reception::Endless,
            answer: "the shop has it (status 200)",
            states: [OrderState::Delivered; 2],
        },
    ]
}

/// Queues an order of one key.
async fn order(shop: &Shop, receiver: &Receiver, identifier: &str) -> OrderId {
    shop.clock.advance_seconds(1);
    let order = [
        ("product_id", "1"),
        ("quantity", "1"),
        ("identifier", identifier),
        ("webhook_url", receiver.url.as_str()),
    ];
    let answer = shop.post("random-assign-license-keys-queued", &order).await;
    assert_eq!(answer.code(), 807, "{}", answer.text);
    shop.store.queued_orders().await.unwrap().pop().unwrap().id
}

/// Finds an order in the queue or among the delivered ones.
async fn find(shop: &Shop, id: &OrderId) -> QueuedOrder {
    match shop.store.queued_order(id).await.unwrap() {
        Some(order) => order,
        None => shop.store.delivered_order(id).await.unwrap().unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_shops_do_not_delay_other_shops() {
    let limits = CallbackLimits {
        attempt: Duration::from_millis(400),
        connect: Duration::from_millis(300),
        ..CallbackLimits::default()
    };
    let shop = Shop::builder().with_callback_limits(limits).open().await;
    let hostile = all();
    shop.stock(1, hostile.len() + HALF_DAYS + 1).await;
    let mut receivers = Vec::new();
    for (n, Hostile { reception, .. }) in hostile.iter().enumerate() {
        let receiver = Receiver::start().await;
        receiver.receive(vec![reception.clone(); ATTEMPTS_MAX]);
        let id = order(&shop, &receiver, &format!("hostile-{n}")).await;
        receivers.push((receiver, id));
    }
    let friendly = Receiver::start().await;
    for half_day in 0..=HALF_DAYS {
        // This order comes last, and the same turn of the worker delivers it.
        order(&shop, &friendly, &format!("friendly-{half_day}")).await;
        shop.sweep_orders().await;
        shop.process_orders().await;
        assert_eq!(friendly.callbacks().len(), half_day + 1);
        for (Hostile { reception, answer, states }, (_, id)) in hostile.iter().zip(&receivers) {
            let order = find(&shop, id).await;
            let at = format!("{reception:?} after {half_day} half days");
            assert_eq!(order.delivery.answer.as_deref(), Some(*answer), "{at}");
            assert_eq!(order.code, Some(803), "{at}");
            if half_day == 0 {
                assert_eq!((order.state, order.delivery.attempts), (states[0], 1), "{at}");
            }
            if half_day == HALF_DAYS {
                assert_eq!(order.state, states[1], "{at}");
            }
            if let (Reception::Later(seconds), 0) = (reception, half_day) {
                let wait = order.delivery.next_at.unwrap().since(shop.clock.now()).as_secs();
                assert!((*seconds..=*seconds * 11 / 10).contains(&wait), "{at}: {wait}");
            }
        }
        shop.clock.advance_seconds(HALF_A_DAY);
    }
    for ((receiver, _), Hostile { reception, states, .. }) in receivers.iter().zip(&hostile) {
        let callbacks = receiver.callbacks();
        let is_repeated = states[0] == OrderState::Decided;
        assert_eq!(callbacks.len() > 1, is_repeated, "{reception:?}: {} callbacks", callbacks.len());
        assert!(callbacks.len() < ATTEMPTS_MAX, "{reception:?}");
        assert!(callbacks.iter().all(|callback| callback.id == callbacks[0].id), "{reception:?}");
        assert!(callbacks.iter().all(|callback| callback.text == callbacks[0].text), "{reception:?}");
    }
    assert_eq!(shop.in_stock(1).await, 0);
}
